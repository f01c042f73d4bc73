"""Where the objective has several metrics: the settings by all of them, and which are in the Pareto set.

Means over the seeds decide which are. No test is made: noise may move a setting into the set, or out of it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from ndabench.errors import first_of
from ndabench.measurement import displayed_name
from ndabench.pareto import SECONDS, pareto_set
from ndabench.reporting.comparison import DIRECTED, Comparison
from ndabench.reporting.formatting import count, with_interval
from ndabench.reporting.frames import Frames, Group, Setting
from ndabench.reporting.intervals import Summary, summarise
from ndabench.reporting.specs import Cell, Column, FigureGroup, FigureSpec, Line, Point, TableSpec
from ndabench.reporting.tables import DIRECTIONS

IN_SET = "in the Pareto set"
MOST_NAMED = 6
Values = Mapping[Setting, Mapping[int, float]]
"""By setting and seed."""


@dataclass(frozen=True)
class Measure:
    """One metric of the objective."""

    name: str
    better: str
    unit: str
    values: Values

    @property
    def title(self) -> str:
        """`seconds ↓`"""
        return f"{self.name} {DIRECTIONS[self.better][0]}"


@dataclass(frozen=True)
class Placed:
    """A setting by every metric, over the seeds that have them all."""

    setting: Setting
    summaries: Sequence[Summary]
    repeated: bool
    in_set: bool = False


@dataclass(frozen=True)
class TradeOff:
    """The settings of one group on one split, those in the Pareto set first, then by the first metric."""

    group: Group
    split: str
    measures: Sequence[Measure]
    rows: Sequence[Placed]

    @property
    def front(self) -> list[Placed]:
        return [row for row in self.rows if row.in_set]


def trade_offs(frames: Frames, comparisons: Sequence[Comparison]) -> list[TradeOff]:
    """One for each group, on the test split where it was measured; none for an objective of one metric.

    The set is that of the repeated settings. Those that only the search tried are in it while none is.
    """
    if len(frames.objectives) < 2:
        return []
    found = []
    for group in dict.fromkeys(one.group for one in comparisons):
        for split in ("test", "validation"):
            of_split = [one for one in comparisons if (one.group, one.split) == (group, split)]
            measures = [_measure(frames, group, name, split, of_split) for name in frames.objectives]
            if of_split and all(measures):
                known = [measure for measure in measures if measure is not None]
                found.append(TradeOff(group, split, known, _placed(of_split, known)))
                break
    return [one for one in found if one.rows]


def _measure(
    frames: Frames, group: Group, name: str, split: str, comparisons: Sequence[Comparison]
) -> Measure | None:
    """A metric under the first of its protocols in the report; None where it was not measured."""
    if name == SECONDS:
        return Measure(name, "lower", "s", _seconds(frames, group))
    shown = displayed_name(name, split)
    found = next((one for one in comparisons if one.name == shown and one.better in DIRECTED), None)
    if found is None:
        return None
    return Measure(found.name, found.better, found.unit, {row.setting: row.values for row in found.rows})


def _seconds(frames: Frames, group: Group) -> Values:
    """The wall time of finished trials; where two have one setting and seed, of the later one."""
    trials = frames.trials[frames.trials["status"] == "finished"].sort_values("finished", kind="stable")
    trials = trials[trials["group"] == frames.groups.index(group)]
    values: dict[Setting, dict[int, float]] = {}
    for place, seed, seconds in zip(*(trials[key] for key in ("setting", "seed", "seconds")), strict=True):
        values.setdefault(frames.settings[int(place)], {})[int(seed)] = float(seconds)
    return values


def _placed(comparisons: Sequence[Comparison], measures: Sequence[Measure]) -> list[Placed]:
    repeated = {row.setting for one in comparisons for row in one.rows if row.repeated}
    rows = []
    for setting in measures[0].values:
        of_setting = [measure.values.get(setting, {}) for measure in measures]
        seeds = [
            seed
            for seed in of_setting[0]
            if all(math.isfinite(values.get(seed, math.nan)) for values in of_setting)
        ]
        if seeds:
            summaries = [summarise([values[seed] for seed in seeds]) for values in of_setting]
            rows.append(Placed(setting, summaries, setting in repeated))
    candidates = [row for row in rows if row.repeated] or rows
    means = [[summary.mean for summary in row.summaries] for row in candidates]
    best = pareto_set(means, ["max" if measure.better == "higher" else "min" for measure in measures])
    in_set = {candidates[place].setting for place in best}
    sign = -1 if measures[0].better == "higher" else 1
    rows = [Placed(row.setting, row.summaries, row.repeated, row.setting in in_set) for row in rows]
    return sorted(rows, key=lambda row: (not row.in_set, not row.repeated, sign * row.summaries[0].mean))


def trade_off_sentences(frames: Frames, trade_offs: Sequence[TradeOff]) -> list[str]:
    """What there is in place of a best setting."""
    sentences = []
    for one in trade_offs:
        place = f" ({one.group.label})" if len(frames.groups) > 1 else ""
        names = " and ".join(measure.name for measure in one.measures)
        members = [
            f"{row.setting.label} ({', '.join(with_interval(summary) for summary in row.summaries)})"
            for row in one.front
        ]
        candidates = count(sum(row.repeated for row in one.rows) or len(one.rows), "setting")
        sentences.append(
            f"No setting is the best by {names}{place}. {len(one.front)} of {candidates} "
            f"{'is' if len(one.front) == 1 else 'are'} in the Pareto set, by means on the {one.split} split, "
            f"which no test decides: {first_of(members, MOST_NAMED)}."
        )
    return sentences


def trade_off_tables(frames: Frames, trade_offs: Sequence[TradeOff]) -> list[TableSpec]:
    """A row for each repeated setting, or for each that the search tried while none was repeated."""
    return [_table(frames, one, place) for place, one in enumerate(trade_offs, start=1)]


def _table(frames: Frames, trade_off: TradeOff, place: int) -> TableSpec:
    rows = [row for row in trade_off.rows if row.repeated] or trade_off.rows
    columns = [
        Column("setting"),
        Column("n", "seeds with a value of each metric", numeric=True),
        *(
            Column(
                f"{one.title} ± 95 %", f"mean over seeds with its 95 % t-interval {one.unit}".rstrip(), True
            )
            for one in trade_off.measures
        ),
        Column("Pareto set"),
    ]
    notes = [
        "In the Pareto set is a setting if no other has means that are all at least as good, and one better. "
        "Noise may move a setting into the set, or out of it."
    ]
    if SECONDS in frames.objectives:
        notes.append(
            "seconds: wall time of a trial with its measurements; it depends on the machine and on what else "
            "ran there."
        )
    return TableSpec(
        id=f"pareto-{place}",
        title=_title(frames, trade_off),
        columns=columns,
        rows=[_row(row) for row in rows],
        notes=notes,
    )


def _title(frames: Frames, trade_off: TradeOff) -> str:
    names = " and ".join(measure.title for measure in trade_off.measures)
    group = f", {trade_off.group.label}" if len(frames.groups) > 1 else ""
    return f"Pareto set of {names}, {trade_off.split} split{group}"


def _row(row: Placed) -> list[Cell]:
    mark: Literal["best", ""] = "best" if row.in_set else ""
    return [
        Cell(row.setting.label, row.setting.label, mark=mark),
        Cell(str(row.summaries[0].n), row.summaries[0].n),
        *(Cell(with_interval(summary), summary.mean) for summary in row.summaries),
        Cell("in it" if row.in_set else "", "" if row.in_set else "not in it", mark=mark),
    ]


def trade_off_figures(frames: Frames, trade_offs: Sequence[TradeOff]) -> FigureGroup | None:
    """The first metric against each of the others, a point for each setting, with those that only the search
    tried; None without any."""
    figures = [
        _figure(frames, one, other, f"pareto-figure-{place}-{other}")
        for place, one in enumerate(trade_offs, start=1)
        for other in range(1, len(one.measures))
    ]
    return FigureGroup(figures) if figures else None


def _figure(frames: Frames, trade_off: TradeOff, other: int, identity: str) -> FigureSpec:
    first, second = trade_off.measures[0], trade_off.measures[other]
    by_arm: dict[str, list[Point]] = {}
    for row in trade_off.rows:
        by_arm.setdefault(row.setting.arm, []).append(_point(row, other))
    notes = [
        "A point for each setting: the mean over its seeds"
        + (", or the one value of a setting that only the search tried." if _has_tried(trade_off) else ".")
    ]
    return FigureSpec(
        id=identity,
        title=f"{first.name} against {second.name}, {trade_off.split} split"
        + (f", {trade_off.group.label}" if len(frames.groups) > 1 else ""),
        x_title=f"{second.name}, {_axis(second)}",
        y_title=_axis(first),
        lines=[Line(arm, frames.arms.index(arm), 0, by_arm[arm]) for arm in frames.arms if arm in by_arm],
        intervals="bar",
        notes=notes,
        joined=False,
        ringed=Line(IN_SET, 0, 0, [_point(row, other) for row in trade_off.front]),
    )


def _has_tried(trade_off: TradeOff) -> bool:
    return len({row.repeated for row in trade_off.rows}) > 1


def _axis(measure: Measure) -> str:
    return DIRECTIONS[measure.better] + (f" ({measure.unit})" if measure.unit else "")


def _point(row: Placed, other: int) -> Point:
    shown = ", ".join(with_interval(row.summaries[place]) for place in (0, other))
    seeds = count(row.summaries[0].n, "seed")
    label = f"{row.setting.label}: {shown}, {seeds}{f', {IN_SET}' if row.in_set else ''}"
    return Point(row.summaries[other].mean, row.summaries[0].mean, None, None, label)
