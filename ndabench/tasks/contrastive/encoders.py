"""The encoders by name: how a sweep file's `task.encoder` picks the network that is pre-trained.

Images: a ResNet or the raw pixels. Clips: a published network, by default of its published size. From
outside: `ENCODERS.register("mine", Encoder(MyConfig, "my_package.mine:build", encodes="images"))`.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field

from ndabench.config import Config, Size, named
from ndabench.data.registry import Modality
from ndabench.registry import OneOf, Registry
from ndabench.tasks.weights_file import WeightsFile


class EncoderConfig(Config):
    """The keys of an encoder."""

    name: str


class ResNetConfig(EncoderConfig):
    """The encoder: see `models.resnet`."""

    name: Literal["resnet"] = "resnet"
    depth: Literal[18, 34, 50] = 18
    width: int = Field(64, ge=1, le=1024)
    """Channels of the first stage; the published networks have 64."""
    stem: Literal["cifar", "imagenet"] = "cifar"
    weights: WeightsFile | None = None
    """A state dict to start from, such as the `encoder.pt` of another trial; it sees images in [-1, 1]."""


class PixelsConfig(EncoderConfig):
    """No encoder at all: evaluations measure the raw pixels. Requires `num_steps: 0`."""

    name: Literal["pixels"] = "pixels"


class ClipNetworkConfig(EncoderConfig):
    """The keys of an encoder of clips; all but `name` and `weights` are sizes that its body is built with."""

    weights: WeightsFile | None = None
    """A state dict to start from, such as the `encoder.pt` of another trial; it sees clips in [-1, 1]."""

    @property
    def sizes(self) -> dict[str, Any]:
        return self.model_dump(exclude={"name", "weights"})


class ResNet2d3dConfig(ClipNetworkConfig):
    """DPC's own; see `models.resnet2d3d`."""

    name: Literal["resnet2d3d"] = "resnet2d3d"
    depth: Literal[18, 34] = 18
    width: int = Field(64, ge=1, le=1024)
    """Channels of the first stage; the published networks have 64."""
    stem: Literal["cifar", "imagenet"] = "imagenet"
    recompute: bool = False
    """Compute stages once more for the gradients, to have their memory for larger batches."""


class R3d18Config(ClipNetworkConfig):
    """torchvision's ResNet-18 of 3D convolutions, of one size; see `models.clip_bodies` for all below."""

    name: Literal["r3d_18"] = "r3d_18"


class R2plus1d18Config(ClipNetworkConfig):
    """torchvision's R(2+1)D-18, of one size."""

    name: Literal["r2plus1d_18"] = "r2plus1d_18"


class S3dConfig(ClipNetworkConfig):
    """torchvision's S3D, of one size."""

    name: Literal["s3d"] = "s3d"


class _BottleneckConfig(ClipNetworkConfig):
    """pytorchvideo's networks of bottlenecks."""

    depth: Literal[50, 101, 152] = 50
    width: int = Field(64, ge=1, le=1024)
    """Channels of the stem; the published networks have 64."""


class SlowConfig(_BottleneckConfig):
    """pytorchvideo's ResNet of 3D convolutions, SlowFast's slow pathway alone."""

    name: Literal["slow"] = "slow"


class CsnConfig(_BottleneckConfig):
    """pytorchvideo's channel-separated network."""

    name: Literal["csn"] = "csn"


class R2plus1dConfig(_BottleneckConfig):
    """pytorchvideo's R(2+1)D."""

    name: Literal["r2plus1d"] = "r2plus1d"


class SlowFastConfig(ClipNetworkConfig):
    """pytorchvideo's SlowFast, with one slow frame for four fast ones."""

    name: Literal["slowfast"] = "slowfast"
    depth: Literal[18, 50, 101, 152] = 50
    """18 is pytorchvideo's own: one bottleneck a stage."""
    width: int = Field(64, ge=8, le=1024, multiple_of=8)
    """Channels of the slow pathway's stem, published as 64; the fast pathway's stem has an eighth of them."""


class X3dConfig(ClipNetworkConfig):
    """pytorchvideo's X3D; the defaults are those of XS, S and M, and a `depth_factor` of 5 is that of L."""

    name: Literal["x3d"] = "x3d"
    width_factor: float = Field(2.0, ge=0.1, le=100)
    depth_factor: float = Field(2.2, ge=0.1, le=100)
    dimension: Size = 2048
    """Number of features."""


@dataclass(frozen=True)
class Encoder:
    """One kind of encoder."""

    config: type[EncoderConfig]
    build: str
    """Names a function that makes the encoder on the workers' device, with the same weights on every worker.

    It takes the configuration, the shape of an image (C, H, W) or a clip (C, T, H, W), and the keywords of
    `build_encoders.build_resnet`. The encoder is a module with a `dimension` that maps float images or clips
    in [-1, 1] to features `[N, dimension]` in float32; one of clips also takes `generator=None`. `UserError`
    for shapes that it cannot take and for weights that do not fit.
    """
    encodes: Modality
    trainable: bool = True
    """Whether there is something to train."""


_OURS = "ndabench.tasks.contrastive.build_encoders"
_CLIP_NETWORKS = (
    R3d18Config,
    R2plus1d18Config,
    S3dConfig,
    SlowConfig,
    CsnConfig,
    R2plus1dConfig,
    SlowFastConfig,
    X3dConfig,
)

ENCODERS: Registry[Encoder] = Registry(
    "encoder",
    "ndabench.encoders",
    {
        "resnet": Encoder(ResNetConfig, f"{_OURS}:build_resnet", "images"),
        "pixels": Encoder(PixelsConfig, f"{_OURS}:build_pixels", "images", trainable=False),
        "resnet2d3d": Encoder(ResNet2d3dConfig, f"{_OURS}:build_clip_network", "videos"),
        **{
            config.model_fields["name"].default: Encoder(config, f"{_OURS}:build_clip_network", "videos")
            for config in _CLIP_NETWORKS
        },
    },
)


def _encoders_of(modality: Modality) -> Mapping[str, Encoder]:
    return ENCODERS.where(lambda entry: entry.encodes == modality)


def _with_depth(known: Mapping[str, Encoder]) -> Callable[[Any], Any]:
    """Expands `resnet18` and `slow_r50` to mappings with a `depth`, and a bare name to one with a `name`."""

    def expanded(value: Any) -> Any:
        short = re.fullmatch(r"(.+?)(?:_r)?(\d+)", value) if isinstance(value, str) else None
        if short is None or value in known or short[1] not in known:
            return named(value)
        has_depth = "depth" in known[short[1]].config.model_fields
        return {"name": short[1], "depth": int(short[2])} if has_depth else named(value)

    return expanded


_OF_IMAGES, _OF_CLIPS = _encoders_of("images"), _encoders_of("videos")
ImageEncoderConfig = Annotated[EncoderConfig, OneOf(_OF_IMAGES, short_form=_with_depth(_OF_IMAGES))]
"""The type of a field that holds the configuration of any encoder of images."""
ClipEncoderConfig = Annotated[EncoderConfig, OneOf(_OF_CLIPS, short_form=_with_depth(_OF_CLIPS))]
"""The type of a field that holds the configuration of any encoder of clips."""
