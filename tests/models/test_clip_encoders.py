"""Encoders of clips: each body against the network it is taken from, and what all of them promise."""

import copy
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ndabench.errors import UserError
from ndabench.models.clip_bodies import BODIES
from ndabench.models.clip_encoders import ClipEncoder, clip_encoder, tried
from ndabench.models.resnet2d3d import DeepConv3d, ResNet2d3d
from ndabench.models.split_batch_norm import SplitBatchNorm3d

SMALL_X3D = {"width_factor": 0.5, "depth_factor": 1.0}
SMALL: Mapping[str, Callable[[], nn.Module]] = {
    **{name: BODIES[name] for name in ("r3d_18", "r2plus1d_18", "s3d")},
    **{name: partial(BODIES[name], width=4) for name in ("slow", "csn", "r2plus1d")},
    "slowfast": partial(BODIES["slowfast"], depth=18, width=8),
    "x3d": partial(BODIES["x3d"], **SMALL_X3D, dimension=32),
    "resnet2d3d": lambda: ResNet2d3d(depth=18, width=4, generator=torch.Generator().manual_seed(3)),
}
LARGE = ("r3d_18", "r2plus1d_18", "s3d")
"""They come in one size only, of 8 to 33 million parameters."""
ALL = [pytest.param(name, marks=pytest.mark.slow) if name in LARGE else name for name in SMALL]
FOREIGN = [pytest.param(name, marks=pytest.mark.slow) if name in LARGE else name for name in BODIES]
SHAPE = (3, 6, 18, 20)


def encoder(name: str, seed: int = 0, **options: Any) -> ClipEncoder:
    generator = torch.Generator().manual_seed(seed)
    return clip_encoder(SMALL[name], SHAPE, title=name, generator=generator, **options)


def clips(count: int = 2, seed: int = 1) -> Tensor:
    return torch.rand(count, *SHAPE, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def lived_in(network: nn.Module) -> nn.Module:
    """With gains, biases and running moments as after some training, so that a mix-up of them would show."""
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


@pytest.mark.parametrize("name", ALL)
def test_each_trains_and_resumes_from_its_state(name: str) -> None:
    """Two steps, the second once more from what was saved before it; nothing of it touches global state."""
    before = torch.get_rng_state()
    network = encoder(name)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)
    other = encoder(name, seed=1)
    resumed = torch.optim.SGD(other.parameters(), lr=0.01, momentum=0.9)
    step(network, optimizer, seed=1)
    other.load_state_dict(copy.deepcopy(network.state_dict()), strict=True)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    losses = [step(network, optimizer, seed=2), step(other, resumed, seed=2)]
    assert losses[0] == losses[1]
    for one, same in zip(network.state_dict().values(), other.state_dict().values(), strict=True):
        assert torch.equal(one, same)
    for parameter in network.parameters():
        assert parameter.grad is not None
        assert parameter.grad.isfinite().all()
    assert torch.equal(torch.get_rng_state(), before)


def step(network: ClipEncoder, optimizer: torch.optim.Optimizer, seed: int) -> float:
    features = network(clips(seed=seed), generator=None)
    assert features.shape == (2, network.dimension)
    assert features.dtype == torch.float32
    loss = features.square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return float(loss.detach())


@pytest.mark.parametrize("frames", [5, 6, 7])
def test_kernels_longer_than_clips_have_their_gradient(frames: int) -> None:
    """Of S3D's first convolution over time, against the same in float64."""
    layer = encoder("s3d").get_submodule("body.features.0.1.0")
    assert isinstance(layer, DeepConv3d)
    maps = torch.rand(1, 64, frames, 3, 3, generator=torch.Generator().manual_seed(0))
    layer(maps).square().sum().backward()
    weight = layer.weight.detach().double().requires_grad_()
    F.conv3d(maps.double(), weight, None, layer.stride, layer.padding).square().sum().backward()
    assert layer.weight.grad is not None
    torch.testing.assert_close(layer.weight.grad.double(), weight.grad, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", FOREIGN)
def test_norms_are_split_and_else_as_they_were(name: str) -> None:
    with torch.random.fork_rng(devices=[]):
        norms = [each for each in SMALL[name]().modules() if isinstance(each, nn.BatchNorm3d)]
    ours = [each for each in encoder(name, batch_norm_splits=2).modules() if isinstance(each, nn.BatchNorm3d)]
    assert len(ours) == len(norms) > 0
    for norm, split in zip(norms, ours, strict=True):
        assert isinstance(split, SplitBatchNorm3d)
        assert (split.splits, split.eps, split.momentum) == (2, norm.eps, norm.momentum)
        assert torch.equal(split.weight, norm.weight)


@pytest.mark.parametrize("name", ["slowfast", "x3d"])
def test_splits_are_separate_networks(name: str) -> None:
    split = encoder(name, batch_norm_splits=2)(clips(4))
    apart = torch.cat([encoder(name)(part) for part in clips(4).chunk(2)])
    torch.testing.assert_close(split, apart)


@pytest.mark.parametrize("name", ALL)
def test_bfloat16_on_cpus_leaves_convolutions_over_time_alone(name: str) -> None:
    network = encoder(name)
    convolutions = [each for each in network.modules() if isinstance(each, nn.Conv3d)]
    assert all(isinstance(each, DeepConv3d) for each in convolutions if each.kernel_size[0] > 1)
    exact = lived_in(network)(clips())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = network(clips())
    assert rounded.dtype == torch.float32
    torch.testing.assert_close(rounded, exact, atol=0.05 * exact.std().item() + 0.05, rtol=0.1)


def theirs(name: str) -> nn.Module:
    """The whole network with its classifier, of the sizes in `SMALL`, for clips of `SHAPE`."""
    if name in ("r3d_18", "r2plus1d_18", "s3d"):
        from torchvision.models import video

        network = getattr(video, name)()
        network.avgpool = nn.AdaptiveAvgPool3d(1)  # s3d's own wants larger clips
        return network
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        from pytorchvideo.models import csn, r2plus1d, resnet, slowfast, x3d
    options: dict[str, Any] = {"head_pool": nn.AdaptiveAvgPool3d, "model_num_class": 7}
    if name == "slow":
        return resnet.create_resnet(stem_dim_out=4, stem_conv_kernel_size=(1, 7, 7), **options)
    if name == "csn":
        return csn.create_csn(stem_dim_out=4, stem_pool=nn.MaxPool3d, **options)
    if name == "r2plus1d":
        return r2plus1d.create_r2plus1d(stem_dim_out=4, head_activation=None, **options)
    if name == "slowfast":
        return slowfast.create_slowfast(model_depth=18, stem_dim_outs=(8, 1), **options)
    network = x3d.create_x3d(
        **SMALL_X3D, head_dim_out=32, model_num_class=7, head_activation=None, input_clip_length=6
    )
    network.blocks[-1].pool.pool = nn.AvgPool3d((6, 1, 1))
    return network


@pytest.mark.parametrize("name", FOREIGN)
def test_the_published_classifier_reads_the_features(name: str) -> None:
    """Their scores are a linear layer's of our features, with their weights under their names."""
    with torch.random.fork_rng(devices=[]):
        network = lived_in(theirs(name))
    ours = encoder(name).eval()
    state = network.state_dict()
    weight, bias = (state.pop(name) for name in list(state) if name not in ours.body.state_dict())
    ours.body.load_state_dict(state, strict=True)
    seen: Any = clips()
    with torch.no_grad():
        scores = ours(seen) @ weight.flatten(1).T + bias
        if name == "slowfast":
            seen = [seen[:, :, ::4], seen]
        torch.testing.assert_close(scores, network(seen), atol=1e-4, rtol=1e-4)


PUBLISHED = [
    ("r3d_18", {}, 512, 33_371_472),
    ("r2plus1d_18", {}, 512, 31_505_325),
    ("s3d", {}, 1024, 8_320_048),
    ("slow", {}, 2048, 32.45e6),
    pytest.param("csn", {"depth": 101}, 2048, 22.21e6, marks=pytest.mark.slow),
    ("r2plus1d", {}, 2048, 28.11e6),
    ("slowfast", {}, 2304, 34.57e6),
    pytest.param("slowfast", {"depth": 101}, 2304, 62.83e6, marks=pytest.mark.slow),
    ("x3d", {}, 2048, 3.79e6),
    pytest.param("x3d", {"depth_factor": 5.0}, 2048, 6.15e6, marks=pytest.mark.slow),
]
"""Parameters with a classifier of Kinetics' 400 classes, by torchvision's and pytorchvideo's tables."""


@pytest.mark.parametrize(("name", "sizes", "dimension", "expected"), PUBLISHED)
def test_the_published_numbers_of_parameters(
    name: str, sizes: dict[str, Any], dimension: int, expected: float
) -> None:
    with torch.device("meta"):
        body = BODIES[name](**sizes)
    assert tried(body, (3, 16, 64, 64), title=name)[0] == dimension
    number = sum(parameter.numel() for parameter in body.parameters()) + 400 * (dimension + 1)
    assert number == expected if isinstance(expected, int) else round(number / 1e4) == round(expected / 1e4)


@pytest.mark.slow
def test_a_clip_too_small_is_refused_with_what_would_do() -> None:
    with pytest.raises(UserError) as error:
        tried(SMALL["s3d"](), (3, 4, 64, 64), title="s3d")
    assert str(error.value) == (
        "the encoder s3d cannot take clips of [3, 4, 64, 64] (channels, frames, height, width): "
        "it takes 5 frames of 17×17 pixels or more"
    )
    assert tried(SMALL["s3d"](), (3, 5, 17, 17), title="s3d") == (1024, 1, 1, 1)
    with pytest.raises(UserError, match=r"slow cannot take clips of \[1, .*: Invalid channel"):
        tried(SMALL["slow"](), (1, 8, 32, 32), title="slow")


@pytest.mark.parametrize("name", [name for name in SMALL if name not in LARGE])
def test_most_take_any_clip(name: str) -> None:
    network = encoder(name)
    for shape in [(3, 1, 1, 1), (3, 5, 7, 40)]:
        assert tried(network.body, shape, title=name)[0] == network.dimension
    assert network.body.training
