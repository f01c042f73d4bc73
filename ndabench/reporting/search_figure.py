"""A search in parallel coordinates: an axis for each searched parameter, the measure last.

Each line is a setting. Where lines that end at the top pass through one place of an axis, that place matters.
"""

import math
from collections.abc import Sequence
from typing import Any

from ndabench.reporting.comparison import DIRECTED, Compared, Comparison
from ndabench.reporting.formatting import count, decimals_of, number
from ndabench.reporting.frames import Frames, Setting, decoded
from ndabench.reporting.specs import FigureGroup, FigureSpec, Line, ParallelAxis, Point

FEWEST_SETTINGS, MOST_SETTINGS = 5, 300
MOST_TICKS = 6
LOG_RATIO = 20
"""An axis whose values span more than this factor is logarithmic."""


def search_figure(frames: Frames, comparisons: Sequence[Comparison]) -> FigureGroup | None:
    """None unless several settings differ in two or more parameters."""
    chosen_by = [one for one in comparisons if one.on_validation and one.name == f"val_{frames.objective}"]
    figures = [figure for place, one in enumerate(chosen_by) if (figure := _figure(frames, one, place))]
    return FigureGroup(figures) if figures else None


def _figure(frames: Frames, comparison: Comparison, place: int) -> FigureSpec | None:
    measured = [row for row in comparison.rows if row.summary.n]
    values = {id(row): _parameters(row.setting) for row in measured}
    known = {name for found in values.values() for name in found}
    varied = {n for n in known if len({repr(found[n]) for found in values.values() if n in found}) > 1}
    names = sorted(varied, key=lambda name: (name != "λ", name))
    rows = [row for row in measured if all(name in values[id(row)] for name in names)]
    if comparison.better not in DIRECTED or len(names) < 2 or len(rows) < FEWEST_SETTINGS:
        return None
    sign = -1 if comparison.better == "higher" else 1
    rows = sorted(rows, key=lambda row: sign * row.summary.mean)[:MOST_SETTINGS]
    axes = [_axis(name, [values[id(row)][name] for row in rows]) for name in names]
    means = [-sign * row.summary.mean for row in rows]
    low, span = min(means), max(means) - min(means) or 1.0
    ends = [(0.0, _mean(rows[-1])), (1.0, _mean(rows[0]))]
    last = ParallelAxis(comparison.name, ends, {})
    by_arm: dict[str, list[Point]] = {}
    for row, mean in zip(rows, means, strict=True):
        places = [axis.places[repr(values[id(row)][name])] for name, axis in zip(names, axes, strict=True)]
        label = f"{row.setting.label}: {_mean(row)}, {count(row.summary.n, 'seed')}"
        places.append((mean - low) / span)
        by_arm.setdefault(row.setting.arm, []).extend(
            Point(float(x), y, None, None, label) for x, y in enumerate(places)
        )
    left = len(measured) - len(rows)
    return FigureSpec(
        id=f"search-{place}",
        title=f"Search by {comparison.name}",
        x_title="",
        y_title="",
        lines=[Line(arm, frames.arms.index(arm), 0, points) for arm, points in by_arm.items()],
        notes=[
            "A line for each setting, as the search saw it on the validation split. It decides nothing. The "
            "best is on top.",
            *(
                [f"{count(left, 'setting')} without a value on every axis, or beyond the best, left out."]
                if left
                else []
            ),
        ],
        axes=[*axes, last],
    )


def _parameters(setting: Setting) -> dict[str, Any]:
    weight = {} if setting.lambda_ is None else {"λ": setting.lambda_}
    return weight | {name: decoded(value) for name, value in setting.parameters}


def _axis(name: str, values: list[Any]) -> ParallelAxis:
    """Numbers from low to high, other values in the order of their text, evenly spaced."""
    distinct = {repr(value): value for value in values}
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        ordered = sorted(distinct)
        places = {key: place / (len(ordered) - 1) for place, key in enumerate(ordered)}
        return ParallelAxis(name, [(place, str(distinct[key])) for key, place in places.items()], places)
    forth = math.log if min(values) > 0 and max(values) / min(values) > LOG_RATIO else float
    low, span = forth(min(values)), forth(max(values)) - forth(min(values))
    places = {key: (forth(value) - low) / span for key, value in distinct.items()}
    shown = distinct if len(distinct) <= MOST_TICKS else [repr(min(values)), repr(max(values))]
    return ParallelAxis(name, [(places[key], f"{distinct[key]:.4g}") for key in shown], places)


def _mean(row: Compared) -> str:
    return number(row.summary.mean, decimals_of(row.summary))
