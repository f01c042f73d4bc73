"""No training step makes the host wait for a card: by it, launches run ahead of the card and hide behind it.

On a card `benchmarks/gpu` checks the same with CUDA's own sync debug mode (`steps_wait_for_nothing`).
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmarks.gpu.setups import TRAININGS, small_training
from ndabench.augmentations.registry import Rule, implementations
from ndabench.data.feeding import StreamedSplit
from ndabench.data.points.load import PointSplit
from ndabench.data.points.negatives import PointNegative, between
from ndabench.data.source import ArrayPictures
from ndabench.distributed import Workers
from ndabench.tasks.contrastive.methods import METHODS
from ndabench.tasks.registry import TASKS
from ndabench.tasks.setup import TrialSetup
from ndabench.tasks.trainer import Trainer, build_trainer
from tests.tasks import density_toys, paired_toys
from tests.tasks.host_waits import HostWaitError, card, no_waits


def _paired(device: torch.device) -> Trainer:
    keys: dict[str, Any] = {"negative": paired_toys.JIGSAW, "lambda_": 0.5, "horizontal_flip": True}
    data, workers = paired_toys.toy_pairs(device.type), Workers(device=device)
    return build_trainer(TrialSetup(paired_toys.toy_config(), data, workers=workers, **keys))


def _density(device: torch.device) -> Trainer:
    data = density_toys.toy_points()
    there = replace(data, train=PointSplit(data.train.points.to(device), data.train.modes.to(device)))
    config = density_toys.toy_config(losses="wasserstein_gp", gradient_penalty=0.5)
    negative = PointNegative(between(data, 0.2).distribution.to(device))
    workers = Workers(device=device)
    return build_trainer(TrialSetup(config, there, negative=negative, lambda_=0.25, workers=workers))


BUILDERS: dict[str, Callable[[torch.device], Trainer]] = {
    **{name: partial(small_training, task, tiny=True, **keys) for name, (task, keys) in TRAININGS.items()},
    "pairs": _paired,
    "points": _density,
}


@pytest.mark.parametrize("name", BUILDERS)
def test_no_step_waits_for_the_card(name: str) -> None:
    with card() as device:
        trainer = BUILDERS[name](device)
        batches = trainer.task.batches(0)
        trainer.task.training_step(next(batches), 0)  # fills the tables that live on the device
        with no_waits():
            for step in (1, 2):
                trainer.task.training_step(next(batches), step)
        assert {total.device for total in trainer.task.curves.sums.values()} == {device}
        with no_waits(), pytest.raises(HostWaitError):
            trainer.task.curves.read()  # what a pause does


def test_every_task_and_method_is_among_them() -> None:
    found = set()
    for build in BUILDERS.values():
        config = build(torch.device("cpu")).config
        found |= {config.name, getattr(getattr(config, "method", None), "name", config.name)}
    ours = {name for name, task in TASKS.items() if task.config.__module__.startswith("ndabench.")}
    assert found == ours | {*METHODS}


@pytest.mark.parametrize("medium", [rule for rule in get_args(Rule) if rule != "points"])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32], ids=str)
def test_no_negative_waits_for_the_card(medium: Any, dtype: torch.dtype) -> None:
    shape = (8, 3, 10, 16, 16) if medium == "clips" else (8, 3, 32, 32)
    with card() as device:
        images = torch.empty(shape, dtype=dtype, device=device)
        generator = torch.Generator(device)
        for name, negative in implementations(medium).items():
            negative(images, generator=generator)
            with no_waits():
                assert negative(images, generator=generator).shape == shape, name


def test_no_negative_of_points_waits_for_the_card() -> None:
    builders: Mapping[str, Callable[..., Any]] = implementations("points")
    for name, build in builders.items():
        distribution = build(density_toys.toy_points()).distribution
        with card() as device:
            negative = PointNegative(distribution.to(device))
            points, generator = torch.empty(8, 2, device=device), torch.Generator(device)
            negative(points, generator=generator)
            with no_waits():
                assert negative(points, generator=generator).shape == (8, 2), name


def test_streamed_batches_are_copied_without_waiting() -> None:
    pixels, labels = np.zeros((8, 4, 4, 3), np.uint8), torch.zeros(8, dtype=torch.long)
    pictures = ArrayPictures(Path("black"), pixels, labels.numpy())
    with card() as device:
        split = StreamedSplit(
            pictures, labels, torch.arange(8), image_size=None, channels=3, workers=0, device=device
        )
        with no_waits():
            images, _ = next(iter(split.batches([torch.arange(4)])))
        assert images.device == device


def _assigned(target: Tensor, index: Tensor, value: Any) -> None:
    target[index] = value


WAITING: dict[str, Callable[[Tensor], Any]] = {
    "item": lambda x: x.sum().item(),
    "float": lambda x: float(x.sum()),
    "bool": lambda x: bool(x.sum() > 0),
    "tolist": lambda x: x.tolist(),
    "cpu": lambda x: x.cpu(),
    "to": lambda x: x.to("cpu", non_blocking=True),
    "numpy": lambda x: x.cpu().numpy(),
    "equal": lambda x: torch.equal(x, x),
    "nonzero": lambda x: x.nonzero(),
    "where": lambda x: torch.where(x > 0),
    "unique": lambda x: x.unique(),
    "one_hot": lambda x: torch.nn.functional.one_hot(x.long()),
    "repeat_interleave": lambda x: x.repeat_interleave(torch.ones_like(x[0], dtype=torch.long), 1),
    "masked": lambda x: x[x > 0],
    "assignment under a mask": lambda x: _assigned(x, x > 0, x[0]),
    "masked_select": lambda x: x.masked_select(x > 0),
    "index on the host": lambda x: x[torch.tensor([0, 1])],
    "assignment at an index on the host": lambda x: _assigned(x, torch.tensor([0, 1]), 0.0),
    "copy to the card": lambda x: torch.zeros(3).to(x.device),
    "copy into the card": lambda x: torch.empty_like(x).copy_(torch.zeros(3, 3)),
    "copy from the card": lambda x: torch.zeros(3, 3).copy_(x),
    "values": lambda x: torch.tensor([1.0, 2.0], device=x.device),
    "values of a kind": lambda x: x.new_tensor([1.0]),
    "solve": lambda x: torch.linalg.inv(x),
}
FREE: dict[str, Callable[[Tensor], Any]] = {
    "arithmetic with a number": lambda x: (x * 2 + torch.tensor(3.0)).sum(),
    "index on the card": lambda x: x[torch.arange(2, device=x.device)],
    "mask": lambda x: x.masked_fill(x > 0, 0.0),
    "one value under a mask": lambda x: _assigned(x, x > 0, 0.0),
    "choice": lambda x: torch.where(x > 0, x, 0.0),
    "asynchronous copy": lambda x: torch.zeros(3).to(x.device, non_blocking=True),
    "asynchronous copy into it": lambda x: torch.empty_like(x).copy_(torch.zeros(3, 3), non_blocking=True),
    "copy on the card": lambda x: x.to(torch.float64).clone(),
    "host alone": lambda _: torch.ones(3)[torch.ones(3) > 0].tolist(),
}


@pytest.mark.parametrize("name", WAITING)
def test_what_waits_is_found(name: str) -> None:
    with card() as device:
        x = torch.ones(3, 3, device=device)
        with no_waits(), pytest.raises(HostWaitError):
            WAITING[name](x)


@pytest.mark.parametrize("name", FREE)
def test_what_does_not_wait_is_let_through(name: str) -> None:
    with card() as device:
        x = torch.ones(3, 3, device=device)
        with no_waits():
            FREE[name](x)
