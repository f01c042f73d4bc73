"""Spectral normalisation against the singular value decomposition and PyTorch's own parametrisation."""

import pytest
import torch
from torch import nn

from ndabench.models.spectral_norm import SpectralConv2d, SpectralEmbedding, SpectralLinear, SpectralWeight


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _settled(weight: SpectralWeight, steps: int = 300) -> SpectralWeight:
    for _ in range(steps):
        weight()
    return weight


def test_largest_singular_value_becomes_one() -> None:
    weight = _settled(SpectralWeight(6, 4, 3, 3, generator=_generator()))
    assert torch.linalg.svdvals(weight().flatten(1))[0].item() == pytest.approx(1.0, abs=1e-5)


def test_agrees_with_the_torch_parametrisation_once_settled() -> None:
    ours = _settled(SpectralWeight(5, 7, generator=_generator()))
    layer = nn.Linear(7, 5, bias=False)
    with torch.no_grad():
        layer.weight.copy_(ours.value)
    theirs = nn.utils.parametrizations.spectral_norm(layer, n_power_iterations=300, eps=1e-8)
    assert isinstance(theirs, nn.Linear)
    probe = torch.randn(5, 7, generator=_generator(1))
    (ours() * probe).sum().backward()
    (theirs.weight * probe).sum().backward()
    torch.testing.assert_close(ours(), theirs.weight, atol=1e-5, rtol=1e-5)
    expected = theirs.get_parameter("parametrizations.weight.original").grad
    torch.testing.assert_close(ours.value.grad, expected, atol=1e-3, rtol=1e-4)


def test_scaling_the_weight_changes_nothing() -> None:
    weight = SpectralWeight(6, 5, generator=_generator()).eval()
    before = weight()
    with torch.no_grad():
        weight.value.mul_(7)
    torch.testing.assert_close(weight(), before)


def test_one_power_iteration_a_training_forward_and_none_kept_in_evaluation() -> None:
    weight = SpectralWeight(6, 5, generator=_generator())
    matrix, start = weight.value.detach(), weight.u.clone()
    v = torch.nn.functional.normalize(matrix.T @ start, dim=0)
    u = torch.nn.functional.normalize(matrix @ v, dim=0)

    weight.eval()
    in_evaluation = weight()
    assert torch.equal(weight.u, start)
    weight.train()
    torch.testing.assert_close(weight(), in_evaluation)
    torch.testing.assert_close(weight.u, u)


def test_stays_float32_under_autocast() -> None:
    weight = SpectralWeight(6, 5, generator=_generator())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert weight().dtype == torch.float32


def test_layers_apply_the_normalised_weight() -> None:
    generator = _generator()
    convolution = SpectralConv2d(3, 4, 3, generator=generator).eval()
    linear = SpectralLinear(3, 4, generator=generator).eval()
    embedding = SpectralEmbedding(3, 4, generator=generator).eval()
    images, features, labels = torch.randn(2, 3, 5, 5), torch.randn(2, 3), torch.tensor([2, 0])
    expected = nn.functional.conv2d(images, convolution.weight(), convolution.bias, padding=1)
    torch.testing.assert_close(convolution(images), expected)
    torch.testing.assert_close(linear(features), features @ linear.weight().T + linear.bias)
    torch.testing.assert_close(embedding(labels), embedding.weight()[labels])


def test_initialisation_follows_the_generator_and_nothing_else() -> None:
    state = torch.get_rng_state()
    first = SpectralConv2d(8, 32, 3, generator=_generator(3))
    second = SpectralConv2d(8, 32, 3, generator=_generator(3))
    assert torch.equal(torch.get_rng_state(), state)
    for name, tensor in first.state_dict().items():
        assert torch.equal(tensor, second.state_dict()[name])
    assert first.weight.value.std().item() == pytest.approx(0.02, rel=0.1)
