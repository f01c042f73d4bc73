"""Arms compared on one metric under one protocol: chosen on validation data, compared on test data.

Values are compared only inside a `Comparison`: same task, data, metric and protocol. Each arm's setting is
chosen by its mean on the validation split; what is compared with the baseline, and tested, is that setting's
value on the test split. Differences are paired by seed; p values are Holm-adjusted over the tests made.
"""

import math
from dataclasses import dataclass, replace

import pandas as pd

from ndabench.reporting.frames import TEST_KEY, VALIDATION, Frames, Group, Setting, decoded
from ndabench.reporting.intervals import Difference, Summary, holm, paired_difference, summarise


@dataclass(frozen=True)
class Compared:
    """One setting's final values. `values` maps seed to value; `difference` is against the baseline."""

    setting: Setting
    values: dict[int, float]
    summary: Summary
    validation: Summary | None
    repeated: bool
    """False where only the search has run it: shown, never chosen before a repeated one, never tested."""
    chosen: bool = False
    best: bool = False
    difference: Difference | None = None

    @property
    def not_finite(self) -> int:
        return sum(not math.isfinite(value) for value in self.values.values())


@dataclass(frozen=True)
class Comparison:
    """A whole table's worth of numbers. `selection` says in a sentence how settings were chosen."""

    group: Group
    metric: str
    unit: str
    better: str
    protocol_json: str
    rows: list[Compared]
    baseline: Compared | None
    selection: str
    selected: bool
    """Whether each arm has one chosen setting, and only these are tested."""
    criterion: str
    """The validation metric that settings were chosen by; empty where there is none."""
    conditional: bool

    @property
    def on_validation(self) -> bool:
        return self.metric.startswith(VALIDATION)

    @property
    def tested(self) -> list[Compared]:
        return [row for row in self.rows if row.difference and row.difference.p_adjusted is not None]


def comparisons(frames: Frames) -> list[Comparison]:
    """One for each group, metric and protocol that finished trials measured; test metrics come first."""
    finals = frames.finals
    result = [
        _compare(frames, finals, part)
        for _, part in finals.groupby(TEST_KEY, observed=True, sort=False)
        if part["better"].iloc[0] != "neither" or part["value"].notna().any()
    ]
    group_place = {group: place for place, group in enumerate(frames.groups)}
    result.sort(key=lambda c: (group_place[c.group], c.on_validation, c.metric != frames.objective, c.metric))
    return result


def _compare(frames: Frames, finals: pd.DataFrame, part: pd.DataFrame) -> Comparison:
    first = part.iloc[0]
    metric, better = str(first["metric"]), str(first["better"])
    rows = _settings(frames, part)
    criterion = None if metric.startswith(VALIDATION) else _criterion(frames, finals, part)
    if criterion is not None:
        by_setting = {row.setting: row.summary for row in _settings(frames, criterion)}
        rows = [replace(row, validation=by_setting.get(row.setting)) for row in rows]
    rows, selection, selected = _choose(rows, metric, better, criterion)
    baseline = _baseline(rows, frames.baseline, selected)
    if baseline is not None:
        rows = _differences(rows, baseline)
    if not metric.startswith(VALIDATION):
        rows = _test(rows, selected)
    rows = _mark_best(rows, better, selected)
    return Comparison(
        group=frames.groups[int(first["group"])],
        metric=metric,
        unit=str(first["unit"]),
        better=better,
        protocol_json=str(first["protocol_json"]),
        rows=rows,
        baseline=baseline,
        selection=selection,
        selected=selected,
        criterion="" if criterion is None else str(criterion["metric"].iloc[0]),
        conditional=_is_conditional(str(first["config_json"])),
    )


def _settings(frames: Frames, part: pd.DataFrame) -> list[Compared]:
    rows = []
    for position in sorted(part["setting"].unique().tolist()):
        trials = part[part["setting"] == position]
        repeats = trials[trials["repeat"]]
        used = trials if repeats.empty else repeats
        values = dict(zip(used["seed"].tolist(), used["value"].tolist(), strict=True))
        summary = summarise(list(values.values()))
        rows.append(Compared(frames.settings[position], values, summary, None, not repeats.empty))
    return rows


def _criterion(frames: Frames, finals: pd.DataFrame, part: pd.DataFrame) -> pd.DataFrame | None:
    """What settings are chosen by: this metric on the validation split, else the sweep's objective there.

    None when the trials of `part` did not measure it under one protocol.
    """
    of_these = finals[finals["trial_id"].isin(part["trial_id"])]
    for metric in (part["metric"].iloc[0], frames.objective):
        measured = of_these[of_these["metric"] == f"{VALIDATION}{metric}"]
        if measured["protocol_json"].nunique() == 1:
            return measured
    return None


def _choose(
    rows: list[Compared], metric: str, better: str, criterion: pd.DataFrame | None
) -> tuple[list[Compared], str, bool]:
    """Marks each arm's chosen setting, where there is a validation value to choose it by."""
    if better not in ("lower", "higher"):
        return rows, "", False
    if metric.startswith(VALIDATION):
        return (
            rows,
            "These are the values that settings are chosen by; compare arms on the test split.",
            False,
        )
    arms = list(dict.fromkeys(row.setting.arm for row in rows))
    if len(rows) == len(arms):
        chosen = [replace(row, chosen=row.repeated) for row in rows]
        return chosen, "Each arm has one setting, so nothing was chosen.", True
    direction = "" if criterion is None else str(criterion["better"].iloc[0])
    choices = [_best_on_validation([r for r in rows if r.setting.arm == arm], direction) for arm in arms]
    if None in choices:
        reason = (
            f"Settings could not be chosen on validation data ({VALIDATION}{metric} is missing or was "
            "measured under several protocols), so every setting is compared, and the tests are adjusted "
            "for all of them."
        )
        return rows, reason, False
    marked = [replace(row, chosen=row.setting in choices) for row in rows]
    name = "" if criterion is None else criterion["metric"].iloc[0]
    sentence = (
        f"Each arm's setting was chosen by its mean {name} on the validation split (◆); arms are compared, "
        "and tested, at that setting on the test split."
    )
    return marked, sentence, True


def _best_on_validation(rows: list[Compared], direction: str) -> Setting | None:
    """The best validation mean among the settings with the most seeds; None if one has no such mean.

    Only equally repeated settings are weighed: a search tries many settings once and repeats one, whose mean
    then falls back towards its true value while a lucky single try would not.
    """
    repeated = [row for row in rows if row.repeated] or rows
    most = max(row.summary.n for row in repeated)
    weighed = [row for row in repeated if row.summary.n == most]
    means = [row.validation.mean if row.validation else math.nan for row in weighed]
    if len(weighed) == 1:
        return weighed[0].setting
    if not direction or any(math.isnan(mean) for mean in means):
        return None
    sign = -1 if direction == "higher" else 1
    return min(zip(means, weighed, strict=True), key=lambda pair: sign * pair[0])[1].setting


def _baseline(rows: list[Compared], arm: str | None, selected: bool) -> Compared | None:
    """The baseline arm's chosen setting, or its only one."""
    candidates = [row for row in rows if row.setting.arm == arm and row.summary.n > 0]
    if selected:
        candidates = [row for row in candidates if row.chosen]
    return candidates[0] if len(candidates) == 1 else None


def _differences(rows: list[Compared], baseline: Compared) -> list[Compared]:
    return [
        row
        if row.setting.arm == baseline.setting.arm or not row.repeated
        else replace(row, difference=_paired(row, baseline))
        for row in rows
    ]


def _test(rows: list[Compared], selected: bool) -> list[Compared]:
    """Adjusts the p values of the tests made: one an arm where settings were chosen, else one a setting."""
    made = [row.difference if row.chosen or not selected else None for row in rows]
    adjusted = holm([difference.p if difference else None for difference in made])
    return [
        replace(row, difference=row.difference and replace(row.difference, p_adjusted=p))
        for row, p in zip(rows, adjusted, strict=True)
    ]


def _paired(row: Compared, baseline: Compared) -> Difference:
    shared = sorted(row.values.keys() & baseline.values.keys())
    return paired_difference([row.values[seed] - baseline.values[seed] for seed in shared])


def _mark_best(rows: list[Compared], better: str, selected: bool) -> list[Compared]:
    """The best mean among the chosen settings (among all of them, where none were chosen)."""
    field = [row for row in rows if row.summary.n > 0 and row.repeated and (row.chosen or not selected)]
    if better not in ("lower", "higher") or len(field) < 2:
        return rows
    pick = min if better == "lower" else max
    best = pick(field, key=lambda row: row.summary.mean)
    return [replace(row, best=row is best) for row in rows]


def _is_conditional(config_json: str) -> bool:
    task = decoded(config_json).get("task")
    return bool(isinstance(task, dict) and task.get("conditional"))
