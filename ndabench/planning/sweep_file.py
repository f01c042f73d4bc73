"""The sweep file: the task, the data, the arms, the search, the seeds and the resources.

`SweepConfig` is the whole file; `grid_trials` lists the trials of a grid. docs/sweep-file.md is the
reference, `sweeps/` has examples.

    >>> sweep = {"name": "tiny", "task": "gan", "data": "digits", "arms": ["none", "jigsaw"]}
    >>> sweep |= {"search": {"lambda": [0.25, 0.5]}, "seeds": [0]}
    >>> [(trial.arm, trial.lambda_) for trial in parse(SweepConfig, sweep, "sweep.yaml").grid_trials()]
    [('none', 1.0), ('jigsaw', 0.25), ('jigsaw', 0.5)]
"""

import itertools
import math
from collections.abc import Iterator, Mapping
from os import PathLike
from pathlib import Path
from typing import Annotated, Any, Literal, cast

from pydantic import BeforeValidator, Field, PlainSerializer, model_validator

from ndabench.augmentations.specification import NegativeSpec, Single
from ndabench.claims import BASELINE, LEAST_SEEDS, ClaimFamily, Controls
from ndabench.config import Config, Seed, override, parse, value_at, with_current_names, with_value
from ndabench.errors import UserError, nearest, unknown
from ndabench.measurement import displayed_name
from ndabench.pareto import SECONDS
from ndabench.planning.bundled import find_sweep_file
from ndabench.planning.pruners import PRUNERS, PrunerConfig
from ndabench.planning.resources import Resources
from ndabench.planning.samplers import SAMPLERS, sampled_names
from ndabench.planning.search_space import LAMBDA, OF_ARMS, Dimension, Search
from ndabench.plugins import plugins_first
from ndabench.registry import OneOf
from ndabench.tasks.definition import TaskConfig
from ndabench.tasks.registry import (
    TASKS,
    AnyTaskConfig,
    DataConfig,
    EvaluationConfig,
    check_data,
    check_evaluations,
    evaluations_of,
)
from ndabench.tracking.registry import Track
from ndabench.trials.config import TrialConfig
from ndabench.yaml_reading import read_yaml


class Arm(Config):
    """One line of the comparison: no augmentation, a negative one (NDA), a positive one (PDA), or both.

    `task` sets keys of the task for this arm alone, such as `num_steps: 0` for an encoder that is left
    untrained; this arm does not search them.
    """

    name: str = Field(min_length=1, max_length=80)
    negative: NegativeSpec | None = None
    positive: NegativeSpec | None = None
    task: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, value: Any) -> Any:
        """`none`, `jigsaw`, and mappings without a `name`, which then comes from their augmentations."""
        if value == "none":
            return {"name": "none"}
        if isinstance(value, str):
            return {"name": value, "negative": value}
        if not isinstance(value, Mapping) or "name" in value:
            return value
        specs = {
            key: parse(cast(Any, NegativeSpec), value[key], key)
            for key in ("negative", "positive")
            if value.get(key)
        }
        labels = [spec.label if key == "negative" else f"{spec.label} as PDA" for key, spec in specs.items()]
        return {"name": " & ".join(labels) or "none", **value}


def _listed(value: Any) -> Any:
    return value if isinstance(value, list | tuple) else [value]


def _bare(names: tuple[str, ...]) -> str | list[str]:
    """As earlier versions wrote one metric, so that their folders can be resumed."""
    return names[0] if len(names) == 1 else list(names)


class Objective(Config):
    """What the search looks at, always on the validation split; reports compare on the test split."""

    metric: Annotated[tuple[str, ...], BeforeValidator(_listed), PlainSerializer(_bare)] = Field(
        min_length=1, max_length=8
    )
    """One, or a list of several whose Pareto set is searched; `seconds` is the wall time of a trial."""
    mode: Literal["min", "max"] | None = None
    """None: whichever way the metric is better."""

    @property
    def watched(self) -> tuple[str, ...]:
        """The names of the metrics in the records; a running trial reports the first."""
        return tuple(name if name == SECONDS else displayed_name(name, "validation") for name in self.metric)


MODES: dict[str, Literal["min", "max"]] = {"lower": "min", "higher": "max"}


Kept = Literal["last", "best", "none"]


class Keep(Config):
    """What stays of trials that have ended, for `samples`, `evaluate` and the like; the records always do."""

    checkpoints: Kept = "last"
    """Of each trial the last; of each arm's best trial (or Pareto set) the last; or none. Running trials keep
    theirs."""
    samples: int = Field(0, ge=0, le=10**5)
    """Images of each finished trial's generator that stay without a checkpoint."""


class Limits(Config):
    """What a sweep may use at most, over all its drivers; then running trials stop and no others start."""

    gpu_hours: float | None = Field(None, gt=0, le=1e9)
    """Hours of reserved GPUs: a trial's wall time, times its GPUs."""
    disk_gib: float | None = Field(None, gt=0, le=1e9)
    """Size of the folder of results, in GiB."""


def _scheduler(value: Any) -> Any:
    return None if value == "none" else value


def _with_current_search_keys(value: Any) -> Any:
    """A sweep file in which the former names of searched keys of the task are replaced."""
    task, search = (value.get(key) if isinstance(value, Mapping) else None for key in ("task", "search"))
    name = task.get("name") if isinstance(task, Mapping) else task
    if not isinstance(search, Mapping) or not isinstance(name, str) or name not in TASKS:
        return value
    return {**value, "search": with_current_names(TASKS[name].config, search, dotted=True)}


class SweepConfig(Config):
    """A whole sweep file."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)
    plugins: tuple[str, ...] = ()
    """Modules that register tasks, data sets and the like; imported before anything else is read."""
    task: AnyTaskConfig
    data: DataConfig
    arms: tuple[Arm, ...] = Field(min_length=1, max_length=1000)
    search: Search = Search()
    seeds: tuple[Seed, ...] = Field((0,), min_length=1, max_length=100_000)
    budget: Literal["steps", "compute"] = "steps"
    """What all trials have equally much of: training steps, or images that are judged (see `task_of`)."""
    evaluate: tuple[EvaluationConfig, ...] = ()
    objective: Objective | None = None
    claim: ClaimFamily | None = None
    """What the sweep is to show, named before it runs; see docs/statistics.md."""
    controls: Controls | None = None
    scheduler: Annotated[Annotated[PrunerConfig, OneOf(PRUNERS)] | None, BeforeValidator(_scheduler)] = None
    time_budget_seconds: float | None = Field(None, ge=1e-3, le=10**9)
    limits: Limits = Limits()
    resources: Resources = Resources()
    keep: Keep | None = None
    """None: nothing is deleted; a trial has its newest two checkpoints."""
    track: Track = Field({}, validate_default=True)

    @model_validator(mode="before")
    @classmethod
    def _plugins_first(cls, value: Any) -> Any:
        return _with_current_search_keys(plugins_first(value))

    @model_validator(mode="after")
    def _consistent(self) -> "SweepConfig":
        names = [arm.name for arm in self.arms]
        doubled = sorted({name for name in names if names.count(name) > 1})
        if doubled:
            raise ValueError(f"two arms are named {doubled[0]!r}; give each its own name")
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"a seed is listed twice in seeds {list(self.seeds)}")
        check_data(self.task, self.data)
        self._check_keys()
        self._check_budget()
        if not self.search.is_grid:
            if self.search.dimensions and self.objective is None:
                example = f"{{metric: {self.evaluate[0].metrics[0]}}}" if self.evaluate else "{metric: …}"
                raise ValueError(f"sampler: {self.search.sampler.name} needs an objective, e.g. {example}")
            if self.search.seed in self.seeds:
                raise ValueError(f"search.seed {self.search.seed} must not be one of the repeats' seeds")
        elif self.scheduler is not None:
            raise ValueError(
                f"{self.scheduler.name} stops search trials early and a grid has none; "
                f"set search.sampler: {sampled_names()}"
            )
        self._check_objective()
        self._check_claims()
        if self.kept_samples and TASKS[self.task.name].produces != "generator":
            raise ValueError(f"keep: samples: task {self.task.name} trains no generator of images")
        for arm in self.arms:  # every value that a range or list can give is checked before anything runs
            for setting in self.boundary_settings(arm):
                self.trial(arm, setting, self.seeds[0])
            if self.search.is_grid:
                self._check_for_equal_values(arm)
        self._check_for_equal_arms()
        self._check_intervals()
        return self

    def _check_for_equal_values(self, arm: Arm) -> None:
        """No dimension may list one value twice, such as 64 and 64.0; the others do not matter for that."""
        first = next(self.boundary_settings(arm))
        for key, dimension in self.dimensions_of(arm).items():
            values = dimension.choice or ()
            ids = [self.trial(arm, {**first, key: value}, self.seeds[0]).trial_id for value in values]
            if len(set(ids)) < len(ids):
                raise ValueError(
                    f"search: {key}: a value is listed twice, arm {arm.name!r} would run it twice"
                )

    def _check_for_equal_arms(self) -> None:
        """Two arms must differ in more than their names."""
        known: dict[tuple[str, frozenset[tuple[str, str]]], str] = {}
        for arm in self.arms:
            trial = self.trial(arm, next(self.boundary_settings(arm)), self.seeds[0])
            content = trial.model_copy(update={"arm": "", "parameters": {}}).to_json()
            searched = frozenset(
                (key.replace(f"{OF_ARMS}{arm.name}.", OF_ARMS), repr(dimension))
                for key, dimension in self.dimensions_of(arm).items()
            )
            other = known.setdefault((content, searched), arm.name)
            if other != arm.name:
                raise ValueError(f"arms {other!r} and {arm.name!r} have the same settings; keep one")

    def _check_intervals(self) -> None:
        """What happens every so many steps must happen within a training, where there is any."""
        longest = max(map(self.longest_of, self.arms))
        if longest == 0:
            return
        for evaluation in self.evaluate:
            if evaluation.every is not None and evaluation.every > longest:
                raise ValueError(
                    f"evaluate: {evaluation.key}: every {evaluation.every} is above num_steps {longest}"
                )
        if self.scheduler is not None and self.scheduler.first_step > longest:
            key = next(key for key in ("grace_steps", "n_warmup_steps") if hasattr(self.scheduler, key))
            raise ValueError(f"scheduler: {key} {self.scheduler.first_step} is above num_steps {longest}")

    def _check_keys(self) -> None:
        """Searched keys and keys that an arm sets must be keys of the task; λ must lie in the task's
        range."""
        known = set(type(self.task).model_fields) - {"name"}
        for key in self.search.dimensions:
            if key.startswith(OF_ARMS):
                self._arm_of(key)
            elif key != LAMBDA and key.partition(".")[0] not in known:
                raise ValueError(
                    f"search: unknown parameter {key!r}{nearest(key, known | {LAMBDA})} "
                    f"(known: lambda, {', '.join(sorted(known))})"
                )
        for arm in self.arms:
            for key in set(with_current_names(type(self.task), arm.task)) - known:
                raise ValueError(f"arm {arm.name}: task: unknown key {key!r}{nearest(key, known)}")
        lambdas = self.search.dimensions.get(LAMBDA)
        for value in lambdas.extremes if lambdas is not None else ():
            TASKS[self.task.name].lambda_rule.check(value, "search: ")

    def _check_budget(self) -> None:
        """`budget: compute` sets the steps of every trial, so nothing else may."""
        if self.budget == "steps":
            return
        set_by = ["search"] if "num_steps" in self.search.dimensions else []
        set_by += [f"arm {arm.name}: task" for arm in self.arms if self._sets_steps(arm)]
        if set_by:
            raise ValueError(f"{set_by[0]}: num_steps follows from budget: compute; leave it out")

    def _sets_steps(self, arm: Arm) -> bool:
        """Whether the arm trains for a length of its own. A positive control may: its advantage is known."""
        positive = self.controls.positive if self.controls is not None else ()
        return arm.task.get("num_steps", 0) != 0 and arm.name not in positive

    def _check_objective(self) -> None:
        """The evaluations must be the task's; one must measure the objective, with ASHA also during
        training."""
        check_evaluations(self.task, self.evaluate)
        if self.objective is None:
            return
        measured = {metric: evaluation for evaluation in self.evaluate for metric in evaluation.metrics}
        if not measured:
            usual = next(iter(evaluations_of(self.task)))
            raise ValueError(f"objective: nothing is measured; add an evaluation, e.g. evaluate: [{usual}]")
        first, *others = self.objective.metric
        if first == SECONDS:
            example = f"metric: [{next(iter(measured))}, seconds]"
            raise ValueError(f"objective: seconds needs a measure before it, e.g. {example}")
        for name in (first, *others):
            if name not in measured and name != SECONDS:
                raise ValueError(f"objective: {unknown('metric', name, measured)}")
            if self.objective.metric.count(name) > 1:
                raise ValueError(f"objective: {name} is listed twice")
        if others:
            self._check_several(len(self.objective.metric))
            return
        better = measured[first].better
        if self.objective.mode not in (None, MODES[better]):
            raise ValueError(
                f"objective: {first} is better when {better}, mode {self.objective.mode} "
                "would select the worst value; leave mode out"
            )
        if self.scheduler is not None and measured[first].every is None:
            raise ValueError(
                f"{self.scheduler.name} compares trials during training, so the evaluation that measures "
                f"{first} needs every: the steps from one measurement to the next"
            )

    def _check_several(self, number: int) -> None:
        """What is decided by one measure does not go with an objective of several."""
        has = f"objective has {number} metrics"
        if self.objective is not None and self.objective.mode is not None:
            raise ValueError(f"objective: leave mode out, each of the {number} metrics has its own direction")
        if self.scheduler is not None:
            raise ValueError(f"scheduler: {self.scheduler.name} compares trials by one metric, and {has}")
        if self.claim is not None or self.controls is not None:
            key = "claim" if self.claim is not None else "controls"
            raise ValueError(f"{key}: needs one setting of each arm, the best by one metric, and {has}")
        sampler = self.search.sampled_by
        if sampler.adapts and not sampler.by_several:
            able = ", ".join(name for name, one in SAMPLERS.items() if one.by_several)
            raise ValueError(
                f"sampler: {self.search.sampler.name} learns from one metric, and {has}; take one of {able}"
            )

    def _check_claims(self) -> None:
        """Claims and controls must name arms other than the baseline, and a measure that is measured."""
        if self.claim is None and self.controls is None:
            return
        names = {arm.name: arm for arm in self.arms}
        controls = self.controls.arms if self.controls is not None else ()
        claimed = [claim.arm for claim in self.claim.that] if self.claim is not None else []
        for key, arms in (("controls", controls), ("claim", claimed)):
            for name in arms:
                if name not in names:
                    raise ValueError(f"{key}: {unknown('arm', name, names)}")
                if name == BASELINE:
                    raise ValueError(f"{key}: {BASELINE!r} is the baseline; name another arm")
        if BASELINE not in names:
            raise ValueError(f"claim and controls need the baseline, an arm named {BASELINE!r}")
        for name in controls:
            if controls.count(name) > 1 or name in claimed:
                raise ValueError(f"controls: arm {name!r} can be one control only, and no claim")
        measured = {metric: evaluation for evaluation in self.evaluate for metric in evaluation.metrics}
        measure = self.measure
        if measure is None:
            raise ValueError("claim: needs a measure or an objective, e.g. measure: fd_classifier")
        if measure not in measured:
            raise ValueError(f"claim: {unknown('metric', measure, measured)}")
        if measured[measure].better not in MODES:
            raise ValueError(f"claim: {measure} has no better direction")
        if self.claim is not None and len(self.seeds) < LEAST_SEEDS:
            raise ValueError(f"claim: needs at least {LEAST_SEEDS} seeds, got {len(self.seeds)}")

    @property
    def measure(self) -> str | None:
        """The primary measure: the claim's or, where it names none, the objective's first."""
        named = self.claim.measure if self.claim is not None else None
        return named or (self.objective.metric[0] if self.objective is not None else None)

    @property
    def modes(self) -> tuple[Literal["min", "max"], ...]:
        """Which way each metric of the objective is better; one `min` where there is none."""
        better = {metric: one.better for one in self.evaluate for metric in one.metrics}
        names = self.objective.metric if self.objective is not None else (SECONDS,)
        return tuple(MODES[better.get(name, "lower")] for name in names)

    @property
    def mode(self) -> Literal["min", "max"]:
        """The first of the `modes`."""
        return self.modes[0]

    @property
    def kept_samples(self) -> int:
        """How many images each finished trial keeps."""
        return self.keep.samples if self.keep is not None else 0

    def dimensions_of(self, arm: Arm) -> dict[str, Dimension]:
        """The search of an arm: the same for all, but λ and the other treatment settings mean something only
        where there is a negative, and an arm that is not trained has nothing to search."""
        if arm.task.get("num_steps") == 0:
            return {}
        treatment = TASKS[self.task.name].treatment | {LAMBDA}
        own = with_current_names(type(self.task), arm.task)
        return {
            key: value
            for key, value in self.search.dimensions.items()
            if (
                self._arm_of(key) == arm
                if key.startswith(OF_ARMS)
                else key.partition(".")[0] not in own and (key not in treatment or arm.negative is not None)
            )
        }

    def _arm_of(self, key: str) -> Arm:
        """The arm whose negative has the parameter that `arms.<name>.<parameter>` names."""
        name = key.removeprefix(OF_ARMS).rpartition(".")[0]
        arms = {arm.name: arm for arm in self.arms}
        if name not in arms:
            raise UserError(f"search: {key}: {unknown('arm', name, arms)}")
        if not isinstance(arms[name].negative, Single):
            raise UserError(f"search: {key}: arm {name!r} has no negative with parameters to search")
        return arms[name]

    def task_of(self, arm: Arm, setting: Mapping[str, Any] | None = None) -> TaskConfig:
        """The task of an arm's trials: the sweep's, with the arm's own keys and the searched values set.

        With `budget: compute` it has as many steps as judge what `num_steps` steps of the sweep's task judge
        with a negative, rounded down.
        """
        setting = setting or {}
        kind, searched, where = type(self.task), _of_task(setting), f"arm {arm.name}"
        changed = {**self.task.model_dump(mode="json"), **with_current_names(kind, arm.task)}
        changed = kind.making_way(changed, searched)
        for key in searched:
            changed = with_value(changed, key.split("."), setting[key], where)
        task = parse(kind, changed, where)
        if self.budget == "steps" or task.num_steps == 0 or "num_steps" in arm.task:
            return task
        weighs = self._lambda_of(arm, setting) != TASKS[task.name].lambda_rule.baseline
        budget = self.task.judged_per_step(negative=True)
        each = task.judged_per_step(negative=weighs)
        if not budget or not each:
            raise UserError(
                f"budget: compute: task {task.name} does not say how many images a step judges; "
                "take budget: steps"
            )
        steps = self.task.num_steps * budget // each
        return parse(kind, {**changed, "num_steps": steps}, f"{where}: budget: compute")

    def longest_of(self, arm: Arm) -> int:
        """The steps of the arm's longest trial, by the bounds of what is searched."""
        return max(self.task_of(arm, setting).num_steps for setting in self.boundary_settings(arm))

    def _lambda_of(self, arm: Arm, setting: Mapping[str, Any]) -> Any:
        rule = TASKS[self.task.name].lambda_rule
        return setting.get(LAMBDA, rule.default if arm.negative is not None else rule.baseline)

    def trial(self, arm: Arm, setting: Mapping[str, Any], seed: int) -> TrialConfig:
        """The trial of `arm` with the searched values of `setting`."""
        where = f"arm {arm.name}"
        of_negative = {key: value for key, value in setting.items() if key.startswith(OF_ARMS)}
        lambda_ = self._lambda_of(arm, setting)
        TASKS[self.task.name].lambda_rule.check(lambda_, f"{where}: ")
        task = self.task_of(arm, setting)
        dumped = task.model_dump(mode="json")
        of_task = _of_task(setting)
        parameters = {key: value_at(dumped, key.split(".")) for key in of_task}  # 64.0 and 64 are one value
        negative: Any = arm.negative
        if of_negative and arm.negative is not None:
            changed = {key.rpartition(".")[2]: value for key, value in of_negative.items()}
            negative = parse(cast(Any, NegativeSpec), {**arm.negative.dump(), **changed}, where)
        return parse(
            TrialConfig,
            {
                "arm": arm.name,
                "plugins": self.plugins,
                "task": task,
                "data": self.data,
                "negative": negative,
                "positive": arm.positive,
                LAMBDA: lambda_,
                "seed": seed,
                "evaluate": self.evaluate,
                "parameters": {**parameters, **of_negative},
            },
            where,
        )

    def settings_of(self, arm: Arm) -> Iterator[dict[str, Any]]:
        """Every setting of an arm's grid; one empty setting where nothing is searched."""
        dimensions = self.dimensions_of(arm)
        for values in itertools.product(*(d.choice or () for d in dimensions.values())):
            yield dict(zip(dimensions, values, strict=True))

    def boundary_settings(self, arm: Arm) -> Iterator[dict[str, Any]]:
        """Settings of an arm that together contain every listed value, every bound, and a value between the
        bounds."""
        dimensions = self.dimensions_of(arm)
        longest = max((len(d.extremes) for d in dimensions.values()), default=1)
        for i in range(longest):
            yield {key: d.extremes[min(i, len(d.extremes) - 1)] for key, d in dimensions.items()}

    @property
    def cautions(self) -> list[str]:
        """What may be a mistake in the settings of some arm, one line each; it stops nothing."""
        trials = (
            self.trial(arm, setting, self.seeds[0])
            for arm in self.arms
            for setting in self.boundary_settings(arm)
        )
        return list(dict.fromkeys(caution for trial in trials for caution in trial.task.cautions))

    def grid_trials(self) -> list[TrialConfig]:
        """The trials of a grid, seed by seed, so that a sweep cut short has every arm at its first seeds."""
        return [
            self.trial(arm, setting, seed)
            for seed in self.seeds
            for arm in self.arms
            for setting in self.settings_of(arm)
        ]

    def trial_count(self) -> int:
        """How many trials the whole sweep will run; fewer where a search has too few settings."""
        if self.search.is_grid:
            settings = (
                math.prod(len(dimension.choice or ()) for dimension in self.dimensions_of(arm).values())
                for arm in self.arms
            )
            return sum(settings) * len(self.seeds)
        searched = sum(bool(self.dimensions_of(arm)) for arm in self.arms)
        repeated = sum(self.most_repeated(arm) for arm in self.arms)
        return searched * self.search.trials_per_arm + repeated * len(self.seeds)

    def most_repeated(self, arm: Arm) -> int:
        """How many settings of an arm a sampled search repeats at most."""
        if len(self.modes) == 1 or not self.dimensions_of(arm):
            return 1
        return min(self.search.pareto_settings, self.search.trials_per_arm)


def _of_task(setting: Mapping[str, Any]) -> list[str]:
    """The searched keys of a setting that are the task's: neither λ nor a negative's parameter."""
    return [key for key in setting if key != LAMBDA and not key.startswith(OF_ARMS)]


def read_sweep(path: Path, assignments: list[str]) -> SweepConfig:
    """The sweep of a file, with `key=value` assignments applied; `UserError` in one line when it is wrong."""
    return parse(SweepConfig, override(read_yaml(find_sweep_file(path)), assignments), str(path))


def sweep_from(
    source: str | PathLike[str] | Mapping[str, Any] | SweepConfig, change: Mapping[str, Any]
) -> SweepConfig:
    """The sweep of a file, of a mapping with the keys of one, or as it is, with the values of `change` set,
    whose keys may have dots; `UserError` in one line when it is wrong."""
    if isinstance(source, SweepConfig) and not change:
        return source
    if isinstance(source, SweepConfig):
        data, where = source.model_dump(mode="json", by_alias=True), source.name
    elif isinstance(source, Mapping):
        data, where = dict(source), "sweep"
    else:
        data, where = read_yaml(find_sweep_file(Path(source))), str(source)
    for key, value in change.items():
        data = with_value(data, key.split("."), value, key)
    return parse(SweepConfig, data, where)
