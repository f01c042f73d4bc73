"""Asynchronous successive halving (ASHA; Li et al. 2020, arXiv:1810.05934): which search trials stop early.

A trial that reaches a rung (grace, grace·η, grace·η², … steps) is compared with the trials that reached that
rung before it. It stops where its value is worse than the best 1/η of them. Values are compared within one
arm only, so that one arm cannot starve another. The repeats of the best setting always run to their end.

The decisions equal those of Ray's `AsyncHyperBandScheduler` with one bracket and `stop_last_trials=False`,
Ray 2.60; a test compares the two on random sequences.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from ndabench.planning.outcomes import RecordedValues
from ndabench.planning.pruners import Asha
from ndabench.planning.sweep_file import SweepConfig
from ndabench.trials.config import TrialConfig


class SuccessiveHalving:
    """The rungs of one arm. Higher values are better for mode `max`, lower ones for mode `min`."""

    def __init__(self, *, grace_steps: int, max_steps: int, reduction_factor: float, mode: str) -> None:
        assert grace_steps > 0
        assert max_steps > 0
        assert reduction_factor > 1
        # Trials shorter than the grace period have no rung, and none of them stops.
        num_rungs = int(np.log(max_steps / grace_steps) / np.log(reduction_factor) + 1)
        self._rungs: list[tuple[float, dict[str, float]]] = [
            (grace_steps * reduction_factor**k, {}) for k in reversed(range(num_rungs))
        ]
        """(steps, the score of each trial that was compared there), from the last rung to the first."""
        self._top_share, self._sign = 1 / reduction_factor, 1.0 if mode == "max" else -1.0

    def should_stop(self, trial_id: str, step: int, value: float) -> bool:
        """Compares a trial at the last rung that it has reached, once per rung, and notes its value there.

        A trial that skipped a rung is never compared there. NaN never stops a trial, and the cutoffs of later
        trials ignore it.
        """
        reached = next(((steps, scores) for steps, scores in self._rungs if step >= steps), None)
        if reached is None or trial_id in reached[1]:
            return False
        scores, score = reached[1], self._sign * value
        others = [other for other in scores.values() if not math.isnan(other)]
        scores[trial_id] = score
        return bool(others) and bool(score < np.percentile(others, (1 - self._top_share) * 100))


class ArmwiseHalving:
    """Successive halving of a sweep's search trials, separately in each arm."""

    def __init__(self, config: SweepConfig) -> None:
        assert isinstance(config.scheduler, Asha)
        assert config.objective is not None
        self._search_seed = config.search.seed
        self._overdue: set[str] = set()
        """Trials that stop at their next result: the driver ended before it could act on their last one."""
        self._arms = {
            arm.name: SuccessiveHalving(
                grace_steps=config.scheduler.grace_steps,
                max_steps=max(1, config.longest_of(arm)),
                reduction_factor=config.scheduler.reduction_factor,
                mode=config.mode,
            )
            for arm in config.arms
        }

    def replay(self, recorded: Iterable[RecordedValues]) -> None:
        """Rebuilds the rungs from the records of an earlier driver, given in the order of their starts.

        With one trial at a time the decisions that follow equal those of a driver that was never interrupted.
        With several the order in which they reached a rung is not recorded.
        """
        for one in recorded:
            stop = False
            for step, value in one.values:
                result = {"step": step, "objective": value, "objective_step": step}
                stop = self.should_stop(one.trial, result)
            if one.ended:
                self.ended(one.trial, {"step": one.last_step, "objective": one.values[-1][1]})
            elif stop:
                self._overdue.add(one.trial.trial_id)

    def should_stop(self, trial: TrialConfig, result: Mapping[str, Any]) -> bool:
        """Whether a trial stops after its newest result.

        A result without `objective` is not compared, nor is one that repeats the objective of an earlier step
        (`objective_step`). A restarted trial has the id that it had before, so it is compared at each rung
        once.
        """
        if trial.trial_id in self._overdue:
            return True
        if trial.seed != self._search_seed or "objective" not in result:
            return False
        if result.get("objective_step") != result.get("step"):
            return False
        return self._arms[trial.arm].should_stop(trial.trial_id, result["step"], result["objective"])

    def ended(self, trial: TrialConfig, result: Mapping[str, Any]) -> None:
        """Notes the last value of a trial that has ended, so that later trials are compared with it."""
        if trial.seed == self._search_seed and "objective" in result:
            self._arms[trial.arm].should_stop(trial.trial_id, result["step"], result["objective"])
