"""How a sweep file names a clip encoder: a published network, by default of its published size."""

import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from ndabench.config import Config, Size, named
from ndabench.tasks.weights_file import WeightsFile


class _ClipEncoderConfig(Config):
    """What all have in common; every other key but the name is a size that the body is built with."""

    weights: WeightsFile | None = None
    """A state dict to start from, such as the `encoder.pt` of another trial; it sees clips in [-1, 1]."""

    @property
    def sizes(self) -> dict[str, Any]:
        return self.model_dump(exclude={"name", "weights"})


class ResNet2d3dConfig(_ClipEncoderConfig):
    """DPC's own; see `models.resnet2d3d`."""

    name: Literal["resnet2d3d"] = "resnet2d3d"
    depth: Literal[18, 34] = 18
    width: int = Field(64, ge=1, le=1024)
    """Channels of the first stage; the published networks have 64."""
    stem: Literal["cifar", "imagenet"] = "imagenet"
    recompute: bool = False
    """Compute stages once more for the gradients, to have their memory for larger batches."""


class R3d18Config(_ClipEncoderConfig):
    """torchvision's ResNet-18 of 3D convolutions, of one size; see `models.clip_bodies` for all below."""

    name: Literal["r3d_18"] = "r3d_18"


class R2plus1d18Config(_ClipEncoderConfig):
    """torchvision's R(2+1)D-18, of one size."""

    name: Literal["r2plus1d_18"] = "r2plus1d_18"


class S3dConfig(_ClipEncoderConfig):
    """torchvision's S3D, of one size."""

    name: Literal["s3d"] = "s3d"


class _BottleneckConfig(_ClipEncoderConfig):
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


class SlowFastConfig(_ClipEncoderConfig):
    """pytorchvideo's SlowFast, with one slow frame for four fast ones."""

    name: Literal["slowfast"] = "slowfast"
    depth: Literal[18, 50, 101, 152] = 50
    """18 is pytorchvideo's own: one bottleneck a stage."""
    width: int = Field(64, ge=8, le=1024, multiple_of=8)
    """Channels of the slow pathway's stem, published as 64; the fast pathway's stem has an eighth of them."""


class X3dConfig(_ClipEncoderConfig):
    """pytorchvideo's X3D; the defaults are those of XS, S and M, and a `depth_factor` of 5 is that of L."""

    name: Literal["x3d"] = "x3d"
    width_factor: float = Field(2.0, ge=0.1, le=100)
    depth_factor: float = Field(2.2, ge=0.1, le=100)
    dimension: Size = 2048
    """Number of features."""


AnyClipEncoderConfig = (
    ResNet2d3dConfig
    | R3d18Config
    | R2plus1d18Config
    | S3dConfig
    | SlowConfig
    | CsnConfig
    | R2plus1dConfig
    | SlowFastConfig
    | X3dConfig
)


def _encoder_named(value: Any) -> Any:
    """`resnet2d3d18`, `slow_r50`, `x3d` and the like are short for mappings."""
    pattern = r"(resnet2d3d|(?:slow|csn|r2plus1d|slowfast)(?=_r))(?:_r)?(\d+)"
    short = re.fullmatch(pattern, value) if isinstance(value, str) else None
    return {"name": short[1], "depth": int(short[2])} if short else named(value)


ClipEncoderConfig = Annotated[
    AnyClipEncoderConfig, Field(discriminator="name"), BeforeValidator(_encoder_named)
]
