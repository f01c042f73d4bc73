"""The ConvGRU against its equations, location by location."""

import pytest
import torch
from torch import Tensor, nn

from ndabench.distributed import Workers
from ndabench.models.conv_gru import ConvGru


def gru(dropout: float = 0.0, kernel_size: int = 1, workers: Workers | None = None, seed: int = 0) -> ConvGru:
    generator = torch.Generator().manual_seed(seed)
    return ConvGru(
        5, 4, kernel_size=kernel_size, dropout=dropout, workers=workers, generator=generator
    ).double()


def sequence(n: int = 3, steps: int = 4) -> Tensor:
    return torch.randn(n, steps, 5, 2, 3, generator=torch.Generator().manual_seed(1)).double()


def test_is_its_equations_at_every_location() -> None:
    network, maps = gru(), sequence()
    for gate in (network.update_gate, network.reset_gate, network.out_gate):
        assert gate.bias is not None
        nn.init.normal_(gate.bias, generator=torch.Generator().manual_seed(2))
    states = network(maps)
    assert states.shape == (3, 4, 4, 2, 3)

    def gated(gate: nn.Conv2d, *inputs: Tensor) -> Tensor:
        assert gate.bias is not None
        return gate.weight[:, :, 0, 0] @ torch.cat(inputs) + gate.bias

    for n in range(3):
        for y in range(2):
            for x in range(3):
                h = torch.zeros(4).double()
                for step in range(4):
                    value = maps[n, step, :, y, x]
                    z = gated(network.update_gate, value, h).sigmoid()
                    r = gated(network.reset_gate, value, h).sigmoid()
                    h = (1 - z) * h + z * gated(network.out_gate, value, r * h).tanh()
                    torch.testing.assert_close(states[n, step, :, y, x], h)


def test_continues_from_a_state() -> None:
    network, maps = gru(kernel_size=3), sequence()
    whole = network(maps)
    first = network(maps[:, :2])
    torch.testing.assert_close(network(maps[:, 2:], first[:, -1]), whole[:, 2:])


def test_starts_orthogonal_from_a_seed() -> None:
    state = torch.get_rng_state()
    network, same, other = gru(), gru(), gru(seed=1)
    assert torch.equal(torch.get_rng_state(), state)
    weight = network.out_gate.weight.flatten(1)
    torch.testing.assert_close(weight @ weight.T, torch.eye(4).double(), atol=1e-6, rtol=0)
    assert network.out_gate.bias is not None
    assert not network.out_gate.bias.any()
    assert torch.equal(weight, same.out_gate.weight.flatten(1))
    assert not torch.equal(weight, other.out_gate.weight.flatten(1))


def test_dropout_drops_its_share_scales_the_rest_and_continues_from_it() -> None:
    network, maps = gru(dropout=0.25), sequence(n=500, steps=2)
    states = network(maps, generator=torch.Generator().manual_seed(3))
    dropped = states == 0
    assert dropped.double().mean().item() == pytest.approx(0.25, abs=0.01)
    whole = gru()(maps)
    torch.testing.assert_close(states[:, 0], (whole[:, 0] / 0.75).masked_fill(dropped[:, 0], 0))
    second = gru().step(maps[:, 1], states[:, 0])
    torch.testing.assert_close(states[:, 1], (second / 0.75).masked_fill(dropped[:, 1], 0))
    assert torch.equal(network.eval()(maps), whole)


def test_dropout_is_seeded_and_drawn_for_all_workers() -> None:
    maps = sequence(n=6)
    state = torch.get_rng_state()
    alone = gru(dropout=0.5)(maps, generator=torch.Generator().manual_seed(3))
    parts = []
    for rank in range(2):
        workers = Workers(rank, 2)
        network = gru(dropout=0.5, workers=workers)
        parts.append(network(workers.shard(maps), generator=torch.Generator().manual_seed(3)))
    torch.testing.assert_close(torch.cat(parts), alone)
    assert torch.equal(torch.get_rng_state(), state)
