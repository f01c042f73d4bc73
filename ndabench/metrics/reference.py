"""What samples are compared with: the features of a whole split, extracted once and kept."""

from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from ndabench.data.build_cache import cache_folder
from ndabench.data.images import ImageData, ImageSplit
from ndabench.data.sampling import in_order
from ndabench.metrics.cache import compute_once, read
from ndabench.metrics.extractor import BATCH_SIZE, Extractor, extract
from ndabench.metrics.frechet import FrechetReference, Gaussian, moments_of

SplitName = Literal["validation", "test"]


@dataclass(frozen=True)
class Reference:
    """One split as one extractor sees it."""

    features: Tensor
    """float32 `[m, d]`."""
    frechet: FrechetReference


def load_reference(
    data: ImageData, split: SplitName, extractor: Extractor, device: torch.device
) -> Reference:
    """The reference for `split`, from this process, from the cache, or extracted now."""
    images: ImageSplit = getattr(data, split)
    identity = (
        data.content_hash[:32],
        split,
        str(len(images)),
        extractor.name,
        extractor.weights_sha256[:32],
    )
    path = cache_folder() / "references" / f"{'-'.join(identity)}.pt"
    compute_once(path, partial(_compute, images, extractor))
    return _load(path, device)


def _compute(images: ImageSplit, extractor: Extractor) -> dict[str, Any]:
    batches = (batch for batch, _ in images.batches(in_order(len(images), BATCH_SIZE)))
    features, _ = extract(extractor, batches)
    reference = FrechetReference.of(moments_of(features).gaussian())
    return {
        "features": features.cpu(),
        "mean": reference.gaussian.mean.cpu(),
        "covariance": reference.gaussian.covariance.cpu(),
        "root": reference.root.cpu(),
    }


@lru_cache(maxsize=4)
def _load(path: Path, device: torch.device) -> Reference:
    kept = {name: tensor.to(device) for name, tensor in read(path).items()}
    gaussian = Gaussian(kept["mean"], kept["covariance"])
    return Reference(kept["features"], FrechetReference(gaussian, kept["root"]))
