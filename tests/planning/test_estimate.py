"""What a sweep will take, from what a trial of each arm takes."""

from typing import Any

import pytest
import torch

from ndabench.config import parse
from ndabench.planning.estimate import GIB, estimate
from ndabench.planning.sweep_file import SweepConfig
from ndabench.trials.config import Cost
from tests.command_lines import TINY

COSTS = [Cost("none", 100, 0.5, 10.0, GIB // 4, GIB), Cost("jigsaw", 100, 1.0, 20.0, GIB // 4, 2 * GIB)]


def sweep(**changes: Any) -> SweepConfig:
    return parse(SweepConfig, {**TINY, "seeds": [0, 1, 2], **changes}, "tiny")


def test_each_arm_and_the_sweep() -> None:
    config = sweep(search={"lambda": [0.25, 0.5]}, resources={"gpus_per_worker": 0.5})
    total = 3 * 60 + 6 * 120
    assert list(estimate(config, COSTS, 2)) == [
        "none: 3 × 60 s (100 steps of 0.5 s, 10 s measuring)",
        "jigsaw: 6 × 2 min (100 steps of 1 s, 20 s measuring)",
        f"in all about {total / 2 / 60:.0f} min with 2 at a time, {total / 2 / 3600:.3g} GPU-hours; "
        "checkpoints take up to 4.5 GiB, a trial 2 GiB of memory",
    ]


def test_a_sweep_takes_as_long_as_its_longest_trial() -> None:
    assert "in all about 2 min with 100 at a time" in list(estimate(sweep(), COSTS, 100))[-1]


def test_limits_that_would_be_reached_are_said() -> None:
    config = sweep(limits={"gpu_hours": 0.01, "disk_gib": 1}, resources={"gpus_per_worker": 1})
    assert [line.partition(" will")[0].partition(" may")[0] for line in estimate(config, COSTS, 1)][-2:] == [
        "caution: limits.gpu_hours: 0.01",
        "caution: limits.disk_gib: 1",
    ]


def test_searches_count_their_trials() -> None:
    search = {"lambda": {"uniform": [0.1, 0.9]}, "sampler": "random", "trials_per_arm": 5}
    config = sweep(search=search, evaluate=["fd"], objective={"metric": "fd_classifier"})
    lines = list(estimate(config, COSTS, 1))
    assert [line.partition(" × ")[0] for line in lines[:2]] == ["none: 3", "jigsaw: 8"]


@pytest.mark.slow
def test_what_preparing_times() -> None:
    """Real steps and measurements: an arm that takes longer measures more often."""
    from ndabench.trials.run import prepare

    config = sweep(
        seeds=[0],
        task={**TINY["task"], "num_steps": 8},
        arms=["none", {"name": "long", "task": {"num_steps": 80}}],
        evaluate=[{"name": "fd", "num_samples": 64, "every": 4}],
    )
    trials = [config.trial(arm, next(config.boundary_settings(arm)), 0) for arm in config.arms]
    none, long = prepare(trials, torch.device("cpu"), check=True, timed=True).costs
    assert (none.num_steps, long.num_steps) == (8, 80)
    assert none.seconds_per_step == long.seconds_per_step > 0
    assert long.seconds_measuring > none.seconds_measuring > 0
    assert none.checkpoint_bytes > 1000
    assert none.memory_bytes > 2**20
