"""Two workers at half the batch take the steps of one at the whole."""

from pathlib import Path
from typing import Any

import pytest
import torch

from ndabench.distributed import Workers
from tests.tasks.closeness import assert_close
from tests.tasks.gan_toys import JIGSAW, gan_task, toy_trainer
from tests.two_workers import on_two_workers

CONFIG = {"num_steps": 3, "num_discriminator_steps": 2}
ARMS: dict[str, dict[str, Any]] = {
    "conditional": {"config": {**CONFIG, "conditional": True}, "negative": JIGSAW, "lambda_": 0.25},
    "unconditional": {"config": {**CONFIG, "reference": True}, "horizontal_flip": True},
}


def _run(arm: dict[str, Any], workers: Workers) -> dict[str, Any]:
    # Seed 1, because under seed 0 a ReLU stands so near its kink that rounding decides its gradient.
    trainer = toy_trainer(**arm, seed=1, workers=workers)
    task = gan_task(trainer)
    # Adam would make a whole step out of a gradient that is zero up to rounding, as those of biases before
    # a batch norm are.
    task.generator_optimizer = torch.optim.SGD(task.generator.parameters(), lr=1e-3)
    task.discriminator_optimizer = torch.optim.SGD(task.discriminator.parameters(), lr=1e-5)
    progress = list(trainer.run())
    return {
        "state": trainer.state_dict(),
        "curves": [{name: m.value for name, m in p.metrics.items()} for p in progress],
        "samples": task.sampler.sample(16, stream="x"),
        "sheets": [sorted(p.artifacts) for p in progress],
    }


def _all_arms(workers: Workers) -> dict[str, Any]:
    return {name: _run(arm, workers) for name, arm in ARMS.items()}


@pytest.mark.slow
def test_two_workers_at_half_the_batch_take_the_same_steps(tmp_path: Path) -> None:
    main, other = on_two_workers(_all_arms, tmp_path)
    for name, arm in ARMS.items():
        alone = _run(arm, Workers())
        for part in ("generator", "curves"):
            assert_close(main[name]["state"][part], other[name]["state"][part], 0)
        # Of curves the means below: sums of several steps have errors that are as many times larger.
        ours, theirs = (
            {k: v for k, v in run["state"].items() if k != "curves"} for run in (main[name], alone)
        )
        assert_close(ours, theirs, 1e-5)
        assert_close(main[name]["curves"], alone["curves"], 1e-5)
        assert main[name]["sheets"][0]
        assert not any(other[name]["sheets"]), "only the main worker draws"
        together = torch.cat(
            [
                torch.cat(halves)
                for halves in zip(
                    main[name]["samples"].split(4), other[name]["samples"].split(4), strict=True
                )
            ]
        )
        assert (together.int() - alone["samples"].int()).abs().max() <= 1
