"""What workers do together, on two processes against one."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from ndabench.distributed import Workers
from tests.two_workers import on_two_workers


def gathered_and_gradient(workers: Workers) -> tuple[Tensor, Tensor]:
    """All rows, and this worker's rows' gradient of a loss in which every row meets every worker's own."""
    generator = torch.Generator().manual_seed(0)
    rows, weights = (torch.randn(6, 3, generator=generator) for _ in range(2))
    own = workers.shard(rows).clone().requires_grad_()
    everywhere = workers.all_gather_with_gradient(own)
    logits = workers.shard(weights) @ everywhere.T
    logits.logsumexp(1).sum().backward()
    assert own.grad is not None
    return everywhere.detach(), own.grad


def gathered(workers: Workers) -> tuple[Tensor, Tensor, Tensor]:
    pictures = torch.arange(24.0).view(1, 2, 3, 4).contiguous(memory_format=torch.channels_last)
    return *gathered_and_gradient(workers), workers.all_gather(pictures + 100 * workers.rank)


@pytest.mark.slow
def test_gradients_flow_back_through_what_was_gathered(tmp_path: Path) -> None:
    parts = on_two_workers(gathered, tmp_path)
    rows, gradient = gathered_and_gradient(Workers())
    for everywhere, _, pictures in parts:
        assert torch.equal(everywhere, rows)
        expected = torch.arange(24.0).view(1, 2, 3, 4)
        assert torch.equal(pictures, torch.cat([expected, expected + 100])), "whatever the memory format"
    torch.testing.assert_close(torch.cat([own for _, own, _ in parts]), gradient)


def test_alone_there_is_nothing_to_gather() -> None:
    rows = torch.ones(2, 3, requires_grad=True)
    assert Workers().all_gather_with_gradient(rows) is rows
