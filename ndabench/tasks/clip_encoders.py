"""How a sweep file names an encoder of clips: a published network, of its published size if not told else."""

import re
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, Literal

import torch
from pydantic import BeforeValidator, Field
from torch import nn

from ndabench.config import Config
from ndabench.data.source import FullPath
from ndabench.distributed import Workers
from ndabench.models import clip_bodies
from ndabench.models.clip_encoders import ClipEncoder, clip_encoder
from ndabench.models.resnet2d3d import ResNet2d3d
from ndabench.models.weights import load_encoder_weights

WeightsPath = FullPath | None
"""A state dict to start from, such as the `encoder.pt` of another trial; it sees clips in [-1, 1].

The file's content is no part of a trial's identity: give changed weights another name."""


class ResNet2d3dConfig(Config):
    """DPC's own; see `models.resnet2d3d`."""

    name: Literal["resnet2d3d"] = "resnet2d3d"
    depth: Literal[18, 34] = 18
    width: int = Field(64, ge=1)
    """Channels of the first stage; the published networks have 64."""
    stem: Literal["cifar", "imagenet"] = "imagenet"
    recompute: bool = False
    """Compute stages once more for the gradients, to have their memory for larger batches."""
    weights: WeightsPath = None


class TorchvisionConfig(Config):
    """torchvision's networks, of one size each."""

    name: Literal["r3d_18", "r2plus1d_18", "s3d"]
    weights: WeightsPath = None


class BottleneckConfig(Config):
    """pytorchvideo's networks of bottlenecks: the slow pathway alone, CSN and R(2+1)D."""

    name: Literal["slow", "csn", "r2plus1d"]
    depth: Literal[50, 101, 152] = 50
    width: int = Field(64, ge=1)
    """Channels of the stem; the published networks have 64."""
    weights: WeightsPath = None


class SlowFastConfig(Config):
    """pytorchvideo's SlowFast, with one slow frame for four fast ones."""

    name: Literal["slowfast"] = "slowfast"
    depth: Literal[18, 50, 101, 152] = 50
    """18 is pytorchvideo's own: one bottleneck a stage."""
    width: int = Field(64, ge=8, multiple_of=8)
    """Channels of the slow pathway's stem, published as 64; the fast one's has an eighth of them."""
    weights: WeightsPath = None


class X3dConfig(Config):
    """pytorchvideo's X3D; the defaults are X3D-M (and S, and XS), a `depth_factor` of 5 is X3D-L's."""

    name: Literal["x3d"] = "x3d"
    width_factor: float = Field(2.0, gt=0)
    depth_factor: float = Field(2.2, gt=0)
    dimension: int = Field(2048, ge=1)
    """Number of features."""
    weights: WeightsPath = None


def _named(value: Any) -> Any:
    """`resnet2d3d18`, `slow_r50`, `x3d` and the like are short for mappings."""
    if not isinstance(value, str):
        return value
    short = re.fullmatch(r"(resnet2d3d|slow_r|csn_r|r2plus1d_r|slowfast_r)(\d+)", value)
    return {"name": short[1].removesuffix("_r"), "depth": int(short[2])} if short else {"name": value}


ClipEncoderConfig = Annotated[
    ResNet2d3dConfig | TorchvisionConfig | BottleneckConfig | SlowFastConfig | X3dConfig,
    Field(discriminator="name"),
    BeforeValidator(_named),
]


def build_clip_encoder(
    config: ClipEncoderConfig,
    clip_shape: tuple[int, int, int, int],
    *,
    batch_norm_splits: int,
    generator: torch.Generator,
    workers: Workers,
    channels_last: bool = False,
) -> ClipEncoder:
    """The encoder that a `ClipEncoderConfig` means, on the workers' device, alike on all.

    Raises `UserError` for clips (C, T, H, W) that it cannot take and for weights that do not fit.
    """
    title = ", ".join(f"{key} {value}" for key, value in _sizes(config).items())
    title = f"{config.name} ({title})" if title else config.name
    memory_format = torch.channels_last_3d if channels_last else torch.contiguous_format
    encoder = clip_encoder(
        _body(config, clip_shape[0], batch_norm_splits, workers, generator, memory_format),
        clip_shape,
        title=title,
        batch_norm_splits=batch_norm_splits,
        workers=workers,
        generator=generator,
        memory_format=memory_format,
    )
    if config.weights is not None:
        load_encoder_weights(encoder.body, config.weights, title=title)
    return encoder.to(workers.device)


def _body(
    config: ClipEncoderConfig,
    channels: int,
    batch_norm_splits: int,
    workers: Workers,
    generator: torch.Generator,
    memory_format: torch.memory_format,
) -> Callable[[], nn.Module]:
    sizes = _sizes(config)
    if isinstance(config, TorchvisionConfig):
        return partial(clip_bodies.torchvision_body, config.name)
    if isinstance(config, ResNet2d3dConfig):
        return partial(
            ResNet2d3d,
            **sizes,
            image_channels=channels,
            batch_norm_splits=batch_norm_splits,
            workers=workers,
            generator=generator,
            memory_format=memory_format,
        )
    return partial(clip_bodies.PYTORCHVIDEO[config.name], **sizes)


def _sizes(config: ClipEncoderConfig) -> dict[str, Any]:
    return config.model_dump(exclude={"name", "weights"})
