"""BigGAN: the blocks against their plain form, and what the networks promise."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ndabench.distributed import Workers
from ndabench.errors import UserError
from ndabench.models import spectral_norm
from ndabench.models.biggan import ARCHITECTURES, Discriminator, DownBlock, Generator, UpBlock
from ndabench.models.spectral_norm import SpectralConv2d, SpectralWeight


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("resolution", ARCHITECTURES)
def test_every_resolution_from_noise_to_logit(resolution: int) -> None:
    sizes: dict[str, Any] = {"resolution": resolution, "width": 1, "image_channels": 1, "num_classes": 3}
    labels = torch.tensor([0, 2])
    images = Generator(**sizes, latent_dim=5, generator=_generator())(torch.randn(2, 5), labels)
    assert images.shape == (2, 1, resolution, resolution)
    assert images.abs().max() <= 1
    logits = Discriminator(**sizes, generator=_generator())(images, labels)
    assert logits.shape == (2,)


def test_a_resolution_without_architecture_is_refused() -> None:
    with pytest.raises(UserError, match="not of 24×24; set the data's image_size"):
        Generator(resolution=24, generator=_generator())


def _conv(layer: SpectralConv2d, images: Tensor) -> Tensor:
    return F.conv2d(images, layer.weight(), layer.bias, padding=layer.weight.value.shape[-1] // 2)


def _plain_up(block: UpBlock, features: Tensor, labels: Tensor) -> Tensor:
    hidden = F.interpolate(F.relu(block.norm1(features, labels, True)), scale_factor=2)
    hidden = _conv(block.conv2, F.relu(block.norm2(_conv(block.conv1, hidden), labels, True)))
    return hidden + _conv(block.shortcut, F.interpolate(features, scale_factor=2))


def _plain_down(block: DownBlock, features: Tensor) -> Tensor:
    hidden = _conv(block.conv2, F.relu(_conv(block.conv1, features if block.first else F.relu(features))))
    shortcut = _conv(block.shortcut, features) if isinstance(block.shortcut, SpectralConv2d) else features
    return F.avg_pool2d(hidden + shortcut, 2) if block.downsample else hidden + shortcut


def _gradients(output: Tensor, features: Tensor, block: nn.Module) -> list[Tensor]:
    probe = torch.randn(output.shape, generator=_generator(9))
    return list(torch.autograd.grad((output * probe).sum(), [features, *block.parameters()]))


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_up_block_equals_its_plain_form(memory_format: torch.memory_format) -> None:
    block = UpBlock(6, 4, 3, generator=_generator(), workers=Workers()).eval()
    features = torch.randn(3, 6, 4, 4, generator=_generator(1)).contiguous(memory_format=memory_format)
    features.requires_grad_()
    labels = torch.tensor([0, 2, 1])
    ours, plain = block(features, labels, True), _plain_up(block, features, labels)
    torch.testing.assert_close(ours, plain, atol=1e-5, rtol=1e-5)
    pairs = zip(_gradients(ours, features, block), _gradients(plain, features, block), strict=True)
    for folded, expected in pairs:
        torch.testing.assert_close(folded, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("first", "down", "inner"), [(True, True, 3), (False, True, 5), (False, False, 5)])
def test_down_block_equals_its_plain_form(first: bool, down: bool, inner: int) -> None:
    block = DownBlock(inner, 5, first=first, downsample=down, generator=_generator()).eval()
    features = torch.randn(3, inner, 8, 8, generator=_generator(1), requires_grad=True)
    ours, plain = block(features), _plain_down(block, features)
    torch.testing.assert_close(ours, plain, atol=1e-5, rtol=1e-5)
    pairs = zip(_gradients(ours, features, block), _gradients(plain, features, block), strict=True)
    for folded, expected in pairs:
        torch.testing.assert_close(folded, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("kind", ["generator", "discriminator"])
@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
def test_weights_normalised_together_are_those_normalised_one_by_one(
    kind: str, training: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Outputs, gradients and vectors of the power iterations, up to rounding; only GPUs do it together."""
    found = []
    for devices in (frozenset[str](), frozenset({"cpu"})):
        monkeypatch.setattr(spectral_norm, "TOGETHER_ON", devices)
        random = torch.Generator().manual_seed(0)
        keys: dict[str, Any] = {"width": 2, "resolution": 32, "generator": random}
        network: nn.Module = Generator(latent_dim=4, **keys) if kind == "generator" else Discriminator(**keys)
        network.train(training)
        shape = (3, 4) if kind == "generator" else (3, 3, 32, 32)
        inputs = torch.randn(shape, generator=random)
        for _ in range(2):
            output = network(inputs, torch.zeros(3, dtype=torch.long))
            output.square().sum().backward()
        gradients = [parameter.grad for parameter in network.parameters()]
        found.append([output.detach(), *gradients, *network.buffers()])
        weights = [module for module in network.modules() if isinstance(module, SpectralWeight)]
        assert all(weight.ready is None for weight in weights), "each is used once"
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)
    assert not all(torch.equal(one, other) for one, other in zip(*found, strict=True)), "two ways of summing"
