"""Search trials stop early where others did better, at each rung once, and never across arms."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ndabench.config import parse
from ndabench.planning.outcomes import RecordedValues
from ndabench.planning.successive_halving import ArmwiseHalving, SuccessiveHalving
from ndabench.planning.sweep_file import SweepConfig

SWEEP = parse(
    SweepConfig,
    {
        "name": "tiny",
        "task": {"name": "gan", "num_steps": 90},
        "data": {"name": "digits"},
        "arms": ["none", "jigsaw", {"name": "short", "task": {"num_steps": 9}}],
        "evaluate": [{"name": "fd", "every": 10}],
        "objective": {"metric": "fd_classifier"},
        "seeds": [1],
        "search": {"learning_rate": [1e-4, 1e-3], "sampler": "random", "trials_per_arm": 2, "seed": 0},
        "scheduler": {"name": "asha", "grace_steps": 10, "reduction_factor": 3},
    },
    "test",
)


def lower_is_better() -> SuccessiveHalving:
    return SuccessiveHalving(grace_steps=10, max_steps=90, reduction_factor=3, mode="min")


def report(step: int, objective: float, measured_at: int | None = None) -> dict[str, Any]:
    return {
        "step": step,
        "objective": objective,
        "objective_step": step if measured_at is None else measured_at,
    }


def test_a_trial_stops_unless_it_is_among_the_best_third_of_those_before_it() -> None:
    halving = lower_is_better()
    assert not halving.should_stop("a", 10, 5.0), "the first has nothing to be compared with"
    assert halving.should_stop("b", 10, 6.0)
    assert not halving.should_stop("c", 10, 5.0), "not worse"
    assert not halving.should_stop("d", 10, 1.0)


def test_higher_is_better_for_max() -> None:
    halving = SuccessiveHalving(grace_steps=10, max_steps=90, reduction_factor=3, mode="max")
    assert not halving.should_stop("a", 10, 5.0)
    assert halving.should_stop("b", 10, 4.0)
    assert not halving.should_stop("c", 10, 6.0)


def test_nothing_is_compared_before_the_first_rung_and_once_at_each() -> None:
    halving = lower_is_better()
    halving.should_stop("a", 10, 5.0)
    assert not halving.should_stop("b", 9, 100.0)
    assert not halving.should_stop("b", 10, 4.0)
    assert not halving.should_stop("b", 20, 100.0), "its rung is passed"
    assert not halving.should_stop("b", 30, 4.0)
    assert not halving.should_stop("a", 90, 4.0)
    assert halving.should_stop("c", 90, 5.0), "the last rung, though it skipped the others"


def test_nan_neither_stops_a_trial_nor_counts() -> None:
    halving = lower_is_better()
    assert not halving.should_stop("a", 10, math.nan)
    assert not halving.should_stop("b", 10, 7.0)
    assert not halving.should_stop("c", 10, math.nan)
    assert halving.should_stop("d", 10, 8.0)


def test_arms_and_repeats_are_kept_apart() -> None:
    halving = ArmwiseHalving(SWEEP)
    none, jigsaw, short = SWEEP.arms
    good, bad = (SWEEP.trial(none, {"learning_rate": rate}, 0) for rate in (1e-4, 1e-3))
    assert not halving.should_stop(good, report(10, 1.0))
    assert not halving.should_stop(SWEEP.trial(jigsaw, {"learning_rate": 1e-3}, 0), report(10, 9.0))
    assert not halving.should_stop(SWEEP.trial(none, {"learning_rate": 1e-3}, 1), report(10, 9.0)), "a repeat"
    assert not halving.should_stop(SWEEP.trial(short, {}, 0), report(10, 9.0)), "it has no rung"
    assert halving.should_stop(bad, report(10, 9.0))


@pytest.mark.parametrize("result", [{"step": 10}, report(12, 9.0, measured_at=10)])
def test_only_a_new_measurement_is_compared(result: dict[str, Any]) -> None:
    halving = ArmwiseHalving(SWEEP)
    good, bad = (SWEEP.trial(SWEEP.arms[0], {"learning_rate": rate}, 0) for rate in (1e-4, 1e-3))
    halving.should_stop(good, report(10, 1.0))
    assert not halving.should_stop(bad, result)
    assert halving.should_stop(bad, report(20, 9.0))


def test_the_last_value_of_an_ended_trial_counts_for_those_that_follow() -> None:
    halving = ArmwiseHalving(SWEEP)
    ended, other = (SWEEP.trial(SWEEP.arms[0], {"learning_rate": rate}, 0) for rate in (1e-4, 1e-3))
    halving.ended(ended, {"step": 90})
    halving.ended(ended, report(90, 1.0, measured_at=80))
    assert halving.should_stop(other, report(90, 2.0))


SEARCHED = [SWEEP.trial(SWEEP.arms[0], {"learning_rate": (1 + i) * 1e-4}, 0) for i in range(8)]
STEPS = range(10, 91, 10)
VALUES = np.random.default_rng(0).normal(size=(len(SEARCHED), len(STEPS))).tolist()
Records = Mapping[str, RecordedValues]


def searched(earlier: Records, results: int = len(SEARCHED) * len(STEPS), *, decided: bool = True) -> Records:
    """What is recorded after a driver has continued the search, one trial after another.

    The driver ends after so many results; with `decided` False, before it has decided about the last one.
    """
    halving, records = ArmwiseHalving(SWEEP), dict(earlier)
    halving.replay(earlier.values())
    for trial, values in zip(SEARCHED, VALUES, strict=True):
        one = records.get(trial.trial_id, RecordedValues(trial, False, (), 0))
        for step, value in zip(STEPS, values, strict=True):
            if one.ended or step <= one.last_step:
                continue
            if not results:
                return records
            results -= 1
            one = RecordedValues(trial, step == STEPS[-1], (*one.values, (step, value)), step)
            if results or decided:
                one = replace(one, ended=halving.should_stop(trial, report(step, value)) or one.ended)
            records[trial.trial_id] = one
            if one.ended:
                halving.ended(trial, report(step, value))
    return records


def stopped_early(records: Records) -> set[str]:
    return {trial_id for trial_id, one in records.items() if one.ended and one.last_step < STEPS[-1]}


def test_an_interrupted_search_stops_the_same_trials_as_one_that_was_not() -> None:
    """Wherever it was interrupted, also between the record of a value and the decision about it."""
    whole = searched({})
    assert 2 < len(stopped_early(whole)) < len(SEARCHED) - 1
    for results in range(sum(len(one.values) for one in whole.values())):
        assert stopped_early(searched(searched({}, results))) == stopped_early(whole)
        assert stopped_early(searched(searched({}, results, decided=False))) == stopped_early(whole)
