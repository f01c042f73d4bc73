"""Evaluations of trials that have finished: what is asked for, and which trials lack it.

The folder's `evaluate.yaml` holds what was asked for so far, so that a name means one evaluation there, and
a measurement that was interrupted only measures what is missing.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from ndabench.config import override, parse, without
from ndabench.errors import UserError, first_of, listed, unknown
from ndabench.measurement import displayed_name
from ndabench.metrics.evaluation import Evaluation
from ndabench.metrics.registry import EvaluationConfig
from ndabench.planning.outcomes import recorded_outcomes
from ndabench.planning.resources import Resources
from ndabench.planning.sweep_file import SweepConfig
from ndabench.records import LATER_FILE, RecordStore
from ndabench.records.schema import NAME_PARTS
from ndabench.tasks.registry import check_evaluations, evaluations_of
from ndabench.trials.checkpoints import has_checkpoint
from ndabench.trials.config import LOCATION_KEYS, TrialConfig
from ndabench.yaml_reading import parse_file

SETTABLE = ("evaluate", "resources")
WEIGHTS = ".pt"
"""How the files end in which trials record the weights of encoders."""
EvaluationList = tuple[EvaluationConfig, ...]


@dataclass(frozen=True)
class Job:
    """A finished trial, and what is to be measured on it."""

    trial: TrialConfig
    evaluations: tuple[Evaluation, ...]


@dataclass(frozen=True)
class Asked:
    """What `ndabench evaluate` was asked for."""

    config: SweepConfig
    """The sweep with these evaluations in place of its own, without what only a training needs."""
    later: tuple[Evaluation, ...]
    """Everything that `evaluate.yaml` is to hold."""
    jobs: tuple[Job, ...]
    have: int
    """How many trials have all of these values."""
    gone: tuple[str, ...]
    """The ids of trials of which neither a checkpoint nor the weights are left."""


def asked(
    config: SweepConfig,
    store: RecordStore,
    assignments: list[str],
    trials: Collection[str] = (),
    *,
    again: bool = False,
) -> Asked:
    """What the `--set` assignments ask for, of the finished trials of `config` or the ones named in `trials`.

    Without an `evaluate=` among them it is all of `evaluate.yaml`. `again` also measures what was measured
    later before. Raises `UserError` for what the task cannot be measured by, for a name that means another
    evaluation here, and for unknown trials.
    """
    given = override({"resources": config.resources.model_dump(mode="json")}, assignments)
    for key in given:
        if key not in SETTABLE:
            raise UserError(
                f"--set {key}: the trials have finished; only {' and '.join(SETTABLE)} can be set"
            )
    before = read_later(store)
    wanted = _evaluations(given["evaluate"]) if "evaluate" in given else before
    if not wanted:
        raise UserError(
            f"--set: say what to measure, e.g. --set 'evaluate=[{next(iter(evaluations_of(config.task)))}]'"
            + listed(evaluations_of(config.task))
        )
    check_evaluations(config.task, wanted)
    own, known = _contents(config.evaluate), _contents(before)
    for one in wanted:
        if one.every is not None:
            raise UserError(f"evaluate: {one.key}: every is for trainings; these have finished")
        if again and _content(one) in own:
            raise UserError(
                f"evaluate: {one.key}: the trials measured it; to do it again, give it a label (as)"
            )
    new = [one for one in wanted if _content(one) not in {*own, *known}]
    check_evaluations(config.task, [*config.evaluate, *before, *new])
    return _jobs(config, store, given["resources"], wanted, (*before, *new), trials, again)


def read_later(store: RecordStore) -> tuple[Evaluation, ...]:
    """The evaluations in the folder's `evaluate.yaml`; none without one. `UserError` for a damaged one."""
    content, where = store.read_bytes(LATER_FILE), store.local_path(LATER_FILE)
    return () if content is None else parse(EvaluationList, parse_file(content, where), where)


def write_later(store: RecordStore, evaluations: Sequence[Evaluation]) -> None:
    """Makes them the content of `evaluate.yaml`."""
    plain = [one.model_dump(mode="json", by_alias=True) for one in evaluations]
    store.write_bytes(LATER_FILE, yaml.safe_dump(plain, sort_keys=False, allow_unicode=True).encode())


def _evaluations(value: Any) -> tuple[Evaluation, ...]:
    return parse(EvaluationList, value if isinstance(value, list) else [value], "--set: evaluate")


def _contents(evaluations: Sequence[Evaluation]) -> set[str]:
    return {_content(one) for one in evaluations}


def _content(evaluation: Evaluation) -> str:
    """What an evaluation measures, as text: neither when nor where its files are."""
    return repr(without(LOCATION_KEYS | {"every"}, evaluation.model_dump(mode="json", by_alias=True)))


def _jobs(
    config: SweepConfig,
    store: RecordStore,
    resources: Mapping[str, Any],
    wanted: tuple[Evaluation, ...],
    later: tuple[Evaluation, ...],
    trials: Collection[str],
    again: bool,
) -> Asked:
    finished = {
        one.trial.trial_id: one.trial
        for one in recorded_outcomes(config, store)
        if one.status == "finished" and (config.search.is_grid or one.trial.seed != config.search.seed)
    }
    for trial_id in trials:
        if trial_id not in finished:
            raise UserError(f"--trial: {unknown('finished trial', trial_id, finished)}")
    if not finished:
        raise UserError(f"{store.root}: no trial has finished")
    names, recorded = _measured(store, finished), _with_weights(store)
    jobs, gone, have = [], [], 0
    for trial in finished.values():
        if trials and trial.trial_id not in trials:
            continue
        missing = [one for one in wanted if again or not value_names(one) & names[trial.trial_id]]
        if not missing:
            have += 1
        elif _left(store, trial, recorded):
            jobs.append(Job(trial, tuple(missing)))
        else:
            gone.append(trial.trial_id)
    if gone and not jobs:
        raise UserError(
            f"{store.root}: neither checkpoints nor weights are left of {first_of(gone, 3)}; "
            "`ndabench measure` measures networks that were exported"
        )
    alone = {**resources, "workers": 1, "min_workers": None, "placement": "pack", "drivers_on": None}
    update: dict[str, Any] = dict.fromkeys(("objective", "scheduler", "keep", "claim", "controls"))
    update |= {"evaluate": wanted, "resources": parse(Resources, alone, "--set: resources")}
    return Asked(config.model_copy(update=update), later, tuple(jobs), have, tuple(gone))


def value_names(evaluation: Evaluation) -> set[str]:
    """How the value that identifies an evaluation is displayed, on either split."""
    return {evaluation.key, f"val_{evaluation.key}"}


def _measured(store: RecordStore, trials: Mapping[str, TrialConfig]) -> Mapping[str, set[str]]:
    """The displayed names of the metrics that each trial has at its last step."""
    names: defaultdict[str, set[str]] = defaultdict(set)
    rows = store.read_metrics(["trial_id", "step", "kind", *NAME_PARTS]).to_pydict().values()
    for trial_id, step, kind, *parts in zip(*rows, strict=True):
        if kind == "metric" and trial_id in trials and step == trials[trial_id].task.num_steps:
            names[trial_id].add(displayed_name(*parts))
    return names


def _with_weights(store: RecordStore) -> set[str]:
    """The trials that recorded weights."""
    rows = store.read_artifacts().select(["trial_id", "path"]).to_pydict()
    return {one for one, path in zip(*rows.values(), strict=True) if path.endswith(WEIGHTS)}


def _left(store: RecordStore, trial: TrialConfig, recorded: Collection[str]) -> bool:
    """Whether the trial's networks can be had again."""
    return not trial.task.num_steps or trial.trial_id in recorded or has_checkpoint(store, trial.trial_id)
