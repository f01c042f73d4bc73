"""Optuna's pruners stop search trials by their own arm's values alone, also after an interruption."""

import math
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from ndabench.config import parse
from ndabench.errors import UserError
from ndabench.planning.outcomes import RecordedValues
from ndabench.planning.pruners import PRUNERS
from ndabench.planning.pruning import ArmwisePruning, StopsEarly, early_stopping
from ndabench.planning.successive_halving import ArmwiseHalving
from ndabench.planning.sweep_file import SweepConfig
from ndabench.trials.config import TrialConfig
from tests.registrations import toy_registered

STEPS = (10, 20, 30, 40)
OF_OPTUNA: dict[str, dict[str, Any]] = {
    "median": {"n_startup_trials": 2, "n_warmup_steps": 15},
    "percentile": {"percentile": 25.0, "n_startup_trials": 2},
    "threshold": {"upper": 0.9},
    "hyperband": {"grace_steps": 10, "reduction_factor": 2},
    "toy_stall": {},
}
every_pruner = pytest.mark.parametrize("name", OF_OPTUNA)


def sweep(name: str = "median", **keys: Any) -> SweepConfig:
    return parse(
        SweepConfig,
        {
            "name": "s",
            "task": {"name": "gan", "num_steps": 40},
            "data": {"name": "digits"},
            "arms": ["none", "jigsaw"],
            "search": {"learning_rate": {"uniform": [1e-4, 1e-3]}, "sampler": "random"},
            "evaluate": [{"name": "fd", "every": 10}],
            "objective": {"metric": "fd_classifier"},
            "scheduler": {"name": name, **keys},
        },
        "s.yaml",
    )


def trial(config: SweepConfig, place: int, arm: int = 0, seed: int | None = None) -> TrialConfig:
    of_search = config.search.seed if seed is None else seed
    return config.trial(config.arms[arm], {"learning_rate": 1e-4 + place * 1e-6}, of_search)


def run(stopping: StopsEarly, of: TrialConfig, values: list[float]) -> RecordedValues:
    """The trial reports its values until it is stopped."""
    seen: list[tuple[int, float]] = []
    for step, value in zip(STEPS, values, strict=True):
        seen.append((step, value))
        result = {"step": step, "objective": value, "objective_step": step}
        if stopping.should_stop(of, result):
            break
    stopping.ended(of, {"step": seen[-1][0], "objective": seen[-1][1]})
    return RecordedValues(of, True, tuple(seen), seen[-1][0])


@pytest.fixture(scope="module", autouse=True)
def toy_is_registered() -> Iterator[None]:
    with toy_registered():
        yield


def test_the_suite_runs_over_every_scheduler_of_ours_and_the_toy() -> None:
    assert {name for name, entry in PRUNERS.items() if entry.build is not None} == set(OF_OPTUNA)
    assert isinstance(early_stopping(sweep("asha", grace_steps=10)), ArmwiseHalving)


def test_the_median_rule_is_that_of_the_finished_trials_of_the_arm() -> None:
    config, dice = sweep("median", n_startup_trials=2), random.Random(5)
    stopping = early_stopping(config)
    finished: list[list[float]] = []
    stopped = 0
    for place in range(30):
        values = [dice.random() for _ in STEPS]
        recorded = run(stopping, trial(config, place), values)
        expected = len(STEPS)
        for number in range(len(STEPS) if len(finished) >= 2 else 0):
            others = np.median([one[number] for one in finished])
            if min(values[: number + 1]) > others:
                expected = number + 1
                break
        assert len(recorded.values) == expected
        finished += [values] if expected == len(STEPS) else []
        stopped += expected < len(STEPS)
    assert 5 < stopped < 25


@every_pruner
def test_other_arms_repeats_and_nan_stop_nothing(name: str) -> None:
    config = sweep(name, **OF_OPTUNA[name])
    stopping = early_stopping(config)
    for place in range(6):
        run(stopping, trial(config, place), [0.4, 0.3, 0.2, 0.1])
    falling = [0.8, 0.7, 0.6, 0.5]
    assert len(run(stopping, trial(config, 0, arm=1), falling).values) == len(STEPS)
    assert len(run(stopping, trial(config, 0, seed=3), [9.0, 99.0, 999.0, 9999.0]).values) == len(STEPS)
    assert len(run(stopping, trial(config, 7), [math.nan] * 4).values) == len(STEPS)


@every_pruner
def test_a_resumed_driver_decides_as_one_that_was_never_interrupted(name: str) -> None:
    config, dice = sweep(name, **OF_OPTUNA[name]), random.Random(9)
    curves = [[dice.random() for _ in STEPS] for _ in range(24)]
    whole, first = early_stopping(config), early_stopping(config)
    expected = [run(whole, trial(config, place), curve) for place, curve in enumerate(curves)]
    before = [run(first, trial(config, place), curve) for place, curve in enumerate(curves[:12])]
    resumed = early_stopping(config)
    resumed.replay(before)
    after = [run(resumed, trial(config, 12 + place), curve) for place, curve in enumerate(curves[12:])]
    assert [*before, *after] == expected
    assert any(len(one.values) < len(STEPS) for one in expected)


def test_a_trial_that_was_to_stop_when_the_driver_ended_stops_at_its_next_result() -> None:
    config = sweep("threshold", upper=0.5)
    stopping = early_stopping(config)
    assert isinstance(stopping, ArmwisePruning)
    one = trial(config, 0)
    stopping.replay([RecordedValues(one, False, ((10, 0.9),), 10)])
    assert stopping.should_stop(one, {"step": 20})
    repeated = {"step": 10, "objective": 0.2, "objective_step": 10}
    assert not stopping.should_stop(trial(config, 1), repeated)
    assert not stopping.should_stop(trial(config, 1), repeated | {"objective": 0.9})  # of a restarted trial


@pytest.mark.parametrize(
    ("scheduler", "message"),
    [
        ({"name": "medan"}, "scheduler.name: unknown name 'medan'; did you mean 'median'"),
        ({"name": "median", "n_warmup_steps": 99}, "n_warmup_steps 99 is above num_steps 40"),
        ({"name": "threshold"}, "threshold needs lower or upper"),
        ({"name": "hyperband"}, "'scheduler.grace_steps' is missing"),
    ],
)
def test_a_wrong_scheduler_is_one_line(scheduler: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        sweep(**scheduler)
