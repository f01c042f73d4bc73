"""Builds the image encoder that a configuration names."""

import torch

from ndabench.distributed import Workers
from ndabench.models.pixels import RawPixels
from ndabench.models.resnet import ResNet
from ndabench.models.weights import load_encoder_weights
from ndabench.tasks.contrastive.image_encoder_configs import PixelsConfig, ResNetConfig


def build_encoder(
    config: ResNetConfig | PixelsConfig,
    image_shape: tuple[int, int, int],
    *,
    batch_norm_splits: int,
    channels_last: bool,
    generator: torch.Generator,
    workers: Workers,
) -> ResNet | RawPixels:
    """The encoder on the workers' device, equal on all of them; `UserError` for weights that do not fit."""
    if isinstance(config, PixelsConfig):
        return RawPixels(image_shape)
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
