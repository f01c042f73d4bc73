"""A GAN of points small enough to train in a test."""

from functools import cache
from typing import Any

import torch

from ndabench.augmentations.compose import Augmentation
from ndabench.config import parse
from ndabench.data.points import negatives
from ndabench.data.points.load import PointData
from ndabench.data.registry import DataConfig, load_data
from ndabench.tasks.density_gan.config import DensityGanConfig
from ndabench.tasks.setup import TrialSetup
from ndabench.tasks.trainer import Trainer, build_trainer


@cache
def toy_points(name: str = "ring") -> PointData:
    config = parse(DataConfig, {"name": name, "num_points": 1000}, "data")
    data = load_data(config, torch.device("cpu"))
    assert isinstance(data, PointData)
    return data


def between(overlap: float = 0.0) -> Augmentation:
    return negatives.between(toy_points(), overlap)


def toy_config(**changes: Any) -> DensityGanConfig:
    settings = {
        "width": 8,
        "depth": 2,
        "batch_size": 16,
        "num_steps": 4,
        "num_discriminator_steps": 2,
        "log_every": 1,
        "ema": {"decay": 0.999, "start": 2},
        "learning_rate": 1e-2,
    }
    return DensityGanConfig.model_validate({**settings, **changes})


def toy_trainer(*, config: dict[str, Any] | None = None, **arguments: Any) -> Trainer:
    return build_trainer(TrialSetup(toy_config(**(config or {})), toy_points(), **arguments))
