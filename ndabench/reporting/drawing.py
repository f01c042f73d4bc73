"""Figures as SVG, which Vega-Lite draws when the report is written, not when it is read.

So figures show in print, on a phone, in a mail preview and without JavaScript; each takes 25 kB where Vega
in the browser takes 900; and the report's security policy needs no `eval`. Colours are CSS variables of the
page, which has values for light, dark and print. Every point has its numbers as a tooltip.
"""

import json
import math
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import vl_convert
from markupsafe import Markup

from ndabench.reporting.specs import FigureSpec, ForestSpec, Line, Point

WIDTH, HEIGHT = 340, 200
FOREST_WIDTH, FOREST_STEP = 440, 46
AXIS_STEP = 150
COLOURS = 8
MOST_MARKERS = 12
DASHES = ([1, 0], [6, 3], [2, 2], [8, 3, 2, 3], [12, 4], [4, 2, 1, 2])
SHAPES = {
    "circle": "M4,0A4,4,0,1,1,-4,0A4,4,0,1,1,4,0Z",
    "square": "M-3.6,-3.6h7.2v7.2h-7.2Z",
    "triangle-up": "M0,-4.4L4.4,3.6L-4.4,3.6Z",
    "diamond": "M0,-5L5,0L0,5L-5,0Z",
    "triangle-down": "M0,4.4L4.4,-3.6L-4.4,-3.6Z",
    "cross": "M-1.5,-4.5h3v3h3v3h-3v3h-3v-3h-3v-3h3Z",
}
_GEOMETRY = re.compile(r' (?:d|transform|x|y|x1|x2|y1|y2|width|height)="[^"]*"')
_LONG = re.compile(r"\d+\.\d{3,}")
_POINT = re.compile(r'(<path (?:(?!/>)[^>])*aria-label="([^"]*)"(?:(?!/>)[^>])*)/>')


def colour(line: Line) -> str:
    """A variable of the page's style sheet. Colour 0 is for the first arm; the others share the rest."""
    return f"var(--series-{(line.colour - 1) % (COLOURS - 1) + 1 if line.colour else 0})"


def dash(line: Line) -> list[int]:
    return DASHES[line.dash % len(DASHES)]


def shape(line: Line) -> str:
    return list(SHAPES)[line.colour % len(SHAPES)]


def swatch(line: Line, *, joined: bool = True) -> Markup:
    """The legend's sample of a line: its colour, dashes and marker."""
    pattern = " ".join(str(length) for length in dash(line)) if joined else "0 36"
    return Markup(
        '<svg class="swatch" viewBox="0 0 36 12" width="36" height="12" aria-hidden="true">'
        '<path d="M1,6h34" fill="none" stroke="{0}" stroke-width="2" stroke-dasharray="{1}"/>'
        '<path d="{2}" transform="translate(18,6)" fill="{0}"/></svg>'
    ).format(colour(line), pattern, SHAPES[shape(line)])


def ring() -> Markup:
    """The legend's sample of what `FigureSpec.ringed` draws."""
    return Markup(
        '<svg class="swatch" viewBox="0 0 36 12" width="36" height="12" aria-hidden="true">'
        '<circle cx="18" cy="6" r="5" fill="none" stroke="var(--ink)" stroke-width="1.5"/></svg>'
    )


def draw(figure: FigureSpec | ForestSpec) -> Markup:
    """The figure as an SVG element that scales with its container. Vega escapes all text."""
    if isinstance(figure, ForestSpec):
        specification = forest(figure)
    else:
        specification = parallel(figure) if figure.axes else vega_lite(figure)
    svg = _POINT.sub(r"\1><title>\2</title></path>", svg_text(specification))
    if isinstance(figure, FigureSpec):
        svg = _hide(svg, [place for place, line in enumerate(figure.lines) if line.hidden])
    label = Markup('<svg role="img" aria-label="{}" ').format(f"Figure: {figure.title}")
    return label + Markup(svg.removeprefix("<svg "))


def _hide(svg: str, lines: Sequence[int]) -> str:
    """Without the parts of these lines, which the page's script can show."""
    for line in lines:
        svg = re.sub(rf'class="[^"]*\bline{line}_\w+_marks"', r'\g<0> display="none"', svg)
    return svg


def svg_text(specification: dict[str, Any]) -> str:
    """A Vega-Lite specification as an SVG element, to a hundredth of a pixel; Vega writes fifteen digits."""
    svg: str = vl_convert.vegalite_to_svg(specification, allowed_base_urls=[])
    return _GEOMETRY.sub(lambda part: _LONG.sub(lambda number: str(round(float(number[0]), 2)), part[0]), svg)


def vega_lite(figure: FigureSpec) -> dict[str, Any]:
    """The Vega-Lite specification: for each line a band or bars, a path and a few markers."""
    low, high = y_domain(figure)
    layers = [_level(figure.rule, figure, low, high)] if figure.rule is not None else []
    draw_interval = _band if figure.intervals == "band" else _bars
    shown = sum(not line.hidden for line in figure.lines)
    parts = {
        "interval": [draw_interval(line, low, high, shown) for line in figure.lines],
        "path": [_path(line) for line in figure.lines] if figure.joined else [],
        "markers": [_markers(line, MOST_MARKERS if figure.joined else None) for line in figure.lines],
    }
    # the page's script hides and shows the parts of a line by these names
    layers += [
        {"name": f"line{place}_{name}", **layer}
        for name, of_lines in parts.items()
        for place, layer in enumerate(of_lines)
    ]
    if figure.ringed is not None:
        layers.append(_rings(figure.ringed))
    scale = {"type": "log" if figure.log_y else "linear", "domain": [low, high], "nice": False, "zero": False}
    encoding = {
        "x": {
            "field": "x",
            "type": "quantitative",
            "title": figure.x_title,
            "scale": {"zero": False, "nice": False, "padding": 8},
            "axis": {"format": ",d" if figure.intervals == "band" else "~r", "tickCount": 5},
        },
        "y": {"field": "y", "type": "quantitative", "title": figure.y_title, "scale": scale},
    }
    return {
        "width": WIDTH,
        "height": HEIGHT,
        "background": None,
        "layer": [layer for layer in layers if layer["data"]["values"]],
        "encoding": encoding,
        "config": _STYLE,
    }


def parallel(figure: FigureSpec) -> dict[str, Any]:
    """The Vega-Lite specification of parallel coordinates: paths, and a point at each of their ends."""
    last = len(figure.axes) - 1
    layers: list[dict[str, Any]] = []
    for place, line in enumerate(figure.lines):
        values = [
            {**value, "path": number // len(figure.axes)} for number, value in enumerate(_values(line.points))
        ]
        paths = {"type": "line", "color": colour(line), "strokeWidth": 1.5, "opacity": 0.5, "aria": False}
        detail = {"detail": {"field": "path", "type": "nominal"}}
        layers.append(
            {"name": f"line{place}_path", "data": {"values": values}, "mark": paths, "encoding": detail}
        )
        ends = replace(line, points=[point for point in line.points if point.x == last])
        layers.append({"name": f"line{place}_markers", **_markers(ends, None)})
    ticks = [
        {"x": place, "y": y, "text": text} for place, axis in enumerate(figure.axes) for y, text in axis.ticks
    ]
    text = {"type": "text", "align": "left", "dx": 7, "fontSize": 12, "fill": "var(--ink)", "aria": False}
    halo = {**text, "stroke": "var(--paper)", "strokeWidth": 4}  # paths run below the texts
    for mark in (halo, text):
        layers.append({"data": {"values": ticks}, "mark": mark, "encoding": {"text": {"field": "text"}}})
    names = {
        "values": list(range(last + 1)),
        "labelExpr": f"{json.dumps([axis.name for axis in figure.axes])}[datum.value]",
        "labelColor": "var(--ink)",
        "labelLimit": AXIS_STEP - 10,
        "labelOverlap": False,
        "labelPadding": 14,
        "orient": "top",
        "domain": False,
        "ticks": False,
    }
    return {
        "width": AXIS_STEP * max(last, 1),
        "height": HEIGHT,
        "padding": {"left": 60, "right": 60, "top": 5, "bottom": 5},
        "background": None,
        "layer": layers,
        "encoding": {
            "x": {"field": "x", "type": "quantitative", "title": None, "axis": names},
            "y": {"field": "y", "type": "quantitative", "scale": {"domain": [0, 1]}, "axis": None},
        },
        "config": _STYLE,
    }


def forest(figure: ForestSpec) -> dict[str, Any]:
    """The Vega-Lite specification: for each row its name and numbers over a bar; a line at 0.

    Names are above the bars and not to their left, so that they can be read on a phone.
    """
    values = [
        {
            "place": str(place),
            "name": row.name,
            "numbers": row.numbers,
            "x": row.mean,
            "low": row.low,
            "high": row.high,
            "label": row.label,
            "colour": {"good": "var(--good)", "bad": "var(--bad)", "": "var(--series-0)"}[row.verdict],
        }
        for place, row in enumerate(figure.rows)
    ]
    x = {"type": "quantitative", "title": figure.x_title, "axis": {"tickCount": 6, "grid": False}}
    y = {"field": "place", "type": "nominal", "sort": None, "axis": None}
    colour_of_row = {"field": "colour", "type": "nominal", "scale": None}
    zero = {"type": "tick", "orient": "vertical", "size": 14, "color": "var(--muted)", "aria": False}
    text = {
        "type": "text",
        "dy": -17,
        "baseline": "middle",
        "fontSize": 13,
        "fill": "var(--ink)",
        "aria": False,
    }
    bar = {"type": "rule", "strokeWidth": 2, "aria": False}
    point = {"type": "point", "shape": "diamond", "filled": True, "opacity": 1, "size": 90}
    ends = {"x": {**x, "field": "low"}, "x2": {"field": "high"}, "y": y, "color": colour_of_row}
    middle = {"x": {**x, "field": "x"}, "y": y, "color": colour_of_row, "description": {"field": "label"}}
    return {
        "width": FOREST_WIDTH,
        "height": {"step": FOREST_STEP},
        "background": None,
        "data": {"values": values},
        "layer": [
            {"mark": zero, "encoding": {"x": {**x, "datum": 0}, "y": y}},
            {
                "mark": {**text, "align": "left"},
                "encoding": {"x": {"value": 0}, "y": y, "text": {"field": "name"}},
            },
            {
                "mark": {**text, "align": "right"},
                "encoding": {"x": {"value": FOREST_WIDTH}, "y": y, "text": {"field": "numbers"}},
            },
            {"mark": bar, "encoding": ends},
            {"mark": point, "encoding": middle},
        ],
        "config": _STYLE,
    }


def y_domain(figure: FigureSpec) -> tuple[float, float]:
    """The range of all means and of the intervals, cut so that the means stay readable.

    With two seeds a t-interval can be a hundred times as wide as the curves, so it is cut one span of the
    means beyond them.
    """
    lines = [*figure.lines, *([figure.rule] if figure.rule else [])]
    points = [point for line in lines for point in line.points]
    forth, back = (math.log10, lambda value: 10**value) if figure.log_y else (float, float)
    means = [forth(point.mean) for point in points]
    span = max(means) - min(means) or abs(means[0]) / 10 or 1.0
    floor, ceiling = min(means) - span, max(means) + span
    lows = [forth(p.low) if p.low > 0 or not figure.log_y else floor for p in points if p.low is not None]
    highs = [forth(p.high) for p in points if p.high is not None]
    low = max(floor, min([*lows, *means])) - span / 20
    high = min(ceiling, max([*highs, *means])) + span / 20
    return back(low), back(high)


def _band(line: Line, low: float, high: float, among: int = 1) -> dict[str, Any]:
    """Paler if it is one `among` many, which overlap."""
    mark = {"type": "area", "color": colour(line), "opacity": min(0.12, 0.35 / among)}
    return _between(mark, line.points, low, high)


def _bars(line: Line, low: float, high: float, among: int) -> dict[str, Any]:
    return _between({"type": "rule", "color": colour(line), "strokeWidth": 1.5}, line.points, low, high)


def _between(mark: dict[str, Any], points: Sequence[Point], low: float, high: float) -> dict[str, Any]:
    """A mark from each point's lower to its upper bound, cut at the frame."""
    values = [
        {"x": point.x, "y": min(max(point.low, low), high), "y2": min(max(point.high, low), high)}
        for point in points
        if point.low is not None and point.high is not None
    ]
    return {"data": {"values": values}, "mark": {**mark, "aria": False}, "encoding": {"y2": {"field": "y2"}}}


def _path(line: Line) -> dict[str, Any]:
    mark = {"type": "line", "color": colour(line), "strokeDash": dash(line), "strokeWidth": 2, "aria": False}
    return {"data": {"values": _values(line.points)}, "mark": mark}


def _markers(line: Line, most: int | None) -> dict[str, Any]:
    """A few markers per line: enough to distinguish lines in black and white, and to hold the tooltips."""
    every = 1 if most is None else max(1, math.ceil(len(line.points) / most))
    points = line.points[::-1][::every]
    mark = {
        "type": "point",
        "shape": shape(line),
        "color": colour(line),
        "filled": True,
        "opacity": 1,
        "size": 45,
    }
    encoding = {"description": {"field": "label"}}
    return {"data": {"values": _values(points)}, "mark": mark, "encoding": encoding}


def _rings(ringed: Line) -> dict[str, Any]:
    mark = {"type": "point", "shape": "circle", "filled": False, "color": "var(--ink)", "size": 170}
    return {"data": {"values": _values(ringed.points)}, "mark": {**mark, "strokeWidth": 1.5, "aria": False}}


def _level(rule: Line, figure: FigureSpec, low: float, high: float) -> dict[str, Any]:
    """The baseline across the whole axis, with its interval as a band."""
    at = [point.x for line in figure.lines for point in line.points]
    (level,) = rule.points
    ends = [replace(level, x=x) for x in (min(at), max(at))]
    band, path = _band(rule, low, high), _path(replace(rule, points=ends))
    band = _between(band["mark"], ends, low, high)
    return {"layer": [band, path], "data": {"values": _values(ends)}}


def _values(points: Sequence[Point]) -> list[dict[str, Any]]:
    return [{"x": point.x, "y": point.mean, "label": point.label} for point in points]


_STYLE = {
    "view": {"stroke": None},
    "axis": {
        "domainColor": "var(--rule)",
        "gridColor": "var(--grid)",
        "tickColor": "var(--rule)",
        "labelColor": "var(--muted)",
        "labelFontSize": 13,
        "titleColor": "var(--ink)",
        "titleFontSize": 13,
        "titleFontWeight": "normal",
        "tickCount": 5,
    },
}
