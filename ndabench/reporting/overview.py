"""The report at a glance: every arm's difference from the baseline, and all measures in one table.

Both repeat numbers of the tables below them and decide nothing. Claims have the intervals of their decisions,
everything else has those of its table.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ndabench.reporting.comparison import DIRECTED, Compared, Comparison
from ndabench.reporting.decisions import decisions
from ndabench.reporting.formatting import (
    NOTHING,
    count,
    decimals_of,
    interval,
    number,
    p_value,
    with_interval,
)
from ndabench.reporting.frames import Frames, Setting
from ndabench.reporting.intervals import Difference
from ndabench.reporting.specs import Block, Cell, Column, ForestRow, ForestSpec, TableSpec, Verdict
from ndabench.reporting.tables import BEST, DIRECTIONS, VERDICTS, verdict

MOST_ROWS = 30
"""Of a forest plot; with more settings the plot would be longer than a screen."""


def overview(frames: Frames, comparisons: Sequence[Comparison]) -> list[Block]:
    """A forest plot of the primary measure for each group, and a table of all measures on the test split."""
    on_test = [one for one in comparisons if not one.on_validation and one.better in DIRECTED]
    primary = [one for one in on_test if one.name == (frames.measure or on_test[0].name)]
    forests = [_forest(frames, one, comparisons) for one in primary]
    blocks: list[Block] = [forest for forest in forests if forest is not None]
    failed = decisions(frames, comparisons).decides is False
    for place, group in enumerate(dict.fromkeys(one.group for one in on_test), start=1):
        of_group = [one for one in on_test if one.group == group]
        if len(of_group) > 1:
            title = "All measures" + (f", {group.label}" if len(frames.groups) > 1 else "")
            blocks.append(_matrix(f"glance-{place}", title, of_group, failed))
    return blocks


def _forest(frames: Frames, comparison: Comparison, among: Sequence[Comparison]) -> ForestSpec | None:
    """The differences of one comparison; None where none has an interval."""
    rows = [row for effect in effects(frames, comparison, among) if (row := _forest_row(effect)) is not None]
    if not rows:
        return None
    hidden = len(rows) - MOST_ROWS
    unit = f" in {comparison.unit}" if comparison.unit else ""
    notes = [
        "Means of paired differences with the intervals that belong to their p: adjusted over the claims, or "
        "else over the table below."
    ]
    notes += [f"{count(hidden, 'more setting')} in the table."] if hidden > 0 else []
    return ForestSpec(
        id=f"forest-{comparison.name}-{among.index(comparison)}",
        title=f"{comparison.name}: difference from {comparison.baseline_label}",
        x_title=f"difference{unit} ({DIRECTIONS[comparison.better]})",
        rows=rows[:MOST_ROWS],
        notes=notes,
    )


@dataclass(frozen=True)
class Effect:
    """What a setting does to a measure, with the interval that the report decides by."""

    setting: Setting
    role: str
    """` (claim)`, ` (negative control)` or the like, or empty."""
    difference: Difference
    verdict: Verdict


def effects(frames: Frames, comparison: Comparison, among: Sequence[Comparison]) -> list[Effect]:
    """The settings compared with the baseline; claims as they were decided `among` all comparisons."""
    decided = decisions(frames, among)
    roles = {id(one.row): f" ({one.kind} control)" for one in decided.controls if one.row}
    roles |= {id(one.row): " (claim)" for one in decided.claims if one.row}
    differences = {id(one.row): one.difference for one in decided.claims if one.row and one.difference}
    undecided = {id(one.row) for one in decided.claims if one.undecided}
    found = []
    for row in comparison.rows:
        difference = differences.get(id(row), row.difference)
        if difference is None or difference.summary.n == 0:
            continue
        open_ = decided.decides is False or id(row) in undecided
        shown: Verdict = "" if open_ else verdict(difference, comparison.better)
        found.append(Effect(row.setting, roles.get(id(row), ""), difference, shown))
    return found


def _forest_row(effect: Effect) -> ForestRow | None:
    """None without an interval."""
    summary, name = effect.difference.summary, effect.setting.label + effect.role
    if summary.low is None or summary.high is None:
        return None
    numbers = f"{number(summary.mean, decimals_of(summary), signed=True)} {interval(summary)}"
    label = f"{name}: {with_interval(summary, signed=True)}, {_over(effect.difference)}"
    return ForestRow(name, summary.mean, summary.low, summary.high, effect.verdict, numbers, label)


def _over(difference: Difference) -> str:
    limits = f"{100 * difference.confidence:.3g} % interval {interval(difference.summary)}"
    return f"{limits} over {count(difference.summary.n, 'pair')}, p = {p_value(difference.p_adjusted)}"


def _matrix(identity: str, title: str, comparisons: Sequence[Comparison], failed: bool) -> TableSpec:
    """A row for each setting, a column for each measure."""
    several = {one.name for one in comparisons if [c.name for c in comparisons].count(one.name) > 1}
    columns = [Column("arm")]
    for one in comparisons:
        unit = f" [{one.unit}]" if one.unit else ""
        which = f", protocol {[c for c in comparisons if c.name == one.name].index(one) + 1}"
        name = f"{one.name}{unit} {DIRECTIONS[one.better][0]}{which if one.name in several else ''}"
        columns.append(Column(name, DIRECTIONS[one.better][2:], numeric=True))
    settings = dict.fromkeys(row.setting for one in comparisons for row in one.rows if row.repeated)
    by_setting = [{row.setting: row for row in one.rows} for one in comparisons]
    rows = [
        [
            Cell(setting.label, setting.label),
            *(
                _cell(found.get(setting), "neither" if failed else one.better)
                for found, one in zip(by_setting, comparisons, strict=True)
            ),
        ]
        for setting in settings
    ]
    called = (
        "A control failed, so no difference is called better or worse here."
        if failed
        else "“better” and “worse”: the difference from the baseline is significant in that measure's table."
    )
    notes = [f"Means over the seeds. {called}{BEST} best mean, as in the tables."]
    return TableSpec(identity, title, columns, rows, notes)


def _cell(row: Compared | None, better: str) -> Cell:
    if row is None or row.summary.n == 0:
        return Cell(NOTHING)
    mark = verdict(row.difference, better)
    mean = number(row.summary.mean, decimals_of(row.summary))
    note = with_interval(row.summary)
    if row.difference is not None and row.difference.summary.n:
        note += f"; difference {with_interval(row.difference.summary, signed=True)}"
    text = mean + (BEST if row.best else "") + VERDICTS[mark]
    return Cell(text, row.summary.mean, note, mark or ("best" if row.best else ""))
