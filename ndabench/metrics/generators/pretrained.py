"""A pretrained network and its preprocessing as an extractor."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ndabench.metrics.generators.extraction import Extractor
from ndabench.metrics.generators.preprocessing import Preprocessing
from ndabench.models.weight_files import file_sha256

CHUNK_SIZE = 64
"""Images in one pass of a network: it bounds memory at 224 to 336 pixels."""

Forward = Callable[[Tensor], tuple[Tensor, Tensor]]
"""What the network sees, float32 `[B, 3, S, S]`, to features `[B, d]` and logits `[B, k]`."""


def pretrained_extractor(
    name: str,
    network: nn.Module,
    forward: Forward,
    preprocessing: Preprocessing,
    weights: Path,
    device: torch.device,
    **details: Any,
) -> Extractor:
    """The extractor `name`; `network`, which `forward` calls, is frozen and moved to `device`."""
    network.requires_grad_(False).eval().to(device)

    def extract(images: Tensor) -> tuple[Tensor, Tensor]:
        parts = [
            forward(preprocessing(chunk).contiguous(memory_format=torch.channels_last))
            for chunk in images.split(CHUNK_SIZE)
        ]
        features, logits = zip(*parts, strict=True)
        return torch.cat(features), torch.cat(logits)

    return Extractor(name, file_sha256(weights), extract, {**details, **preprocessing.protocol})


def no_logits(features: Tensor) -> tuple[Tensor, Tensor]:
    """The features of a network without a classifier, with logits `[B, 0]`."""
    return features, features[:, :0]
