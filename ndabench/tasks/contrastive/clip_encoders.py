"""Builds the clip encoder that a configuration names."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch

from ndabench.distributed import Workers
from ndabench.models.clip_bodies import BODIES
from ndabench.models.clip_encoders import ClipEncoder, clip_encoder
from ndabench.models.resnet2d3d import ResNet2d3d
from ndabench.models.weights import load_encoder_weights
from ndabench.tasks.contrastive.clip_encoder_configs import AnyClipEncoderConfig, ResNet2d3dConfig


def build_clip_encoder(
    config: AnyClipEncoderConfig,
    clip_shape: tuple[int, int, int, int],
    *,
    batch_norm_splits: int,
    generator: torch.Generator,
    workers: Workers,
    channels_last: bool = False,
) -> ClipEncoder:
    """The encoder on the workers' device, the same on every worker, for clips of shape (C, T, H, W).

    Raises `UserError` for clips that it cannot take and for weights that do not fit.
    """
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
