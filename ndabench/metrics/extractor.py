"""What every feature extractor is, and how images go through it."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

BATCH_SIZE = 256
"""Images in one forward pass; it changes memory and speed, not the features."""


@dataclass(frozen=True)
class Extractor:
    """A frozen network that sees uint8 images and gives features and class logits."""

    name: str
    weights_sha256: str
    dimension: int
    """d, the length of a feature vector."""
    resize: str
    """What happens to the images' size, for the protocol."""
    forward: Callable[[Tensor], tuple[Tensor, Tensor]]
    """uint8 `[B, C, H, W] -> ([B, d], [B, k])`, float32, on the images' device."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """What else tells this extractor from another one, as plain data for the protocol."""


def extract(extractor: Extractor, batches: Iterable[Tensor]) -> tuple[Tensor, Tensor]:
    """Features `[n, d]` and logits `[n, k]` of uint8 image batches, on the images' device."""
    with torch.no_grad(), full_precision():
        parts = [extractor.forward(images) for images in batches]
    features, logits = zip(*parts, strict=True)
    return torch.cat(features), torch.cat(logits)


@contextmanager
def full_precision() -> Iterator[None]:
    """float32 as it is, whatever autocast and TF32 modes the caller trains under: they move a distance."""
    operators: list[Any] = [torch.backends.cudnn.conv, torch.backends.cuda.matmul]  # type: ignore[attr-defined]
    before = [operator.fp32_precision for operator in operators]
    try:
        for operator in operators:
            operator.fp32_precision = "ieee"
        with torch.autocast("cpu", enabled=False), torch.autocast("cuda", enabled=False):
            yield
    finally:
        for operator, precision in zip(operators, before, strict=True):
            operator.fp32_precision = precision
