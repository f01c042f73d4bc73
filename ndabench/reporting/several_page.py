"""The report over several sweeps: what differs, each arm from sweep to sweep, and all arms in one table."""

import json
from collections.abc import Sequence

from ndabench.reporting.comparison import Compared, Comparison, comparisons
from ndabench.reporting.figures import step_figures
from ndabench.reporting.formatting import count
from ndabench.reporting.frames import Frames
from ndabench.reporting.headline import headline
from ndabench.reporting.page import comparison_tables, protocol_blocks, trial_blocks, written_now
from ndabench.reporting.several import Sweeps
from ndabench.reporting.specs import Cell, Column, Fact, ReportSpec, Section, TableSpec

NOT_RECORDED = "not recorded"
ALIKE = "Nothing that is recorded differs: settings, data, code, versions and devices are the same."
NO_CLAIMS = (
    "Sweeps are compared after they ran, so every difference here is exploratory; what a sweep file claims "
    "is decided in that sweep's own report."
)


def several_tables(sweeps: Sweeps) -> list[TableSpec]:
    """What differs, then the values on the test split: each arm from sweep to sweep, and all arms."""
    tables = [differences_table(sweeps)]
    for name, frames in (("sweep", sweeps.arm_by_arm), ("arm", sweeps.all_arms)):
        on_test = [one for one in _compared(frames) if not one.on_validation]
        tables += _tables(name, on_test)
    return tables


def several_spec(sweeps: Sweeps) -> ReportSpec:
    """The whole content of the report."""
    by_sweep, by_arm = _compared(sweeps.arm_by_arm), _compared(sweeps.all_arms)
    joined = sweeps.all_arms
    sections = [
        Section("differences", "What differs between the sweeps", [differences_table(sweeps)]),
        Section("by-sweep", "Each arm, from sweep to sweep", [*_tables("sweep", by_sweep)]),
        Section("by-arm", "All arms", [*_tables("arm", by_arm)]),
        Section("over-training", "Over training", step_figures(joined, by_arm)),
        Section("trials-section", "Trials", trial_blocks(joined)),
        Section("protocols", "Protocols", protocol_blocks(joined)),
    ]
    return ReportSpec(
        title=" and ".join(sweeps.names),
        facts=[
            Fact("sweeps", ", ".join(sweeps.names)),
            Fact("task and data", "; ".join(group.label for group in joined.groups) or "none yet"),
            Fact("trials", str(len(joined.trials))),
            written_now(),
        ],
        headline=[*_found(sweeps, by_sweep, by_arm), NO_CLAIMS],
        sections=[section for section in sections if section.blocks],
    )


def differences_table(sweeps: Sweeps) -> TableSpec:
    """A row for each setting, version or the like that is not the same in all sweeps."""
    rows = [
        [Cell(one.what, one.what), *(Cell(_shown(value), value) for value in one.values)]
        for one in sweeps.differences
    ]
    columns = [Column("what"), *(Column(name) for name in sweeps.names)]
    notes = [] if rows else [ALIKE]
    return TableSpec("differing", "What differs between the sweeps", columns, rows, notes)


def _shown(value: str) -> str:
    """A setting without the quotes of JSON."""
    if not value:
        return NOT_RECORDED
    try:
        read = json.loads(value)
    except ValueError:
        return value
    return read if isinstance(read, str) else value


def _compared(frames: Frames) -> list[Comparison]:
    """The comparisons in which there is something to compare: of sweeps, only where two have the measure."""
    return [
        one
        for one in comparisons(frames)
        if frames.reference is None or len({row.setting.sweep for row in one.rows if row.summary.n}) > 1
    ]


def _tables(name: str, compared: Sequence[Comparison]) -> list[TableSpec]:
    """As in a sweep's report, with other ids: a page may have both kinds."""
    return [
        TableSpec(f"{name}-{table.id}", table.title, table.columns, table.rows, table.notes, table.collapsed)
        for table in comparison_tables(compared)
    ]


def _is_equal(row: Compared) -> bool:
    assert row.difference is not None
    return row.difference.summary.n > 0 and row.difference.summary.mean == 0 and row.difference.p is None


def _found(sweeps: Sweeps, by_sweep: list[Comparison], by_arm: list[Comparison]) -> list[str]:
    if by_sweep:
        sentences = headline(sweeps.arm_by_arm, by_sweep)
    else:
        sentences = ["No arm was measured in two of the sweeps under the same protocol and on the same data."]
    again = [row for one in by_sweep for row in one.rows if row.difference and _is_equal(row)]
    compared = [row for one in by_sweep for row in one.rows if row.difference]
    if again:
        sentences.append(
            f"{len(again)} of {count(len(compared), 'comparison')} with {sweeps.names[0]} found the same "
            "values to the last digit at every shared seed."
        )
    return [*sentences, *(headline(sweeps.all_arms, by_arm) if by_arm else [])]
