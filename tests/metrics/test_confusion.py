"""Confusion counts beside scikit-learn's, and what the files hold."""

import io
import json

import torch
from PIL import Image
from sklearn.metrics import confusion_matrix, recall_score

from ndabench.metrics.confusion import (
    class_accuracies,
    confusion_counts,
    confusion_json,
    confusion_picture,
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


def test_the_picture_has_room_for_every_class() -> None:
    for num, smallest in ((2, 52), (8, 52), (101, 12)):
        names = [f"{'Very' * (number % 9)}LongActionName{number}" for number in range(num)]
        counts = confusion_counts(torch.arange(num), torch.arange(num), num)
        with Image.open(io.BytesIO(confusion_picture(counts, names))) as picture:
            width, height = picture.size
            assert num * smallest < min(width, height) <= max(width, height) < num * smallest + 700
            colours = {colour for _, colour in picture.getcolors(1 << 20)}
        assert (0, 114, 178) in colours
