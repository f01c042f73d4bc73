"""What a sweep says of its data before it starts."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from ndabench.data.counts import split_counts


def data(classes: tuple[str, ...], **labels: list[int]) -> Any:
    class Split:
        def __init__(self, own: list[int]) -> None:
            self.labels = torch.tensor(own)

        def __len__(self) -> int:
            return len(self.labels)

    return SimpleNamespace(
        name="mine", class_names=classes, **{name: Split(own) for name, own in labels.items()}
    )


@pytest.mark.parametrize(
    ("classes", "train", "test", "line"),
    [
        (("a",), [0] * 1200, [0], "mine: 1,200 training, 2 validation and 1 test images"),
        (
            ("a", "b"),
            [0, 0, 1],
            [0, 1],
            "mine: 3 training, 2 validation and 2 test images; 2 classes of 1 to 2 training images; "
            "no validation images of b",
        ),
        (
            ("a", "b"),
            [0, 1],
            [1],
            "mine: 2 training, 2 validation and 1 test images; 2 classes of 1 training images; "
            "no validation images of b; no test images of a",
        ),
    ],
)
def test_counts_by_split_and_class(
    classes: tuple[str, ...], train: list[int], test: list[int], line: str
) -> None:
    found = data(classes, train=train, validation=[0, 0], test=test)
    assert split_counts(found, "images") == line


def test_data_without_labels() -> None:
    found = SimpleNamespace(name="scenes", class_names=("a", "b"), train=[1, 2], validation=[], test=[3])
    assert split_counts(found, "scenes") == "scenes: 2 training, 0 validation and 1 test scenes"
