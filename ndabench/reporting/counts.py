"""Histograms of the numbers of objects in images, drawn from the JSON of the evaluation `count`."""

from typing import Any

from pydantic import BaseModel, Field

from ndabench.reporting.confusion import RIGHT, WRONG, blended, to_svg
from ndabench.reporting.frames import decoded

HEIGHT, STEP = 180, 15
"""Pixels of the histogram's height and of a bar's width."""
UNCLEAR = "unclear"
SERIES = {
    "real": ("real, exact counter", "#999999"),
    "generated": ("generated, exact counter", blended(WRONG, 1.0)),
    "trained": ("generated, trained counter", blended(RIGHT, 1.0)),
}
MOST_NUMBERS, BEYOND = 200, 2
"""Bars at most, and how far the axis goes beyond the numbers of real images at least."""


class Counted(BaseModel):
    """How many images hold each number of objects; those with something that is no object are `unclear`."""

    wanted: list[int] = Field(min_length=1, max_length=MOST_NUMBERS)
    real: dict[str, int]
    generated: dict[str, int]
    trained: dict[str, int] | None = None


def read_counts(data: bytes) -> Counted | None:
    """The counts in a JSON file, or None if it does not hold any."""
    try:
        return Counted.model_validate(decoded(data))
    except ValueError:
        return None


def draw_counts(counted: Counted) -> tuple[bytes, int, int]:
    """An SVG file, and its width and height in pixels."""
    return to_svg(vega_lite(counted))


def vega_lite(counted: Counted) -> dict[str, Any]:
    """The Vega-Lite specification: for each number a bar of each kind of images.

    The axis begins at 0 and ends beyond the largest number of a real image, so that several arms mostly have
    the same one.
    """
    shown = {key: counts for key in SERIES if (counts := getattr(counted, key))}
    names = {name for counts in shown.values() for name in counts if name.isdigit()}
    usual = map(str, range(max(counted.wanted) + BEYOND + 1))
    numbers = sorted(names | set(usual), key=int)[:MOST_NUMBERS]
    bars = [
        {"number": number, "images": SERIES[key][0], "share": counts.get(number, 0) / sum(counts.values())}
        for key, counts in shown.items()
        for number in [*numbers, UNCLEAR]
        if sum(counts.values())
    ]
    return {
        "background": "white",
        "padding": 8,
        "title": {"text": f"real images hold {_listed(counted.wanted)}", "anchor": "start"},
        "width": STEP * len(shown) * (len(numbers) + 1),
        "height": HEIGHT,
        "data": {"values": bars},
        "mark": {"type": "bar", "aria": False},
        "encoding": {
            "x": {
                "field": "number",
                "type": "nominal",
                "sort": [*numbers, UNCLEAR],
                "title": "objects in an image",
                "axis": {"labelAngle": 0},
            },
            "xOffset": {"field": "images", "sort": [name for name, _ in SERIES.values()]},
            "y": {
                "field": "share",
                "type": "quantitative",
                "title": "share of images",
                "scale": {"domain": [0, 1]},
                "axis": {"format": ".0%"},
            },
            "color": {
                "field": "images",
                "type": "nominal",
                "scale": {
                    "domain": [SERIES[key][0] for key in shown],
                    "range": [SERIES[key][1] for key in shown],
                },
                "legend": {"orient": "bottom", "title": None, "labelLimit": 0, "columns": 1},
            },
        },
        "config": {"view": {"stroke": "#dddddd"}, "axis": {"grid": False, "titleFontWeight": "normal"}},
    }


def _listed(numbers: list[int]) -> str:
    *first, last = map(str, sorted(numbers))
    return (f"{', '.join(first)} or {last}" if first else last) + (" objects" if last != "1" else " object")
