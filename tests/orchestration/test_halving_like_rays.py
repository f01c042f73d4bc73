"""Successive halving decides exactly as Ray's AsyncHyperBandScheduler does in the way ndabench used it."""

import math
import random
import warnings
from types import SimpleNamespace
from typing import Any

import pytest
from ray.tune.schedulers import AsyncHyperBandScheduler

from ndabench.planning.successive_halving import SuccessiveHalving


@pytest.mark.parametrize("seed", range(60))
def test_random_sequences_of_reports(seed: int) -> None:
    dice = random.Random(seed)
    mode, factor = dice.choice(["min", "max"]), dice.randint(2, 5)
    max_steps = dice.randint(1, 300)
    grace_steps = dice.randint(1, max_steps)
    theirs: Any = AsyncHyperBandScheduler(  # given stand-ins for Tune's trials
        time_attr="step",
        metric="objective",
        mode=mode,
        max_t=max_steps,
        grace_period=grace_steps,
        reduction_factor=factor,
        stop_last_trials=False,
    )
    ours = SuccessiveHalving(grace_steps=grace_steps, max_steps=max_steps, reduction_factor=factor, mode=mode)
    trials = [SimpleNamespace(trial_id=f"trial {number}") for number in range(30)]
    steps = {trial.trial_id: 0 for trial in trials}
    decisions = []
    for trial in trials:
        theirs.on_trial_add(None, trial)
    for _ in range(400):
        trial = dice.choice(trials)
        if dice.random() < 0.05:  # restarted, from a checkpoint
            steps[trial.trial_id] = dice.randint(0, steps[trial.trial_id])
            theirs.on_trial_add(None, trial)
        steps[trial.trial_id] += dice.randint(0, max(1, max_steps // 6))
        value = math.nan if dice.random() < 0.05 else round(dice.gauss(0, 3), dice.choice([0, 6]))
        step = steps[trial.trial_id]
        result = {"step": step, "objective": value}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # numpy's, where Ray compares with nothing but NaN
            expected = theirs.on_trial_result(None, trial, result) == theirs.STOP
        assert ours.should_stop(trial.trial_id, step, value) == expected
        decisions.append(expected)
    assert len(decisions) == 400


def test_the_sequences_hold_both_decisions() -> None:
    """Otherwise the comparison would show little."""
    dice, ours = (
        random.Random(1),
        SuccessiveHalving(grace_steps=1, max_steps=9, reduction_factor=3, mode="min"),
    )
    decisions = [ours.should_stop(str(number), 9, dice.gauss(0, 1)) for number in range(200)]
    assert 20 < sum(decisions) < 180
