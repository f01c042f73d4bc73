"""The encoders against torchvision's and timm's, whose names and shapes they share."""

import os
import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ndabench.errors import UserError
from ndabench.models.resnet import ARCHITECTURES, ResNet, Stem


def encoder(depth: int = 18, stem: Stem = "cifar", seed: int = 0, **options: Any) -> ResNet:
    return ResNet(depth=depth, stem=stem, generator=torch.Generator().manual_seed(seed), **options)


def images(size: int, count: int = 2, channels: int = 3) -> Tensor:
    return torch.rand(count, channels, size, size, generator=torch.Generator().manual_seed(1)) * 2 - 1


def with_lived_in_norms(network: ResNet) -> ResNet:
    """Gains, biases and running moments as after some training, so that a mix-up of them would show."""
    generator = torch.Generator().manual_seed(2)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            for tensor in (module.weight.data, module.running_var):
                tensor.uniform_(0.5, 1.5, generator=generator)
            for tensor in (module.bias.data, module.running_mean):
                tensor.normal_(0, 0.2, generator=generator)
    return network.eval()


def torchvision_resnet(depth: int, stem: Stem) -> nn.Module:
    import torchvision

    with torch.random.fork_rng():
        network = getattr(torchvision.models, f"resnet{depth}")(weights=None)
        network.fc = nn.Identity()
        if stem == "cifar":
            network.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
            network.maxpool = nn.Identity()
    return network


def timm_resnet(depth: int, stem: Stem) -> nn.Module:
    timm = pytest.importorskip("timm")
    with torch.random.fork_rng():
        network = timm.create_model(f"resnet{depth}", pretrained=False, num_classes=0)
        if stem == "cifar":
            network.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
            network.maxpool = nn.Identity()
    return network


@pytest.mark.parametrize("stem", ["cifar", "imagenet"])
@pytest.mark.parametrize(
    ("theirs", "depth"),
    [*[(torchvision_resnet, depth) for depth in ARCHITECTURES], (timm_resnet, 18), (timm_resnet, 50)],
)
def test_others_load_it_strictly_and_see_the_same(theirs: Any, depth: int, stem: Stem) -> None:
    ours, other = with_lived_in_norms(encoder(depth, stem)), theirs(depth, stem)
    other.load_state_dict(ours.state_dict())
    batch = images(16 if stem == "cifar" else 40)
    with torch.no_grad():
        torch.testing.assert_close(ours(batch), other.eval()(batch))


@pytest.mark.parametrize(
    ("depth", "stem", "expected"),
    [
        (18, "imagenet", 11_176_512),
        (18, "cifar", 11_168_832),
        (34, "imagenet", 21_284_672),
        (50, "imagenet", 23_508_032),
    ],
)
def test_the_published_number_of_parameters(depth: int, stem: Stem, expected: int) -> None:
    assert sum(parameter.numel() for parameter in encoder(depth, stem).parameters()) == expected


@pytest.mark.parametrize("stem", ["cifar", "imagenet"])
@pytest.mark.parametrize("depth", ARCHITECTURES)
def test_any_width_and_number_of_channels(depth: int, stem: Stem) -> None:
    network = encoder(depth, stem, width=4, image_channels=1)
    assert network.dimension == 4 * 8 * (4 if depth == 50 else 1)
    assert network(images(32, channels=1)).shape == (2, network.dimension)
    maps = network.stages(images(32, channels=1))
    sides = [-(-32 // stride) for stride in network.strides]
    assert [tuple(m.shape[1:]) for m in maps] == [
        (channels, side, side) for channels, side in zip(network.stage_channels, sides, strict=True)
    ]


def test_initialised_by_he_from_the_generator_alone() -> None:
    before = torch.get_rng_state()
    first, same, other = encoder(width=32), encoder(width=32), encoder(width=32, seed=1)
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), same.parameters(), strict=True))
    assert not torch.equal(first.conv1.weight, other.conv1.weight)
    for module in first.modules():
        if isinstance(module, nn.Conv2d):
            fan_out = module.out_channels * module.kernel_size[0] ** 2
            assert module.weight.std().item() == pytest.approx((2 / fan_out) ** 0.5, rel=0.1)
        elif isinstance(module, nn.BatchNorm2d):
            assert bool((module.weight == 1).all())
            assert not module.bias.any()


@pytest.mark.parametrize("splits", [1, 2])
@pytest.mark.parametrize("depth", [18, 50])
def test_memory_formats_agree_and_every_weight_has_a_gradient(depth: int, splits: int) -> None:
    gradients = []
    for memory_format in (torch.contiguous_format, torch.channels_last):
        network = encoder(depth, width=4, batch_norm_splits=splits, memory_format=memory_format).double()
        last = network.stages(images(16, count=8).double())[-1]
        assert last.is_contiguous(memory_format=memory_format)
        last.mean((2, 3)).square().sum().backward()
        gradients.append([parameter.grad for parameter in network.parameters()])
    for one, other in zip(*gradients, strict=True):
        assert one is not None
        assert bool(one.any())
        torch.testing.assert_close(one, other)


def test_bfloat16_convolutions_give_float32_features() -> None:
    network = encoder(width=8, batch_norm_splits=2)
    exact = network(images(16, count=4))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = network(images(16, count=4))
    assert rounded.dtype == torch.float32
    torch.testing.assert_close(rounded, exact, atol=0.2, rtol=0.1)
    rounded.sum().backward()
    for parameter in network.parameters():
        assert parameter.grad is not None
        assert parameter.grad.isfinite().all()


def test_an_unknown_depth_is_refused() -> None:
    with pytest.raises(UserError, match="no ResNet-20 here; the depths are 18, 34, 50"):
        encoder(20)


def test_narrow_networks_keep_to_their_memory() -> None:
    """On some CPUs, torch's strided 1×1 convolutions do not; glibc then ends the process."""
    program = """
import torch
from ndabench.models.resnet import ResNet
generator = torch.Generator().manual_seed(0)
for width in (1, 3, 4, 8):
    network = ResNet(depth=18, width=width, stem="cifar", generator=generator)
    network = network.to(memory_format=torch.channels_last)
    network.memory_format = torch.channels_last
    for _ in range(20):
        network(torch.randn(16, 3, 16, 16, generator=generator)).sum().backward()
        freed = [torch.empty(37 * size) for size in range(20)]
    print(width, "is whole", flush=True)
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "MALLOC_CHECK_": "3", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    whole = "".join(f"{width} is whole\n" for width in (1, 3, 4, 8))
    assert (done.returncode, done.stdout) == (0, whole), done.stderr[-500:]
