"""Confusion matrices as the report draws them from their counts."""

import json
import re

import pytest
import torch

from ndabench.metrics.clip_encoders.confusion import confusion_counts, confusion_json
from ndabench.reporting.confusion import (
    COUNTED_CELL,
    cell_side,
    draw_confusion,
    read_confusion,
    vega_lite,
)

RIGHT, WRONG = "#0072b2", "#d55e00"


@pytest.mark.parametrize(("num", "smallest"), [(2, 52), (8, 52), (101, 12)])
def test_the_picture_has_room_for_every_class(num: int, smallest: int) -> None:
    names = [f"{'Very' * (number % 9)}LongActionName{number}" for number in range(num)]
    counts = confusion_counts(torch.arange(num), torch.arange(num), num)
    confusion = read_confusion(confusion_json(counts, names))
    assert confusion is not None
    svg, width, height = draw_confusion(confusion)
    assert num * smallest < min(width, height) <= max(width, height) < num * smallest + 700
    text = svg.decode()
    assert text.count(f'fill="{RIGHT}"') >= num  # a cell and a bar for each class
    shown = re.findall(r">((?:Very|Long)[^<>]*)<", text)
    assert len(shown) == 2 * num
    assert text.count(">1<") == (num if cell_side(num) >= COUNTED_CELL else 0)
    assert text.count(">100 %<") == num


def test_every_count_is_a_cell_as_strong_as_its_share_of_the_row() -> None:
    content = {
        "class_names": ["a", '"; alert(1) //', "c"],
        "counts": [[3, 1, 0], [0, 0, 0], [0, 2, 0]],
        "class_accuracies": [75.0, None, 0.0],
    }
    confusion = read_confusion(json.dumps(content).encode())
    assert confusion is not None
    spec = vega_lite(confusion)
    matrix, bars = spec["hconcat"]
    cells = matrix["layer"][0]["data"]["values"]
    assert [(cell["true"], cell["predicted"], cell["count"]) for cell in cells] == [
        (0, 0, 3),
        (0, 1, 1),
        (2, 1, 2),
    ]
    assert cells[2]["fill"] == WRONG  # the whole row
    assert cells[2]["shade"] == "white"
    assert cells[1]["shade"] == "black"
    assert [(bar["true"], bar["percent"]) for bar in bars["data"]["values"]] == [(0, 75.0), (2, 0.0)]
    svg, *_ = draw_confusion(confusion)
    assert b"alert(1)" in svg  # as a name, not as a program
    assert b"<script" not in svg


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00",
        b"[]",
        b"{}",
        b'{"class_names": [], "counts": [], "class_accuracies": []}',
        b'{"class_names": ["a", "b"], "counts": [[1, 2]], "class_accuracies": [1, 2]}',
    ],
)
def test_what_holds_no_counts_is_passed_over(data: bytes) -> None:
    assert read_confusion(data) is None
