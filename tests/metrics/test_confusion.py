"""Confusion counts against scikit-learn's, and what the files hold."""

import json

import torch
from sklearn.metrics import confusion_matrix, recall_score

from ndabench.metrics.clip_encoders.confusion import (
    class_accuracies,
    confusion_counts,
    confusion_json,
)


def test_counts_and_accuracies_are_those_of_scikit_learn() -> None:
    generator = torch.Generator().manual_seed(0)
    labels, predicted = torch.randint(7, (2, 300), generator=generator)
    counts = confusion_counts(predicted, labels, 7)
    assert counts.tolist() == confusion_matrix(labels, predicted).tolist()
    expected = 100 * recall_score(labels, predicted, average=None)
    torch.testing.assert_close(torch.tensor(class_accuracies(counts)), torch.tensor(expected).float())


def test_a_class_without_examples_has_no_accuracy() -> None:
    counts = confusion_counts(torch.tensor([0, 1]), torch.tensor([0, 0]), 3)
    content = json.loads(confusion_json(counts, ["a", "b", "c"]))
    assert content["class_accuracies"] == [50.0, None, None]
    assert content["counts"] == [[1, 1, 0], [0, 0, 0], [0, 0, 0]]
    assert (content["rows"], content["columns"]) == ("true class", "predicted class")
