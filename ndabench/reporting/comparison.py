"""Settings compared with the baseline on one metric under one protocol.

Values are compared only inside a `Comparison`: same task, data, metric and protocol. Nothing is chosen
here: every setting that was repeated over the seeds is tested. Choosing by the same trials' validation values
and testing only the choice would come close to choosing on the test split, since both splits share the
run-to-run noise. A sampled search chooses with a dedicated seed that the repeats do not use, so its repeats
are free of that.

The p values are Holm-adjusted over a family of claims. What the headline claims is one family: every arm,
setting, data set and protocol of the objective. Without an objective on the test split, these are the tests
of all metrics that have a better direction. Each other metric is a family by itself, and the headline makes
no claim about it. By several metrics of an objective it makes none at all (`trade_off.py`).
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from ndabench.reporting.formatting import natural_order
from ndabench.reporting.frames import COMPARISON_KEY, Frames, Group, Setting, decoded
from ndabench.reporting.intervals import Difference, Summary, decided, paired_difference, summarise

DIRECTED = ("lower", "higher")


@dataclass(frozen=True)
class Compared:
    """The final values of one setting. `values` maps seed to value."""

    setting: Setting
    values: dict[int, float]
    summary: Summary
    repeated: bool
    """False if only the search has run it: then it is shown but never tested."""
    missing: dict[str, int]
    """Repeats without a value, counted by reason: `NaN` (or infinite), or the status of the trial."""
    best: bool = False
    near_best: bool = False
    """Whether it is not shown to differ from the best; False, too, where that cannot be tested."""
    against: Setting | None = None
    """The baseline's setting that `difference` refers to."""
    difference: Difference | None = None


@dataclass(frozen=True)
class Comparison:
    """All the numbers of one table."""

    group: Group
    name: str
    """What progress lines and the report call the metric; see `displayed_name`."""
    metric: str
    split: str
    unit: str
    better: str
    protocol_json: str
    rows: list[Compared]
    baselines: list[Compared]
    """The baseline arm's repeated settings that have a value; several if more than λ was searched."""
    conditional: bool
    lambda_meaning: str
    """What λ weighs in the group's task."""
    claimed: bool = False
    """Whether the headline makes claims about it."""
    num_tests: int = 0
    """The tests of its family, over which p is adjusted."""
    exploratory: bool = False
    """Whether the sweep has claims: only these are decided, see `decisions`."""
    reference: str | None = None
    """As in `Frames`: the sweep whose settings are the `baselines`."""
    later: tuple[int, str] | None = None
    """How many of the values were measured after the trials had ended, and when by which version."""

    @property
    def measured_on(self) -> str:
        """The data set of the measurement: the training data set, unless the protocol names another."""
        protocol = decoded(self.protocol_json)
        return str(protocol.get("data", self.group.dataset)) if isinstance(protocol, dict) else ""

    @property
    def on_validation(self) -> bool:
        return self.split == "validation"

    @property
    def baseline_label(self) -> str:
        if self.reference is not None:
            return self.reference
        several = len(self.baselines) > 1
        return self.baselines[0].setting.arm if several else self.baselines[0].setting.label

    @property
    def tested(self) -> list[Compared]:
        return [row for row in self.rows if row.difference and row.difference.p_adjusted is not None]


def comparisons(frames: Frames) -> list[Comparison]:
    """One for each group, metric and protocol that finished trials measured, test metrics first."""
    result = [
        _compare(frames, part)
        for _, part in frames.finals.groupby(COMPARISON_KEY, observed=True, sort=False)
        if part["better"].iloc[0] != "neither" or part["value"].notna().any()
    ]
    result = adjusted(result, frames.measure, claims=len(frames.objectives) < 2)
    if frames.claim is not None:
        result = [replace(comparison, exploratory=True) for comparison in result]
    group_place = {group: place for place, group in enumerate(frames.groups)}
    result.sort(
        key=lambda c: (
            group_place[c.group],
            c.on_validation,
            c.name != frames.measure,
            natural_order(c.name),
        )
    )
    return result


def adjusted(
    comparisons: Sequence[Comparison], objective: str | None, *, claims: bool = True
) -> list[Comparison]:
    """The comparisons with p values, and the intervals that belong to them, adjusted over their families.

    Without `claims` the headline makes none, and each metric is a family.
    """
    on_test = [c for c in comparisons if not c.on_validation]
    claimable = [c.name for c in on_test if c.better in DIRECTED]
    claimed = {objective} if objective in claimable else set(claimable)
    claimed = claimed if claims else set()
    families: dict[str, list[Comparison]] = {}
    for comparison in on_test:
        family = "" if comparison.name in claimed else comparison.name
        families.setdefault(family, []).append(comparison)
    done = {
        id(old): replace(new, claimed=name == "")
        for name, family in families.items()
        for old, new in zip(family, _decided(family), strict=True)
    }
    return [done.get(id(comparison), comparison) for comparison in comparisons]


def _decided(family: Sequence[Comparison]) -> list[Comparison]:
    differences = decided([row.difference for comparison in family for row in comparison.rows])
    num_tests = sum(bool(difference and difference.p is not None) for difference in differences)
    of_rows = iter(differences)
    return [
        replace(
            comparison,
            rows=[replace(row, difference=next(of_rows)) for row in comparison.rows],
            num_tests=num_tests,
        )
        for comparison in family
    ]


def leading(comparisons: Sequence[Comparison]) -> list[Setting]:
    """Each arm's setting with the best mean in the first comparison: the baseline, then from best to worst.

    It only chooses pictures and curves; no test depends on it.
    """
    if not comparisons or comparisons[0].better not in DIRECTED:
        return []
    sign = -1 if comparisons[0].better == "higher" else 1
    rows = [row for row in comparisons[0].rows if row.repeated and row.summary.n > 0]
    baselines = {row.setting.arm for row in comparisons[0].baselines}
    rows.sort(key=lambda row: (row.setting.arm not in baselines, -row.summary.n, sign * row.summary.mean))
    best: dict[str, Setting] = {}
    for row in rows:
        best.setdefault(row.setting.arm, row.setting)
    return list(best.values())


def _compare(frames: Frames, part: pd.DataFrame) -> Comparison:
    first = part.iloc[0]
    split, better = str(first["split"]), str(first["better"])
    rows = _settings(frames, part)
    baselines = [row for row in rows if row.repeated and _is_baseline(frames, row.setting)]
    rows = [_difference(row, _opponent(frames, row.setting, baselines)) for row in rows]
    return Comparison(
        group=frames.groups[int(first["group"])],
        name=str(first["name"]),
        metric=str(first["metric"]),
        split=split,
        unit=str(first["unit"]),
        better=better,
        protocol_json=str(first["protocol_json"]),
        rows=_mark_best(rows, better),
        baselines=[row for row in baselines if row.summary.n > 0],
        conditional=_is_conditional(str(first["config_json"])),
        lambda_meaning=_lambda_meaning(frames, int(first["group"])),
        reference=frames.reference,
        later=_later(part),
    )


def _later(part: pd.DataFrame) -> tuple[int, str] | None:
    """`(4, "2026-11-28 by ndabench 0.1.0")`; None where the trials measured all values themselves."""
    later = part[part["measured"].notna()]
    if later.empty:
        return None
    days = [f"{time:%Y-%m-%d}" for time in (later["measured"].min(), later["measured"].max())]
    versions = " and ".join(sorted({f"ndabench {version}" for version in later["measured_by"].astype(str)}))
    return len(later), f"{' to '.join(dict.fromkeys(days))} by {versions}"


def _is_baseline(frames: Frames, setting: Setting) -> bool:
    return setting.arm == frames.baseline if frames.reference is None else setting.sweep == frames.reference


def _lambda_meaning(frames: Frames, group: int) -> str:
    """As the group's trials recorded it; older ones did not."""
    of_group = frames.trials.loc[frames.trials["group"] == group, "lambda_meaning"]
    return next((text for text in of_group if text), "what it weighs depends on the task")


def _settings(frames: Frames, part: pd.DataFrame) -> list[Compared]:
    """Every setting with a value or a lost repeat: a setting that never finished must also be shown."""
    measured: dict[int, dict[bool, dict[int, float]]] = {}
    for position, repeat, seed, value in _rows(part, "setting", "repeat", "seed", "value"):
        measured.setdefault(position, {}).setdefault(repeat, {})[seed] = value
    lost: dict[int, Counter[str]] = {}
    of_group = frames.lost[frames.lost["group"] == part["group"].iloc[0]]
    for position, status in _rows(of_group, "setting", "status"):
        lost.setdefault(position, Counter())[status] += 1
    rows = []
    for position in sorted({*measured, *lost}):
        values = measured.get(position, {})
        missing = dict(lost[position].most_common()) if position in lost else {}
        repeated = bool(missing) or True in values
        used = values.get(repeated, {})
        summary = summarise(list(used.values()))
        if summary.n < len(used):
            missing = {"NaN": len(used) - summary.n, **missing}
        rows.append(Compared(frames.settings[position], used, summary, repeated, missing))
    return rows


def _rows(frame: pd.DataFrame, *columns: str) -> Iterable[tuple[Any, ...]]:
    return zip(*(frame[column].tolist() for column in columns), strict=True)


def _opponent(frames: Frames, setting: Setting, baselines: list[Compared]) -> Compared | None:
    """The baseline's setting with the same parameters, as far as the baseline has them; None without one.

    A grid that is unfinished may have only one of the baseline's settings, and another setting's opponent is
    then missing. After a sampled search the baseline has one setting, tuned on its own: its parameters may
    differ. Each of several sweeps has its own baseline. With a reference sweep, a setting's opponent is the
    same setting there or, after sampled searches, that of its arm.
    """
    if frames.reference is not None:
        same = [row for row in baselines if _is_same(row.setting, setting, frames.sampled)]
        return same[0] if len(same) == 1 else None
    baselines = [row for row in baselines if row.setting.sweep == setting.sweep]
    if frames.sampled and len(baselines) == 1:
        return baselines[0]
    searched = {name for baseline in baselines for name, _ in baseline.setting.parameters}
    shared = tuple((name, value) for name, value in setting.parameters if name in searched)
    same = [baseline for baseline in baselines if baseline.setting.parameters == shared]
    return same[0] if len(same) == 1 else None


def _is_same(one: Setting, other: Setting, sampled: bool) -> bool:
    return one.arm == other.arm if sampled else replace(one, sweep="") == replace(other, sweep="")


def _difference(row: Compared, opponent: Compared | None) -> Compared:
    if opponent is None or opponent.summary.n == 0:
        return row
    one, other = row.setting, opponent.setting
    if (one.arm, one.sweep) == (other.arm, other.sweep) or one.external or not row.repeated:
        return row
    shared = sorted(row.values.keys() & opponent.values.keys())
    difference = paired_difference([row.values[seed] - opponent.values[seed] for seed in shared])
    return replace(row, against=opponent.setting, difference=difference)


def _mark_best(rows: list[Compared], better: str) -> list[Compared]:
    """The best mean among the settings with the most seeds (the surviving seeds of others may mislead), and
    the settings that are not shown to differ from it."""
    most = max((row.summary.n for row in rows if row.repeated), default=0)
    field = [row for row in rows if row.repeated and row.summary.n == most]
    if better not in DIRECTED or most == 0 or len(field) < 2:
        return rows
    pick = min if better == "lower" else max
    best = pick(field, key=lambda row: row.summary.mean)
    tried = [row.repeated and not row.setting.external and row is not best for row in rows]
    gaps = decided([_gap(row, best) if tested else None for row, tested in zip(rows, tried, strict=True)])
    return [
        replace(row, best=row is best, near_best=gap is not None and _may_be_zero(gap))
        for row, gap in zip(rows, gaps, strict=True)
    ]


def _gap(row: Compared, best: Compared) -> Difference:
    """The difference from the best setting at equal seeds."""
    shared = sorted(row.values.keys() & best.values.keys())
    return paired_difference([row.values[seed] - best.values[seed] for seed in shared])


def _may_be_zero(gap: Difference) -> bool:
    untested = gap.p is None
    return gap.summary.mean == 0 if untested else not gap.significant


def _is_conditional(config_json: str) -> bool:
    task = decoded(config_json).get("task")
    return bool(isinstance(task, dict) and task.get("conditional"))
