"""On real handwritten digits contrastive training makes an encoder better than it was."""

from typing import Any

import pytest
import torch

from ndabench.augmentations.registry import implementations
from ndabench.config import parse
from ndabench.data.load import load_images
from ndabench.data.registry import ImageDataConfig
from ndabench.metrics.image_encoders.config import LinearProbeLbfgsConfig
from ndabench.tasks.contrastive.config import ImageContrastiveConfig
from ndabench.tasks.setup import TrialSetup
from ndabench.tasks.trainer import build_trainer

NEGATIVES = implementations("corrected")

MOCO = {"name": "moco", "queue_size": 256, "batch_norm_splits": 4, "symmetric": True}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "rate", "num_steps"),
    [pytest.param(MOCO, 0.03, 250, marks=pytest.mark.release), ("simclr", 0.1, 120)],
)
def test_probes_rise_and_views_come_nearer_than_negatives(
    method: str | dict[str, Any], rate: float, num_steps: int
) -> None:
    """MoCo takes longer than SimCLR: its queue has to turn over first."""
    data = load_images(parse(ImageDataConfig, {"name": "digits"}, "data"), device=torch.device("cpu"))
    settings = {
        "method": method,
        "encoder": {"name": "resnet", "width": 8},
        "embedding_dim": 32,
        "batch_size": 64,
        "num_steps": num_steps,
        "learning_rate": rate,
        "temperature": 0.2,
        "views": {"crop_scale": [0.4, 1.0], "flip": 0.0, "jitter": [0.4, 0.4, 0, 0], "grayscale": 0.0},
    }
    probe = LinearProbeLbfgsConfig(every=num_steps, penalties=(1e-3, 1e-2))
    trainer = build_trainer(
        TrialSetup(
            ImageContrastiveConfig.model_validate(settings),
            data,
            negative=NEGATIVES["jigsaw"],
            lambda_=1.0,
            evaluations=[probe],
        )
    )
    first, *_, last = [p.metrics for p in trainer.run() if "val_linear_probe_lbfgs" in p.metrics]
    assert last["val_linear_probe_lbfgs"].value > first["val_linear_probe_lbfgs"].value + 6
    assert last["similarity_positive"].value > last["similarity_nda"].value + 0.3
