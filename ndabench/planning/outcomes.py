"""How the trials of a sweep ended, read from the records: a plan learns from them and a resume skips them.

A finished trial whose metrics are gone is no result: `reopen` lets it run again.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ndabench.errors import UserError, first_of
from ndabench.pareto import SECONDS
from ndabench.planning.search_space import LAMBDA
from ndabench.planning.sweep_file import SweepConfig
from ndabench.records import RecordStore
from ndabench.records.damage import warn_once
from ndabench.trials.checkpoints import drop_checkpoints
from ndabench.trials.config import TrialConfig, recorded_configuration


@dataclass(frozen=True)
class Outcome:
    """The status of a trial, and its objective on the validation split."""

    trial: TrialConfig
    status: str
    """As in the records; a `pruned` trial was stopped early by the scheduler."""
    value: float | None = None
    """The first metric of the objective; None where it was not measured."""
    others: tuple[float, ...] = ()
    """The other metrics of the objective; NaN where one was not measured."""

    @property
    def values(self) -> tuple[float, ...]:
        """All metrics of the objective; empty unless each is finite."""
        values = () if self.value is None else (self.value, *self.others)
        return values if all(map(math.isfinite, values)) else ()

    @property
    def ended(self) -> bool:
        """Whether a resumed sweep keeps the trial as it is.

        A failed trial runs again. A diverged or pruned one is a result.
        """
        return self.status in ("finished", "diverged", "pruned")


def recorded_outcomes(config: SweepConfig, store: RecordStore) -> list[Outcome]:
    """The outcome of every recorded trial, with the objective at the last step that measured it."""
    rows = store.read_trials().to_pylist()
    first, *others = [_last_values(store, rows, name) for name in watched_metrics(config)] or [{}]
    return [
        Outcome(
            trial,
            row["status"],
            first.get(row["trial_id"]),
            tuple(values.get(row["trial_id"], math.nan) for values in others),
        )
        for row in rows
        if (trial := _trial(store, row)) is not None
    ]


def earlier_outcomes(config: SweepConfig) -> list[Outcome]:
    """The finished trials in the folder `search.warm_start` that this sweep could have run, at whatever seed;
    none without that key. `UserError` where there are none."""
    if config.search.warm_start is None:
        return []
    recorded = recorded_outcomes(config, RecordStore(str(config.search.warm_start)))
    arms = {arm.name: arm for arm in config.arms}
    found = []
    for one in recorded:
        trial, arm = one.trial, arms.get(one.trial.arm)
        if arm is None or one.status != "finished" or not one.values:
            continue
        setting = setting_of(trial, config.dimensions_of(arm))
        if setting and config.trial(arm, setting, trial.seed).trial_id == trial.trial_id:
            found.append(one)
    if not found:
        raise UserError(
            f"search: warm_start: {config.search.warm_start}: no finished trial there has the task, data, "
            f"evaluations, an arm and the searched keys of this sweep ({len(recorded)} trials)"
        )
    return found


def setting_of(trial: TrialConfig, keys: Iterable[str]) -> dict[str, Any]:
    """The values that a trial has for searched keys; empty where it was not searched over one of them."""
    given, keys = {**trial.parameters, LAMBDA: trial.lambda_}, list(keys)
    return {key: given[key] for key in keys} if given.keys() >= {*keys} else {}


def _trial(store: RecordStore, row: Mapping[str, Any]) -> TrialConfig | None:
    """The configuration of a recorded trial; None, with a line in the log, if this version cannot read it.

    Such a trial is none of this sweep's: its id is the hash of its configuration. Nor is what was trained
    elsewhere and only measured here.
    """
    if row["external_json"] is not None:
        return None
    try:
        return recorded_configuration(store, row["trial_id"], row["config_json"])
    except UserError as error:
        warn_once(str(error))
        return None


@dataclass(frozen=True)
class RecordedValues:
    """The objective of one trial at every step that measured it, and the last step with any record."""

    trial: TrialConfig
    ended: bool
    """As `Outcome.ended`."""
    values: tuple[tuple[int, float], ...]
    last_step: int


def recorded_values(config: SweepConfig, store: RecordStore) -> list[RecordedValues]:
    """The objectives of all trials that measured one, in the order in which the trials first started."""
    (watched,) = watched_metrics(config)
    measured = store.read_metrics(["trial_id", "step", "value"], name=watched)
    values = defaultdict(list)
    for row in measured.to_pylist():
        values[row["trial_id"]].append((row["step"], row["value"]))
    steps = store.read_metrics(["trial_id", "step"]).to_pydict()  # sorted by trial and step
    last = dict(zip(steps["trial_id"], steps["step"], strict=True))
    rows = [row for row in store.read_trials().to_pylist() if row["trial_id"] in values]
    rows.sort(key=lambda row: (row["started"] is None, row["started"]))
    return [
        RecordedValues(
            trial,
            Outcome(trial, row["status"]).ended,
            tuple(values[row["trial_id"]]),
            last[row["trial_id"]],
        )
        for row in rows
        if (trial := _trial(store, row)) is not None
    ]


def reopen(store: RecordStore, trial_id: str) -> TrialConfig:
    """Lets a finished trial whose metrics are gone run again, from scratch; returns its configuration.

    From its last checkpoint it would have nothing left to do, and would measure nothing. Raises `UserError`,
    and changes nothing, where this version cannot read its configuration.
    """
    row = store.read_trial(trial_id)
    assert row is not None
    trial = recorded_configuration(store, trial_id, row.config_json)
    drop_checkpoints(store, trial_id)
    store.write_trial(replace(row, status="stopped", error="its metrics file is gone; it runs again"))
    return trial


def outcome_of(
    trial: TrialConfig, value: float | None, store: RecordStore, watched: Sequence[str]
) -> Outcome:
    """The outcome of a trial that has just left its process without an error.

    `value` is the first of the `watched` metrics, as it last reported it. A trial that was resumed after its
    last measurement reported none: its value is then the last recorded one, as those of the others are.
    """
    row = store.read_trial(trial.trial_id)
    status = "failed" if row is None else "stopped" if row.status == "running" else row.status
    if row is None or status != "finished" or (value is not None and len(watched) < 2):
        return Outcome(trial, status, value)
    last: dict[str, float] = {}
    for _, values in store.read_steps(trial.trial_id, after=-1):
        last |= {name: values[name] for name in watched if name in values}
    if row.seconds is not None:
        last[SECONDS] = row.seconds
    if value is None and watched:
        value = last.get(watched[0])
    return Outcome(trial, status, value, tuple(last.get(name, math.nan) for name in watched[1:]))


def count_statuses(store: RecordStore) -> Counter[str]:
    """How many recorded trials have each status."""
    return Counter(store.read_trials()["status"].to_pylist())


def count_ended(recorded: Iterable[Outcome]) -> Counter[str]:
    """How many of the recorded trials a resumed sweep keeps, by status."""
    return Counter(one.status for one in recorded if one.ended)


def not_in_file(config: SweepConfig, recorded: Iterable[Outcome]) -> Iterator[str]:
    """A line for the finished seeds, and one for the arms, that earlier files had and this one does not."""
    finished = [one.trial for one in recorded if one.status == "finished"]
    of_search = set() if config.search.is_grid else {config.search.seed}
    if seeds := sorted({trial.seed for trial in finished} - {*config.seeds} - of_search):
        yield (
            f"not in this file, and left out of its tables: finished trials of seed {first_of(seeds)}; "
            "`ndabench report DIR --all-seeds` counts them in"
        )
    if arms := sorted({trial.arm for trial in finished} - {arm.name for arm in config.arms}):
        yield f"not in this file, but in its tables: the finished trials of {first_of(arms)}"


def watched_metrics(config: SweepConfig) -> tuple[str, ...]:
    """The recorded names of the metrics that the search optimizes; none where there is no objective."""
    return config.objective.watched if config.objective is not None else ()


def watched_metric(config: SweepConfig) -> str | None:
    """The first of the `watched_metrics`, which trials report while they run."""
    return next(iter(watched_metrics(config)), None)


def _last_values(store: RecordStore, rows: Iterable[Mapping[str, Any]], metric: str) -> dict[str, float]:
    """The last recorded value of `metric` in each trial; of its seconds, what its row has."""
    if metric == SECONDS:
        return {row["trial_id"]: row["seconds"] for row in rows if row["seconds"] is not None}
    values = store.read_metrics(["trial_id", "value"], name=metric).to_pydict()  # sorted by trial and step
    return dict(zip(values["trial_id"], values["value"], strict=True))
