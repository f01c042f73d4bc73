"""Confusion matrices, drawn from the counts that an evaluation left as JSON.

A row is a true class, a column a predicted one. The strength of a cell's colour is its share of the row, and
bars on the right give the percentage of each class that was recognised.
"""

import json
import re
from dataclasses import dataclass
from typing import Any

from ndabench.reporting import drawing
from ndabench.reporting.frames import decoded

LARGEST_CELL, SMALLEST_CELL = 52, 12
MATRIX_SIDE = 1000
"""Pixels that the cells share, within the bounds above."""
COUNTED_CELL = 28
"""A cell with at least this side has space for a number."""
LARGEST_FONT = 14
LONGEST_NAME = 28
BAR = 120
"""Width of the bar of 100 percent, in pixels."""
RIGHT, WRONG = (0, 114, 178), (213, 94, 0)
"""Distinguishable with any kind of colour vision (Okabe and Ito)."""
DARK = 0.75
"""Numbers are white on cells of at least this strength."""
FAINTEST = 0.15
"""Strength of the colour of a cell that is hardly above 0."""
_SIZE = re.compile(r'width="(\d+)" height="(\d+)"')


@dataclass(frozen=True)
class Confusion:
    """`counts[t][p]` examples of class `t` were taken for class `p`; accuracies are percentages."""

    class_names: list[str]
    counts: list[list[int]]
    class_accuracies: list[float | None]
    """None for a class without examples."""


def read_confusion(data: bytes) -> Confusion | None:
    """The counts in a JSON file, or None if it does not hold any."""
    try:
        content = decoded(data)
        names, counts = content["class_names"], content["counts"]
        accuracies = content["class_accuracies"]
    except (ValueError, KeyError, TypeError):
        return None
    square = len(counts) == len(names) == len(accuracies) and all(len(row) == len(names) for row in counts)
    return Confusion(names, counts, accuracies) if names and square else None


def draw_confusion(confusion: Confusion) -> tuple[bytes, int, int]:
    """The matrix as an SVG file, with room for every class, and its width and height in pixels."""
    return to_svg(vega_lite(confusion))


def to_svg(specification: dict[str, Any]) -> tuple[bytes, int, int]:
    """A Vega-Lite specification as an SVG file, and its width and height in pixels."""
    svg = drawing.svg_text(specification)
    size = _SIZE.search(svg)
    assert size is not None
    return svg.encode(), int(size[1]), int(size[2])


def vega_lite(confusion: Confusion) -> dict[str, Any]:
    """The Vega-Lite specification: the matrix, and the accuracies as bars on its right."""
    cell = cell_side(len(confusion.class_names))
    classes = list(range(len(confusion.class_names)))
    rows = {"field": "true", "type": "ordinal", "scale": {"domain": classes}}
    matrix = {
        "width": cell * len(classes),
        "height": cell * len(classes),
        "layer": [
            {
                "data": {"values": _cells(confusion)},
                "mark": {"type": "rect", "stroke": "#dddddd", "aria": False},
                "encoding": {"color": {"field": "fill", "type": "nominal", "scale": None}},
            },
            {
                "data": {"values": _cells(confusion) if cell >= COUNTED_CELL else []},
                "mark": {"type": "text", "aria": False},
                "encoding": {
                    "text": {"field": "count"},
                    "color": {"field": "shade", "type": "nominal", "scale": None},
                },
            },
        ],
        "encoding": {
            "x": {
                "field": "predicted",
                "type": "ordinal",
                "scale": {"domain": classes},
                "title": "predicted",
                "axis": _axis(confusion, orient="top", labelAngle=-90),
            },
            "y": {**rows, "title": "true", "axis": _axis(confusion)},
        },
    }
    known = [
        {"true": place, "percent": percent, "text": f"{percent:.0f} %"}
        for place, percent in enumerate(confusion.class_accuracies)
        if percent is not None
    ]
    percent = {"field": "percent", "type": "quantitative", "scale": {"domain": [0, 100]}, "axis": None}
    bars = {
        "width": BAR,
        "height": cell * len(classes),
        "title": {"text": "recognised", "anchor": "start", "fontSize": _font(cell), "fontWeight": "normal"},
        "data": {"values": known},
        "encoding": {"y": {**rows, "axis": None}},
        "layer": [
            {
                "mark": {
                    "type": "bar",
                    "color": blended(RIGHT, 1.0),
                    "size": max(1, cell // 2),
                    "aria": False,
                },
                "encoding": {"x": percent},
            },
            {
                "mark": {"type": "text", "align": "left", "aria": False},
                "encoding": {"x": {"value": BAR + 8}, "text": {"field": "text"}},
            },
        ],
    }
    return {
        "background": "white",
        "padding": 8,
        "spacing": 8,
        "hconcat": [matrix, bars],
        "config": {"view": {"stroke": None}, "text": {"fontSize": _font(cell)}},
    }


def cell_side(num_classes: int) -> int:
    """Pixels of a cell's side."""
    return max(SMALLEST_CELL, min(LARGEST_CELL, MATRIX_SIDE // num_classes))


def _font(cell: int) -> int:
    return min(LARGEST_FONT, cell - 2)


def _cells(confusion: Confusion) -> list[dict[str, Any]]:
    """The cells that are not empty."""
    cells = []
    for true, row in enumerate(confusion.counts):
        for predicted, count in enumerate(row):
            if count:
                strength = FAINTEST + (1 - FAINTEST) * count / sum(row)
                fill = blended(RIGHT if true == predicted else WRONG, strength)
                shade = "white" if strength > DARK else "black"
                cell = {"true": true, "predicted": predicted, "count": count, "fill": fill, "shade": shade}
                cells.append(cell)
    return cells


def blended(colour: tuple[int, int, int], strength: float) -> str:
    """`colour` over white, as `#rrggbb`."""
    return "#" + "".join(f"{round(255 + (level - 255) * strength):02x}" for level in colour)


def _axis(confusion: Confusion, **options: Any) -> dict[str, Any]:
    """An axis with the names of the classes between grid lines."""
    names = [
        name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…"
        for name in confusion.class_names
    ]
    size = _font(cell_side(len(names)))
    return {
        "labelExpr": f"{json.dumps(names)}[datum.value]",
        "labelFontSize": size,
        "labelLimit": 0,
        "maxExtent": 400,
        "labelOverlap": False,
        "titleFontSize": size,
        "titleFontWeight": "normal",
        "ticks": False,
        "domain": False,
        "grid": True,
        "tickBand": "extent",
        "gridColor": "#dddddd",
        **options,
    }
