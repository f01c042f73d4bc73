"""The 2D3D ResNets against torchvision's ResNets where time plays no part, and what they do with time."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ndabench.errors import UserError
from ndabench.models.resnet import Stem
from ndabench.models.resnet2d3d import NUMS_BLOCKS, ResNet2d3d


def encoder(depth: int = 18, width: int = 4, seed: int = 0, **options: Any) -> ResNet2d3d:
    return ResNet2d3d(depth=depth, width=width, generator=torch.Generator().manual_seed(seed), **options)


def clips(frames: int = 5, size: int = 32, count: int = 2, channels: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.rand(count, channels, frames, size, size, generator=generator) * 2 - 1


def with_lived_in_norms(network: nn.Module) -> nn.Module:
    """Gains, biases and running moments as after some training, so that a mix-up of them would show."""
    generator = torch.Generator().manual_seed(2)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm3d):
            assert module.running_mean is not None
            assert module.running_var is not None
            for tensor in (module.weight.data, module.running_var):
                tensor.uniform_(0.5, 1.5, generator=generator)
            for tensor in (module.bias.data, module.running_mean):
                tensor.normal_(0, 0.2, generator=generator)
    return network.eval()


def torchvision_maps(depth: int, stem: Stem, state: dict[str, Tensor], images: Tensor) -> Tensor:
    """The last stage's maps of torchvision's ResNet with the middle slices of the kernels in `state`."""
    from torchvision.models import resnet

    with torch.random.fork_rng():
        network = resnet.ResNet(resnet.BasicBlock, list(NUMS_BLOCKS[depth]))
        network.inplanes = 256
        network.layer4 = network._make_layer(resnet.BasicBlock, 256, NUMS_BLOCKS[depth][3], stride=2)
    if stem == "cifar":
        network.conv1, network.maxpool = nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.Identity()
    network.fc = nn.Identity()
    flat = {
        name: value[:, :, value.shape[2] // 2] if value.dim() == 5 else value for name, value in state.items()
    }
    network.load_state_dict(flat, strict=True)
    network.eval()
    network.avgpool = nn.Identity()
    return network(images)


@pytest.mark.parametrize("depth", NUMS_BLOCKS)
@pytest.mark.parametrize("stem", ["imagenet", "cifar"])
def test_a_single_frame_sees_a_resnet_of_the_kernels_middle_slices(depth: int, stem: Stem) -> None:
    network = with_lived_in_norms(encoder(depth, 64, stem=stem))
    size = 64 if stem == "imagenet" else 16
    images = clips(frames=1, size=size)
    with torch.no_grad():
        maps = network(images)
        expected = torchvision_maps(depth, stem, network.state_dict(), images[:, :, 0])
    assert maps.shape == (2, 256, 1, 2, 2)
    assert (maps < 0).any()  # no ReLU at the end
    torch.testing.assert_close(maps.relu().flatten(1), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("depth", "expected"), [(18, 14_057_536), (34, 32_422_208)])
def test_the_published_number_of_parameters(depth: int, expected: int) -> None:
    """DPC's 14.06 M and 32.42 M are those of the encoder alone, without ConvGRU and predictor."""
    with torch.device("meta"):
        network = ResNet2d3d(depth=depth, generator=torch.Generator("cpu"))
    assert sum(parameter.numel() for parameter in network.parameters()) == expected


@pytest.mark.parametrize("stem", ["imagenet", "cifar"])
@pytest.mark.parametrize(("frames", "after"), [(1, 1), (4, 1), (5, 2), (8, 2), (9, 3)])
def test_shapes(stem: Stem, frames: int, after: int) -> None:
    network = encoder(stem=stem, image_channels=1)
    side = -(-40 // network.stride)
    output = network(clips(frames=frames, size=40, channels=1))
    assert output.shape == (2, network.dimension, after, side, side)
    assert network.dimension == 16


def test_frames_meet_in_the_third_stage_only() -> None:
    network = with_lived_in_norms(encoder())
    whole = clips(frames=8)
    changed = whole.clone()
    changed[:, :, 7] = 0
    conv1, bn1, maxpool, *stages = (
        network.get_submodule(name) for name in ("conv1", "bn1", "maxpool", "layer1", "layer2")
    )
    early = nn.Sequential(conv1, bn1, nn.ReLU(), maxpool, *stages)
    before, after = early(whole), early(changed)
    assert torch.equal(before[:, :, :7], after[:, :, :7])
    late = nn.Sequential(network.get_submodule("layer3"), network.get_submodule("layer4"))
    assert not torch.allclose(late(before)[:, :, 0], late(after)[:, :, 0], atol=1e-4)


def test_seeds_fix_the_weights_and_leave_global_randomness_alone() -> None:
    state = torch.get_rng_state()
    first, same, other = encoder(seed=1), encoder(seed=1), encoder(seed=2)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), same.parameters(), strict=True))
    assert not torch.equal(first.conv1.weight, other.conv1.weight)
    weight = encoder(width=32).get_parameter("layer3.0.conv2.weight")
    assert weight.std().item() == pytest.approx((2 / (128 * 27)) ** 0.5, rel=0.05)


@pytest.mark.parametrize("splits", [1, 2])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last_3d], ids=str)
def test_recomputing_changes_nothing_but_memory(splits: int, memory_format: torch.memory_format) -> None:
    networks = [
        encoder(stem="cifar", batch_norm_splits=splits, memory_format=memory_format, recompute=recompute)
        for recompute in (False, True)
    ]
    for network in networks:
        network(clips(size=16, count=4)).square().mean().backward()
    plain, recomputed = networks
    for one, other in zip(plain.parameters(), recomputed.parameters(), strict=True):
        assert one.grad is not None
        assert other.grad is not None
        assert one.grad.any()
        assert torch.equal(one.grad, other.grad)
    for kept, same in zip(plain.buffers(), recomputed.buffers(), strict=True):
        assert torch.equal(kept, same)


def test_splits_are_separate_networks() -> None:
    batch = clips(size=32, count=4)
    split = encoder(batch_norm_splits=2, stem="cifar")(batch)
    apart = torch.cat([encoder(stem="cifar")(part) for part in batch.chunk(2)])
    torch.testing.assert_close(split, apart)


def test_bfloat16_trains() -> None:
    network = encoder(width=8, stem="cifar")
    exact = network(clips(size=16))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = network(clips(size=16))
    torch.testing.assert_close(rounded.float(), exact, atol=0.3, rtol=0.1)
    rounded.float().square().mean().backward()
    for parameter in network.parameters():
        assert parameter.grad is not None
        assert parameter.grad.isfinite().all()


def test_on_cpus_no_gradient_is_left_to_what_memory_holds() -> None:
    gradients = []
    for enabled in (False, True):
        network = encoder(width=8, stem="cifar")
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            maps = network(clips(size=16))
        freed = [
            torch.full((count,), torch.nan) for count in (10, 100, 1000, 27_648, 100_000) for _ in range(20)
        ]
        del freed
        maps.float().square().mean().backward()
        gradients.append(network.get_parameter("layer4.1.conv2.weight").grad)
    exact, rounded = gradients
    assert exact is not None
    torch.testing.assert_close(rounded, exact, rtol=0.1, atol=0.1 * exact.abs().max().item())


def test_an_unknown_depth_is_refused() -> None:
    with pytest.raises(UserError, match="no 2D3D ResNet-50 here; the depths are 18, 34"):
        encoder(50)
