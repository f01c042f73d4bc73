"""Figures computed from records: a metric over training steps, and final values over λ."""

import math
import operator
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from ndabench.measurement import displayed_name
from ndabench.records.schema import NAME_PARTS
from ndabench.reporting.comparison import DIRECTED, Comparison, leading
from ndabench.reporting.formatting import count, interval, with_interval
from ndabench.reporting.frames import Frames, Setting
from ndabench.reporting.intervals import Summary, half_widths
from ndabench.reporting.specs import FigureGroup, FigureSpec, Line, Point
from ndabench.reporting.tables import DIRECTIONS

MOST_LINES = 10
MOST_SELECTABLE = 30
"""Lines of a figure, those included that are hidden until they are selected in the legend."""
MOST_POINTS = 100
MOST_PAIRS = 12
MOST_OPEN = 3
"""Figures over training that are not folded away: a row of a screen; the objective's, if there is one."""
LOG_RATIO = 5
"""A curve whose means span more than this factor is drawn on a logarithmic scale."""
DODGE = 0.012
"""Lines over λ are shifted by this fraction of the axis, so that their bars do not cover each other."""
CURVE_KEY = ["group", "kind", *NAME_PARTS, "name", "protocol_json"]
SHOWN_STATUSES = ("finished", "running", "pruned", "stopped")


def step_figures(frames: Frames, comparisons: Sequence[Comparison]) -> list[FigureGroup]:
    """Every metric that some setting has at two or more steps: first the evaluations, then, collapsed, the
    training curves.

    Each shows the mean and its 95 % t-interval over the seeds measured at that step. Trials that failed or
    diverged are left out: where they end, the mean of the others would jump.
    """
    curves, details = curves_over_seeds(frames)
    leaders = leading(comparisons)
    evaluations: list[tuple[bool, str, FigureSpec]] = []
    training: list[FigureSpec] = []
    by_name: list[tuple[Any, pd.DataFrame]] = list(curves.groupby(["group", "name"], observed=True))
    for (group, name), same_name in by_name:
        protocols = [
            p
            for _, p in same_name.groupby("protocol_json", observed=True)
            if p.groupby("setting")["step"].nunique().max() > 1
        ]
        for place, curve in enumerate(protocols):
            title = f"{name} over training"
            title += f", {frames.groups[group].label}" if len(frames.groups) > 1 else ""
            title += f", protocol {place + 1} of {len(protocols)}" if len(protocols) > 1 else ""
            y_title = _y_title(*details[name])
            figure = _step_figure(frames, curve, f"steps-{group}-{name}-{place}", title, y_title, leaders)
            first = curve.iloc[0]
            if first["kind"] == "curve":
                training.append(figure)
            else:
                is_objective = displayed_name(first["metric"], label=first["label"]) == frames.objective
                evaluations.append((not is_objective, figure.title, figure))
    evaluations.sort(key=operator.itemgetter(0, 1))
    figures = [figure for *_, figure in evaluations]
    opened = len(figures)
    if len(figures) > MOST_OPEN:
        opened = sum(not other for other, *_ in evaluations) or MOST_OPEN
    groups = [
        FigureGroup(figures[:opened]),
        FigureGroup(figures[opened:], "Other measures over training", collapsed=True),
        FigureGroup(training, "Training curves", collapsed=bool(evaluations)),
    ]
    return [group for group in groups if group.figures]


def curves_over_seeds(frames: Frames) -> tuple[pd.DataFrame, dict[str, tuple[str, str]]]:
    """Mean, n and half-width at every step of every setting; and each metric's unit and direction."""
    trials = frames.trials
    shown = trials.index[trials["status"].isin(SHOWN_STATUSES) & trials["repeat"]]
    metrics = frames.metrics[frames.metrics["trial_id"].isin(shown) & np.isfinite(frames.metrics["value"])]
    over_seeds = metrics.groupby([*CURVE_KEY, "setting", "step"], observed=True)["value"]
    curves = over_seeds.agg(["count", "mean", "std"]).reset_index()
    curves["half_width"] = half_widths(curves["count"].to_numpy(), curves["std"].to_numpy())
    first = metrics.drop_duplicates("name")
    return curves, dict(zip(first["name"], zip(first["unit"], first["better"], strict=True), strict=True))


def _step_figure(
    frames: Frames, curve: pd.DataFrame, identity: str, title: str, y_title: str, leaders: list[Setting]
) -> FigureSpec:
    places, notes = sorted(curve["setting"].unique().tolist()), []
    if len(places) > MOST_LINES:
        known = {frames.settings[place]: place for place in places}
        kept = [known[leader] for leader in leaders if leader in known]
        which = ": the baseline, then the arms with the best means, each at its best setting" if kept else ""
        kept = (kept or places)[:MOST_SELECTABLE]
        shown = kept[:MOST_LINES]
        notes.append(f"{len(shown)} of {len(places)} settings are drawn{which}.{_selectable(kept)}")
        places = [*sorted(shown), *sorted(kept[MOST_LINES:])]
    lines = [_step_line(frames, place, _thinned(curve[curve["setting"] == place])) for place in places]
    lines = [replace(line, hidden=place >= MOST_LINES) for place, line in enumerate(lines)]
    log_y = _wants_log(lines)
    title += " (log scale)" if log_y else ""
    figure = FigureSpec(identity, title, "training steps", y_title, lines, log_y=log_y, notes=notes)
    return replace(figure, later=_later(figure))


def _selectable(lines: Sequence[Any]) -> str:
    """The sentence on those of `lines` that are hidden at first; empty without any."""
    more = len(lines) - MOST_LINES
    return f" {more} more can be shown by a click in the legend." if more > 0 else ""


def _later(figure: FigureSpec) -> FigureSpec | None:
    """The later half of the steps, where arms differ by less than they do at first; None if it is short."""
    steps = sorted({point.x for line in figure.lines for point in line.points})
    half = (steps[0] + steps[-1]) / 2
    if sum(step >= half for step in steps) < 3:
        return None
    cut = [replace(line, points=[p for p in line.points if p.x >= half]) for line in figure.lines]
    if not all(line.points or line.hidden for line in cut):
        return None
    return replace(figure, title=f"{figure.title}, later half", lines=cut, log_y=_wants_log(cut))


def _step_line(frames: Frames, place: int, curve: pd.DataFrame) -> Line:
    setting = frames.settings[place]
    columns = curve[["step", "count", "mean", "half_width"]].itertuples(index=False, name=None)
    points = [
        _point(f"{setting.label}, step {step:,}", step, Summary(n, mean, None if math.isnan(half) else half))
        for step, n, mean, half in columns
    ]
    return Line(setting.label, frames.arms.index(setting.arm), _dash(frames, setting), points)


def _thinned(curve: pd.DataFrame) -> pd.DataFrame:
    """At most `MOST_POINTS` rows, evenly spaced, including the first and the last."""
    if len(curve) <= MOST_POINTS:
        return curve
    return curve.iloc[np.unique(np.linspace(0, len(curve) - 1, MOST_POINTS).round().astype(int))]


def measure_figures(frames: Frames, comparisons: Sequence[Comparison]) -> list[FigureGroup]:
    """For each group the primary measure against each of the others, a point for each trial."""
    on_test = [one for one in comparisons if not one.on_validation and one.better in DIRECTED]
    groups = []
    for number, group in enumerate(dict.fromkeys(one.group for one in on_test)):
        of_group = [one for one in on_test if one.group == group]
        primary = next((one for one in of_group if one.name == frames.measure), of_group[0])
        others = [one for one in of_group if one.name != primary.name][:MOST_PAIRS]
        pairs = [_pair(frames, primary, one, f"pair-{number}-{place}") for place, one in enumerate(others)]
        figures = [figure for figure in pairs if figure.lines]
        if figures:
            title = group.label if len(frames.groups) > 1 else ""
            groups.append(FigureGroup(figures, title, choice=True))
    return groups


def _pair(frames: Frames, primary: Comparison, other: Comparison, identity: str) -> FigureSpec:
    values = {row.setting: row.values for row in other.rows if row.repeated}
    kept = leading([primary])[:MOST_SELECTABLE]
    lines = []
    for row in primary.rows:
        found = values.get(row.setting, {})
        points = [
            Point(
                found[seed],
                value,
                None,
                None,
                f"{row.setting.label}, seed {seed}: {found[seed]:.4g}, {value:.4g}",
            )
            for seed, value in sorted(row.values.items())
            if math.isfinite(value) and math.isfinite(found.get(seed, math.nan))
        ]
        if row.setting in kept and points:
            hidden = kept.index(row.setting) >= MOST_LINES
            lines.append(Line(row.setting.label, frames.colour(row.setting), 0, points, hidden))
    lines.sort(key=lambda line: line.hidden)
    return FigureSpec(
        id=identity,
        title=f"{primary.name} against {other.name}",
        x_title=f"{other.name}, {_y_title(other.unit, other.better)}",
        y_title=_y_title(primary.unit, primary.better),
        lines=lines,
        intervals="bar",
        notes=["A point for each trial, of each arm at its setting with the best mean." + _selectable(lines)],
        joined=False,
    )


def lambda_figures(frames: Frames, comparisons: Sequence[Comparison]) -> FigureGroup | None:
    """Test values over λ by arm, with the baseline as a level; None unless an arm was run at several λ."""
    figures = []
    for place, comparison in enumerate(comparisons):
        measured = [row.setting.lambda_ for row in comparison.rows if row.summary.n]
        lambdas = sorted({value for value in measured if value is not None})
        if len(lambdas) > 1 and not comparison.on_validation:
            figures.append(_lambda_figure(frames, comparison, lambdas, f"lambda-{place}"))
    return FigureGroup(figures) if figures else None


def _lambda_figure(frames: Frames, comparison: Comparison, lambdas: list[float], identity: str) -> FigureSpec:
    """An arm with other searched parameters has one line for each choice of them; after a sampled search,
    where hardly two settings share a choice, it has points."""
    by_line: dict[tuple[str, tuple[tuple[str, str], ...]], list[tuple[float, str, Summary]]] = {}
    for row in comparison.rows:
        setting = row.setting
        if setting.lambda_ is not None and row.summary.n:
            key = (setting.arm, () if frames.sampled else setting.parameters)
            by_line.setdefault(key, []).append((setting.lambda_, setting.label, row.summary))
    sign = -1 if comparison.better == "higher" else 1
    best_first = sorted(by_line, key=lambda line: min(sign * summary.mean for *_, summary in by_line[line]))
    shown, selectable = best_first[:MOST_LINES], best_first[MOST_LINES:MOST_SELECTABLE]
    drawn = [line for part in (shown, selectable) for line in by_line if line in part]
    width = (lambdas[-1] - lambdas[0]) * DODGE
    lines = []
    for place, (arm, parameters) in enumerate(drawn):
        values = by_line[arm, parameters]
        shift = (place % MOST_LINES - (len(shown) - 1) / 2) * width
        points = [
            _point(label, x + shift, summary) for x, label, summary in sorted(values, key=lambda v: v[0])
        ]
        detail = Setting(arm, None, "", "", parameters).label
        lines.append(Line(detail, frames.arms.index(arm), place, points, hidden=place >= MOST_LINES))
    notes = [
        f"λ: {comparison.lambda_meaning}.",
        "Bars are the 95 % t-interval of each mean by itself. Whether a setting differs from the baseline is "
        "in the tables: seeds are paired there.",
    ]
    if len(by_line) > MOST_LINES:
        notes.append(
            f"{MOST_LINES} of {len(by_line)} lines are drawn, those with the best means.{_selectable(drawn)}"
        )
    return FigureSpec(
        id=identity,
        title=f"{comparison.name} over λ" + (f", {comparison.group.label}" if len(frames.groups) > 1 else ""),
        x_title="λ",
        y_title=_y_title(comparison.unit, comparison.better),
        lines=lines,
        intervals="bar",
        rule=_rule(frames, comparison),
        notes=notes,
        joined=not frames.sampled,
    )


def _rule(frames: Frames, comparison: Comparison) -> Line | None:
    if len(comparison.baselines) != 1 or comparison.baselines[0].setting.lambda_ is not None:
        return None
    baseline = comparison.baselines[0]
    point = _point(baseline.setting.label, 1.0, baseline.summary)
    return Line(baseline.setting.label, frames.arms.index(baseline.setting.arm), 0, [point])


def _point(label: str, x: float, summary: Summary) -> Point:
    detail = f"{label}: {with_interval(summary)} {interval(summary)}".rstrip()
    return Point(float(x), summary.mean, summary.low, summary.high, f"{detail}, {count(summary.n, 'seed')}")


def _dash(frames: Frames, setting: Setting) -> int:
    """The position of a setting among its arm's settings."""
    return [other for other in frames.settings if other.arm == setting.arm].index(setting)


def _y_title(unit: str, better: str) -> str:
    """The direction and the unit; the metric's name is the title and would not fit here."""
    return DIRECTIONS.get(better, "") + (f" ({unit})" if unit else "") or "value"


def _wants_log(lines: Sequence[Line]) -> bool:
    means = [point.mean for line in lines for point in line.points]
    return bool(means) and min(means) > 0 and max(means) / min(means) > LOG_RATIO
