"""How many seeds a difference needs, by the spread that a pilot's seeds show."""

import math

from ndabench.errors import UserError
from ndabench.records import RecordStore
from ndabench.reporting.comparison import DIRECTED, Compared, Comparison, comparisons
from ndabench.reporting.formatting import decimals_for, number
from ndabench.reporting.frames import Frames, load
from ndabench.reporting.intervals import SIGNIFICANT, standard_deviation
from ndabench.reporting.power import MOST_SEEDS, seeds_for, upper_deviation
from ndabench.reporting.specs import Cell, Column, TableSpec

COLUMNS = [
    Column("arm"),
    Column("pairs", "pairs of seeds in these records", numeric=True),
    Column("s", "standard deviation of the differences at equal seeds", numeric=True),
    Column("seeds", "if the true deviation is s", numeric=True),
    Column("cautious", "if it is at the bound that it is below in 80 % of pilots of this size", numeric=True),
]


def seeds_tables(store: RecordStore, difference: float) -> list[TableSpec]:
    """A table for each comparison by the primary measure, or by every metric where there is none.

    `UserError` where `difference` is not above 0, or no arm has two seeds in common with the baseline.
    """
    if not (difference > 0 and math.isfinite(difference)):
        raise UserError(f"--seeds-for: needs a difference above 0, got {difference:g}")
    frames = load(store)
    on_test = [c for c in comparisons(frames) if not c.on_validation and c.better in DIRECTED]
    primary = [c for c in on_test if c.name == frames.measure] or on_test
    tables = [table for c in primary if (table := _table(frames, c, difference)).rows]
    if not tables:
        raise UserError(
            f"--seeds-for: {store.root} has no arm with two seeds in common with the baseline whose "
            "differences vary"
        )
    return tables


def _table(frames: Frames, comparison: Comparison, difference: float) -> TableSpec:
    claimed = [claim.arm for claim in frames.claim.that] if frames.claim is not None else []
    settings = [row.setting.arm for row in comparison.rows if row.repeated]
    tests = max(sum(map(settings.count, claimed)) or comparison.num_tests, 1)
    rows = [cells for row in comparison.rows if (cells := _row(row, difference, SIGNIFICANT / tests))]
    of = f"{difference:g} {comparison.unit}".rstrip()
    return TableSpec(
        id=f"seeds-{comparison.name}",
        title=f"Seeds for a difference of {of} in {comparison.name}",
        columns=COLUMNS,
        rows=rows,
        notes=[
            f"Two-sided paired t-test at 0.05 / {tests} with 80 % power. The column s belongs to the pilot; "
            "take new seeds for the claim, not the pilot's."
        ],
    )


def _row(row: Compared, difference: float, alpha: float) -> list[Cell]:
    """The cells of a setting; empty for one that is not compared or has no spread."""
    deviation = standard_deviation(row.difference) if row.difference is not None else None
    if row.difference is None or deviation is None:
        return []
    n = row.difference.summary.n
    plans = [seeds_for(difference, s, alpha) for s in (deviation, upper_deviation(deviation, n))]
    return [
        Cell(row.setting.label),
        Cell(str(n), n),
        Cell(number(deviation, decimals_for(deviation, deviation)), deviation),
        *(Cell(f"> {MOST_SEEDS:,}") if plan is None else Cell(str(plan), plan) for plan in plans),
    ]
