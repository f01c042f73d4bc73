"""Every encoder of clips that a sweep file can name trains, and goes on from a checkpoint of itself."""

import io
from typing import Any

import pytest
import torch

from ndabench.tasks.trainer import Trainer
from tests.tasks.contrastive_toys import contrastive_task
from tests.tasks.gan_toys import differences
from tests.tasks.video_toys import DPC, SPLICE, toy_training

ENCODERS: dict[str, Any] = {
    "resnet2d3d": {"name": "resnet2d3d", "width": 2, "stem": "cifar"},
    "resnet2d3d34": {"name": "resnet2d3d", "depth": 34, "width": 2},
    "slow": {"name": "slow", "width": 2},
    "csn": {"name": "csn", "width": 2},
    "r2plus1d": {"name": "r2plus1d", "width": 2},
    "slowfast": {"name": "slowfast", "depth": 18, "width": 8},
    "x3d": {"name": "x3d", "width_factor": 0.5, "depth_factor": 0.5, "dimension": 16},
    "r3d_18": "r3d_18",
    "r2plus1d_18": "r2plus1d_18",
    "s3d": "s3d",
}


def _task(name: str) -> Trainer:
    config: dict[str, Any] = {
        "encoder": ENCODERS[name],
        "num_steps": 2,
        "batch_size": 4,
        "clip_frames": 16,
        "checkpoint_every": 1,
        "embedding_dim": 8,
        "method": {"name": "moco", "queue_size": 4, "batch_norm_splits": 2},
    }
    if name == "resnet2d3d34":
        config = {**config, "method": DPC, "embedding_dim": 128}
    return toy_training(config, size=32, negative=SPLICE, lambda_=1.0)


LARGE = ("r3d_18", "r2plus1d_18", "s3d")
"""torchvision has them in one size."""


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=(pytest.mark.slow, pytest.mark.release) if name in LARGE else ())
        for name in ENCODERS
    ],
)
def test_it_trains_and_resumes_from_a_checkpoint(name: str) -> None:
    whole = _task(name)
    start = {key: value.clone() for key, value in contrastive_task(whole).method.network.named_parameters()}
    for progress in whole.run():
        if progress.step == 1:
            buffer = io.BytesIO()
            torch.save(whole.state_dict(), buffer)
    moved = [
        key
        for key, value in contrastive_task(whole).method.network.named_parameters()
        if not torch.equal(value, start[key])
    ]
    assert len(moved) > 0.9 * len(start), "every layer has a gradient"
    again = _task(name)
    again.load_state_dict(torch.load(io.BytesIO(buffer.getvalue()), weights_only=True))
    list(again.run())
    assert differences(again.state_dict(), whole.state_dict()) == []
