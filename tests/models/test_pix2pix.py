"""pix2pix's networks against the published sizes and an independent forward pass."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ndabench.errors import UserError
from ndabench.models.pix2pix import DROPOUT, PatchDiscriminator, UNet


def unet(size: int = 64, width: int = 2) -> UNet:
    generator = torch.Generator().manual_seed(0)
    return UNet(size=size, in_channels=3, out_channels=5, width=width, generator=generator)


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(("size", "millions"), [(256, 54.414), (128, 41.829)])
def test_the_u_net_has_the_published_size(size: int, millions: float) -> None:
    with torch.device("meta"):
        network = UNet(
            size=size,
            in_channels=3,
            out_channels=3,
            width=64,
            generator=torch.Generator("cpu").manual_seed(0),
        )
    assert round(count(network) / 1e6, 3) == millions


def test_the_discriminator_has_the_published_size_and_patches_of_70_pixels() -> None:
    generator = torch.Generator().manual_seed(0)
    network = PatchDiscriminator(size=256, in_channels=6, width=64, num_layers=3, generator=generator)
    assert round(count(network) / 1e6, 3) == 2.769
    sight = 1
    for layer in reversed(network.layers):
        if isinstance(layer, nn.Conv2d):
            sight = (sight - 1) * layer.stride[0] + layer.kernel_size[0]
    assert sight == 70
    assert network(torch.zeros(2, 6, 256, 256)).shape == (2, 1, 30, 30)


def _normalised(features: Tensor, norm: nn.InstanceNorm2d) -> Tensor:
    mean = features.mean((2, 3), keepdim=True)
    variance = features.var((2, 3), unbiased=False, keepdim=True)
    scaled = (features - mean) / (variance + norm.eps).sqrt()
    return scaled * norm.weight.view(1, -1, 1, 1) + norm.bias.view(1, -1, 1, 1)


def _published(network: UNet, features: Tensor, level: int, masks: dict[int, Tensor]) -> Tensor:
    """Level `level` and all below it, as the published blocks are nested."""
    lowest = len(network.down) - 1
    down = network.down[level](F.leaky_relu(features, 0.2) if level else features)
    if 0 < level < lowest:
        down = _normalised(down, network.down_norms[level - 1])  # type: ignore[arg-type]  # a ModuleList of them
    inner = down if level == lowest else torch.cat([down, _published(network, down, level + 1, masks)], 1)
    up: Tensor = network.up[level](F.relu(inner))
    if level:
        up = _normalised(up, network.up_norms[level - 1])  # type: ignore[arg-type]  # as above
    return up * masks[level] / (1 - DROPOUT) if level in masks else up


def test_the_u_net_computes_what_the_published_one_does() -> None:
    network = unet().double()
    pictures = torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(1)).double()
    stream = torch.Generator().manual_seed(2)
    drawn: list[Tensor] = []

    def keep(shape: torch.Size) -> Tensor:
        drawn.append(torch.rand(shape, generator=stream) >= DROPOUT)
        return drawn[-1]

    found = network(pictures, keep)
    assert len(drawn) == 1, "at 64 pixels one level drops features"
    torch.testing.assert_close(found, _published(network, pictures, 0, {4: drawn[0]}))
    without = network(pictures)
    torch.testing.assert_close(without, _published(network, pictures, 0, {}))
    assert not torch.equal(found, without)


def test_each_picture_is_normalised_by_itself() -> None:
    """The published batch norm sees one picture at a time."""
    network = unet(size=16)
    pictures = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    together, alone = network(pictures), torch.cat([network(one[None]) for one in pictures])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("size", [2, 48, 100])
def test_other_sides_are_one_line(size: int) -> None:
    with pytest.raises(UserError, match=f"a U-Net needs a side of 4, 8, 16 … pixels, not {size}"):
        unet(size=size)


def test_a_discriminator_that_sees_too_little_is_one_line() -> None:
    generator = torch.Generator().manual_seed(0)
    with pytest.raises(UserError, match="3 halving layers needs pictures of 24 pixels, not 16"):
        PatchDiscriminator(size=16, in_channels=6, width=2, num_layers=3, generator=generator)
