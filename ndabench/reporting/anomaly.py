"""Anomaly detection, drawn from the JSON of its evaluation: for each set of outliers, the histograms of its
scores and those of the data set, the ROC curve, and the rates with their bootstrap intervals."""

from typing import Any

from pydantic import BaseModel

from ndabench.reporting.confusion import RIGHT, WRONG, blended, to_svg
from ndabench.reporting.frames import decoded

WIDTH, HEIGHT = 340, 180
"""Pixels of a histogram; a ROC curve is a square of this height."""
INSIDE, OUTSIDE = blended(RIGHT, 1.0), blended(WRONG, 1.0)
INSIDE_NAME, OUTSIDE_NAME = "test images of the data set", "outliers"
LABELS = {"auroc": "AUROC", "aupr_in": "AUPR-in", "aupr_out": "AUPR-out", "fpr95": "FPR@95TPR"}


class Histogram(BaseModel):
    """Shares of the images in each bin; there is one more edge than bins."""

    edges: list[float]
    inside: list[float]
    outliers: list[float]


class Roc(BaseModel):
    """Points of a curve, both from 0 to 1."""

    false_positive_rate: list[float]
    true_positive_rate: list[float]


class ScoredSet(BaseModel):
    """One set of outliers."""

    title: str
    num_inside: int
    num_outliers: int
    rates: dict[str, tuple[float, float, float]]
    """Value and interval, as shares."""
    histogram: Histogram
    roc: Roc


class ScoredSets(BaseModel):
    """All sets of outliers of one evaluation."""

    sets: list[ScoredSet]


def read_scores(data: bytes) -> ScoredSets | None:
    """The scores in a JSON file, or None if it does not hold any."""
    try:
        found = ScoredSets.model_validate(decoded(data))
    except ValueError:
        return None
    return found if found.sets else None


def draw_scores(scores: ScoredSets) -> tuple[bytes, int, int]:
    """An SVG file with one row for every set, and its width and height in pixels."""
    return to_svg(vega_lite(scores))


def vega_lite(scores: ScoredSets) -> dict[str, Any]:
    """The Vega-Lite specification."""
    return {
        "background": "white",
        "padding": 8,
        "spacing": 24,
        "vconcat": [_row(one) for one in scores.sets],
        "config": {"view": {"stroke": "#dddddd"}, "axis": {"grid": False, "titleFontWeight": "normal"}},
    }


def _row(one: ScoredSet) -> dict[str, Any]:
    values = [f"{label} {_interval(*one.rates[rate])}" for rate, label in LABELS.items() if rate in one.rates]
    return {
        "title": {
            "text": f"{one.title} ({one.num_outliers:,} images, against {one.num_inside:,})",
            "subtitle": [" · ".join(values[:2]), " · ".join(values[2:])],
            "anchor": "start",
        },
        "hconcat": [_histogram(one), _roc(one)],
    }


def _interval(value: float, low: float, high: float) -> str:
    return f"{100 * value:.1f} % [{100 * low:.1f}, {100 * high:.1f}]"


def _histogram(one: ScoredSet) -> dict[str, Any]:
    edges = one.histogram.edges
    bins = [
        {"low": low, "high": high, "share": share, "images": images}
        for images, shares in (
            (INSIDE_NAME, one.histogram.inside),
            (OUTSIDE_NAME, one.histogram.outliers),
        )
        for low, high, share in zip(edges, edges[1:], shares, strict=False)
    ]
    return {
        "width": WIDTH,
        "height": HEIGHT,
        "data": {"values": bins},
        "mark": {"type": "bar", "opacity": 0.55, "aria": False},
        "encoding": {
            "x": {"field": "low", "type": "quantitative", "title": "score", "scale": {"zero": False}},
            "x2": {"field": "high"},
            "y2": {"datum": 0},
            "y": {
                "field": "share",
                "type": "quantitative",
                "stack": None,
                "title": "share of images",
                "axis": {"format": ".0%"},
            },
            "color": {
                "field": "images",
                "type": "nominal",
                "scale": {"domain": [INSIDE_NAME, OUTSIDE_NAME], "range": [INSIDE, OUTSIDE]},
                "legend": {"orient": "bottom", "title": None, "labelLimit": 0},
            },
        },
    }


def _roc(one: ScoredSet) -> dict[str, Any]:
    points = [
        {"false": false, "true": true}
        for false, true in zip(one.roc.false_positive_rate, one.roc.true_positive_rate, strict=False)
    ]
    corners = [{"false": 0, "true": 0}, {"false": 1, "true": 1}]
    axes = {
        "x": {"field": "false", "type": "quantitative", "title": "false positive rate"},
        "y": {"field": "true", "type": "quantitative", "title": "true positive rate"},
    }
    return {
        "width": HEIGHT,
        "height": HEIGHT,
        "encoding": axes,
        "layer": [
            {
                "data": {"values": corners},
                "mark": {"type": "line", "color": "#999999", "strokeDash": [4, 4], "aria": False},
            },
            {
                "data": {"values": points},
                "mark": {"type": "line", "color": INSIDE, "interpolate": "step-after", "aria": False},
            },
        ],
    }
