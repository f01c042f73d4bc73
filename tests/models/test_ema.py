"""The moving average against its recursion written out."""

import torch
from torch import nn

from ndabench.models.ema import MovingAverage


def _moved(network: nn.Module, value: float) -> nn.Module:
    with torch.no_grad():
        for tensor in [*network.parameters(), *network.buffers()]:
            if tensor.is_floating_point():
                tensor.fill_(value)
    return network


def _network() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3, track_running_stats=False), nn.PReLU())


def test_copies_until_the_start_then_follows() -> None:
    network = _moved(_network(), 1.0)
    network.register_buffer("statistic", torch.ones(2))
    average = MovingAverage(network, decay=0.9, start=3)
    expected = 0.0
    for step, value in enumerate([5.0, -2.0, 4.0, 1.0], start=1):
        average.update(_moved(network, value), step)
        expected = value if step < 3 else 0.9 * expected + 0.1 * value
        for tensor in [*average.network.parameters(), average.network.get_buffer("statistic")]:
            torch.testing.assert_close(tensor, torch.full_like(tensor, expected))


def test_is_frozen_and_in_evaluation_mode() -> None:
    average = MovingAverage(_network(), decay=0.9, start=0)
    assert not average.network.training
    assert not any(parameter.requires_grad for parameter in average.parameters())
