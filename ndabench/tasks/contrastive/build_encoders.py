"""Builds the encoder that a configuration names; `encoders.ENCODERS` names these functions."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import nn

from ndabench.distributed import Workers
from ndabench.models.clip_bodies import BODIES
from ndabench.models.clip_encoders import ClipEncoder, clip_encoder
from ndabench.models.pixels import RawPixels
from ndabench.models.resnet import ResNet
from ndabench.models.resnet2d3d import ResNet2d3d
from ndabench.models.weights import load_encoder_weights
from ndabench.registry import load
from ndabench.tasks.contrastive.encoders import (
    ENCODERS,
    ClipNetworkConfig,
    EncoderConfig,
    PixelsConfig,
    ResNet2d3dConfig,
    ResNetConfig,
)


def build_encoder(config: EncoderConfig, shape: tuple[int, ...], **keywords: Any) -> nn.Module:
    """The encoder of `config` for images or clips of `shape`; see `Encoder.build`."""
    encoder: nn.Module = load(ENCODERS[config.name].build)(config, shape, **keywords)
    return encoder


def build_resnet(
    config: ResNetConfig,
    image_shape: tuple[int, int, int],
    *,
    batch_norm_splits: int,
    channels_last: bool,
    generator: torch.Generator,
    workers: Workers,
) -> ResNet:
    """A ResNet with the weights that `generator` decides, or those of a file.

    `batch_norm_splits` are the parts of the global batch that are normalised separately; `channels_last` is
    the convolutions' memory format.
    """
    encoder = ResNet(
        depth=config.depth,
        width=config.width,
        stem=config.stem,
        image_channels=image_shape[0],
        batch_norm_splits=batch_norm_splits,
        workers=workers,
        generator=generator,
        memory_format=torch.channels_last if channels_last else torch.contiguous_format,
    )
    if config.weights is not None:
        load_encoder_weights(encoder, config.weights.path, sha256=config.weights.sha256)
    return encoder.to(workers.device)


def build_pixels(config: PixelsConfig, image_shape: tuple[int, int, int], **keywords: Any) -> RawPixels:
    """No network at all."""
    return RawPixels(image_shape)


def build_clip_network(
    config: ClipNetworkConfig,
    clip_shape: tuple[int, int, int, int],
    *,
    batch_norm_splits: int,
    channels_last: bool,
    generator: torch.Generator,
    workers: Workers,
) -> ClipEncoder:
    """DPC's own network or one of a library, for clips of shape (C, T, H, W)."""
    shared: dict[str, Any] = {
        "batch_norm_splits": batch_norm_splits,
        "workers": workers,
        "generator": generator,
        "memory_format": torch.channels_last_3d if channels_last else torch.contiguous_format,
    }
    make_body = (
        partial(ResNet2d3d, image_channels=clip_shape[0], **config.sizes, **shared)
        if isinstance(config, ResNet2d3dConfig)
        else partial(BODIES[config.name], **config.sizes)
    )
    title = f"{config.name}{_in_brackets(config.sizes)}"
    encoder = clip_encoder(make_body, clip_shape, title=title, **shared)
    if config.weights is not None:
        load_encoder_weights(encoder.body, config.weights.path, sha256=config.weights.sha256, title=title)
    return encoder.to(workers.device)


def _in_brackets(sizes: Mapping[str, Any]) -> str:
    listed = ", ".join(f"{key} {value}" for key, value in sizes.items())
    return f" ({listed})" if listed else ""
