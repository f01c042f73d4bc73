"""The whole of it on real digits: the generator gets visibly better, by the metric that reports show."""

from pathlib import Path

import pytest
import torch

from ndabench.augmentations.registry import implementations
from ndabench.config import parse
from ndabench.data.load import load_images
from ndabench.data.registry import ImageDataConfig
from ndabench.metrics.generators.config import FrechetConfig
from ndabench.tasks.averaging import EmaConfig
from ndabench.tasks.gan.config import GanConfig
from ndabench.tasks.setup import TrialSetup
from ndabench.tasks.trainer import build_trainer

NEGATIVES = implementations("corrected")


@pytest.mark.slow
@pytest.mark.parametrize(
    "arm",
    [
        pytest.param({}, id="none", marks=pytest.mark.release),
        pytest.param({"negative": NEGATIVES["jigsaw"], "lambda_": 0.5}, id="jigsaw"),
    ],
)
def test_a_short_training_improves_much_on_the_untrained_generator(
    arm: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NDABENCH_CACHE", str(tmp_path))
    data = load_images(
        parse(ImageDataConfig, {"name": "digits", "image_size": 16}, "data"), device=torch.device("cpu")
    )
    average = EmaConfig(decay=0.95, start=20)
    config = GanConfig(width=8, latent_dim=32, batch_size=16, num_steps=60, learning_rate=2e-3, ema=average)
    trainer = build_trainer(TrialSetup(config, data, **arm, evaluations=[FrechetConfig(num_samples=500)]))
    first, *_, last = trainer.run()
    assert last.metrics["val_fd_classifier"].value < first.metrics["val_fd_classifier"].value / 2
    assert last.metrics["fd_classifier"].protocol["batch_norm"] == "running"
