"""Two workers at half the batch normalise as one at the whole."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from ndabench.distributed import Workers
from ndabench.models.split_batch_norm import SplitBatchNorm, SplitBatchNorm3d, average_running_moments
from tests.two_workers import on_two_workers

SPLITS = (1, 2, 4)


def train(splits: int, workers: Workers) -> dict[str, Tensor]:
    """Three steps down a loss that knows each image's place; outputs and input gradients of all workers."""
    network = nn.Sequential(
        SplitBatchNorm(4, splits=splits, workers=workers),
        nn.Tanh(),
        nn.Unflatten(2, (1, 3)),
        SplitBatchNorm3d(4, splits=splits, workers=workers),
        nn.Flatten(2, 3),
    ).double()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.5)
    generator = torch.Generator().manual_seed(0)
    seen = {}
    for step in range(3):
        images = (
            torch.randn(8, 4, 3, 3, generator=generator).double() * torch.arange(1, 9.0)[:, None, None, None]
        )
        targets = workers.shard(torch.randn(8, 4, 3, 3, generator=generator).double())
        own = workers.shard(images).clone().requires_grad_()
        outputs = network(own)
        optimizer.zero_grad()
        (outputs - targets).square().mean().backward()
        workers.average_gradients(network.parameters())
        optimizer.step()
        seen[f"outputs {step}"] = workers.all_gather(outputs.detach())
        assert own.grad is not None
        # a worker's loss is the mean over its own images only
        seen[f"gradients {step}"] = workers.all_gather(own.grad) / workers.world_size
        if step == 1:
            average_running_moments(network, workers)
    average_running_moments(network, workers)
    return seen | network.state_dict()


def train_each(workers: Workers) -> dict[int, dict[str, Tensor]]:
    return {splits: train(splits, workers) for splits in SPLITS}


@pytest.mark.slow
def test_two_workers_normalise_as_one(tmp_path: Path) -> None:
    first, second = on_two_workers(train_each, tmp_path)
    for splits in SPLITS:
        alone = train(splits, Workers())
        assert first[splits].keys() == alone.keys()
        for name, expected in alone.items():
            torch.testing.assert_close(first[splits][name], expected)
            assert torch.equal(first[splits][name], second[splits][name]), name
