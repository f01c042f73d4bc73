"""Which search trials stop early, by the values of the other trials of their arm.

`StopsEarly` is what decides: ndabench's own successive halving, or one of Optuna's pruners. A pruner sees the
trials of one arm alone, so that one arm cannot starve another. The repeats of the best setting always run to
their end.
"""

import math
import warnings
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import optuna
from optuna.trial import TrialState

from ndabench.planning.outcomes import RecordedValues
from ndabench.planning.pruners import PRUNERS
from ndabench.planning.successive_halving import ArmwiseHalving
from ndabench.planning.sweep_file import SweepConfig
from ndabench.registry import load
from ndabench.trials.config import TrialConfig


class StopsEarly(Protocol):
    """Decides which search trials stop; its methods are those of `ArmwiseHalving`."""

    def replay(self, recorded: Iterable[RecordedValues]) -> None: ...

    def should_stop(self, trial: TrialConfig, result: Mapping[str, Any]) -> bool: ...

    def ended(self, trial: TrialConfig, result: Mapping[str, Any]) -> None: ...


def early_stopping(config: SweepConfig) -> StopsEarly:
    """What the sweep's `scheduler` means."""
    assert config.scheduler is not None
    return ArmwiseHalving(config) if PRUNERS[config.scheduler.name].build is None else ArmwisePruning(config)


class ArmwisePruning:
    """One of Optuna's pruners, in a study for each arm that only holds the values that trials report."""

    def __init__(self, config: SweepConfig) -> None:
        self._search_seed = config.search.seed
        self._studies = {arm.name: _study(config, arm.name, config.longest_of(arm)) for arm in config.arms}
        self._trials: dict[str, optuna.Trial] = {}
        self._reported: dict[str, int] = {}
        """The last step that each trial reported."""
        self._overdue: set[str] = set()
        """Trials that stop at their next result: the driver ended before it could act on their last one."""

    def replay(self, recorded: Iterable[RecordedValues]) -> None:
        """Takes over the records of an earlier driver, given in the order of their starts."""
        for one in recorded:
            stop = False
            for step, value in one.values:
                stop = self.should_stop(one.trial, {"step": step, "objective": value, "objective_step": step})
            if one.ended:
                self.ended(one.trial, {"step": one.last_step, "objective": one.values[-1][1]})
            elif stop:
                self._overdue.add(one.trial.trial_id)

    def should_stop(self, trial: TrialConfig, result: Mapping[str, Any]) -> bool:
        """Whether a trial stops after its newest result. One that is not finite, or that a restarted trial
        reports once more, stops none."""
        if trial.trial_id in self._overdue:
            return True
        if trial.seed != self._search_seed or not math.isfinite(result.get("objective", math.nan)):
            return False
        step = result["step"]
        if result.get("objective_step") != step or step <= self._reported.get(trial.trial_id, 0):
            return False
        self._reported[trial.trial_id] = step
        asked = self._asked(trial)
        asked.report(result["objective"], step)
        return bool(asked.should_prune())

    def ended(self, trial: TrialConfig, result: Mapping[str, Any]) -> None:
        """Notes that a trial has ended: at its last step with a value, or before it."""
        if trial.seed != self._search_seed or trial.trial_id not in self._trials:
            return
        value, asked = result.get("objective", math.nan), self._trials[trial.trial_id]
        if self._study_of(trial).trials[asked.number].state.is_finished():
            return
        if result.get("step") == trial.task.num_steps and math.isfinite(value):
            self._study_of(trial).tell(asked, value)
        else:
            self._study_of(trial).tell(asked, state=TrialState.PRUNED)

    def _asked(self, trial: TrialConfig) -> optuna.Trial:
        if trial.trial_id not in self._trials:
            self._trials[trial.trial_id] = self._study_of(trial).ask()
        return self._trials[trial.trial_id]

    def _study_of(self, trial: TrialConfig) -> optuna.Study:
        return self._studies[trial.arm]


def _study(config: SweepConfig, arm: str, longest: int) -> optuna.Study:
    """An empty study in which the arm's trials are compared. Hyperband takes its name as a seed."""
    assert config.scheduler is not None
    build = PRUNERS[config.scheduler.name].build
    assert build is not None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        pruner = load(build)(**config.scheduler.arguments(longest))
    return optuna.create_study(
        study_name=f"{config.name}/{arm}",
        sampler=optuna.samplers.RandomSampler(seed=config.search.seed),
        pruner=pruner,
        direction="maximize" if config.mode == "max" else "minimize",
    )
