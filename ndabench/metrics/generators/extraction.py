"""Feature extractors, and the features of generated and of real images.

An extractor is a frozen network that sees uint8 images and gives features and class logits. Generated images
are drawn and extracted for one round of evaluations; the features of a split, which they are compared with,
are extracted once and kept in the cache.
"""

import io
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from ndabench.data.build_cache import build_once, cache_folder
from ndabench.data.images import ImageData, ImageSplit
from ndabench.data.sampling import in_order
from ndabench.distributed import Workers
from ndabench.measurement import MeasuredSplit
from ndabench.metrics.features import BATCH_SIZE, full_precision
from ndabench.metrics.generators.config import GeneratorEvaluation
from ndabench.metrics.generators.extractor_registry import EXTRACTORS
from ndabench.metrics.generators.frechet import FrechetReference, Gaussian, moments_of
from ndabench.registry import load

COMPUTED = "computed.pt"


@dataclass(frozen=True)
class Extractor:
    """An opened extractor; `EXTRACTORS[name]` holds what was known before it was opened."""

    name: str
    weights_sha256: str
    """Hex SHA-256 of the weights, part of the protocol; of a network without weights, any fixed text."""
    forward: Callable[[Tensor], tuple[Tensor, Tensor]]
    """uint8 `[B, C, H, W] -> ([B, d], [B, k])`, float32, on the images' device."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """Other properties that distinguish this extractor, as plain data for the protocol."""

    @property
    def protocol(self) -> dict[str, Any]:
        """The extractor's part of a protocol."""
        entry = EXTRACTORS[self.name]
        return {
            "extractor": self.name,
            "weights_sha256": self.weights_sha256,
            "feature_dimension": entry.dimension,
            "resize": entry.resize,
            **self.details,
        }


def open_extractor(config: GeneratorEvaluation, data: ImageData, device: torch.device) -> Extractor:
    """The extractor that `config` names, on `device`; `UserError` for missing or wrong weights."""
    entry = EXTRACTORS[config.extractor]
    offered = {
        "data": data,
        "weights": config.weights,
        "download": config.download,
        "model": config.model,
    }
    extractor: Extractor = load(entry.open)(device=device, **{name: offered[name] for name in entry.takes})
    assert extractor.name == config.extractor, f"{config.extractor} opened an extractor {extractor.name!r}"
    return extractor


def extract(extractor: Extractor, batches: Iterable[Tensor]) -> tuple[Tensor, Tensor]:
    """Features `[n, d]` and logits `[n, k]` of uint8 image batches, on the images' device."""
    with torch.no_grad(), full_precision():
        parts = [extractor.forward(images) for images in batches]
    features, logits = zip(*parts, strict=True)
    return torch.cat(features), torch.cat(logits)


@dataclass(frozen=True)
class Extracted:
    """This worker's share of the drawn images, as one extractor sees them: `[share, d]` and `[share, k]`.

    All shares are equally long; concatenated in rank order, they make up the whole.
    """

    extractor: Extractor
    features: Tensor
    logits: Tensor
    workers: Workers

    def own_features(self, num_samples: int) -> Tensor:
        """This worker's features among the first `num_samples` of the whole; possibly none."""
        return self.features[: max(0, num_samples - self.workers.rank * len(self.features))]

    def all_features(self, num_samples: int) -> Tensor:
        """The first `num_samples` features of the whole, on every worker."""
        return self.workers.all_gather(self.features)[:num_samples]

    def all_logits(self, num_samples: int) -> Tensor:
        """The first `num_samples` logits of the whole, on every worker."""
        return self.workers.all_gather(self.logits)[:num_samples]

    def all_equal(self, num_samples: int) -> bool:
        """Whether the first `num_samples` features of the whole are one vector; the same on every worker."""
        first = self.workers.all_gather(self.features[:1])[:1]
        differs = (self.own_features(num_samples) != first).any().to(torch.float32)
        return not self.workers.all_reduce_sum(differs).item()


def extract_share(extractor: Extractor, images: Tensor, workers: Workers) -> Extracted:
    """The features and logits by `extractor` of this worker's `images`, uint8 `[share, C, H, W]`.

    Raises `UserError` where the workers have different weights for it.
    """
    workers.require_equal(extractor.weights_sha256, "extractors", "let their nodes share NDABENCH_CACHE")
    features, logits = extract(extractor, images.split(BATCH_SIZE))
    return Extracted(extractor, features, logits, workers)


def compute_once(kind: str, key: str, compute: Callable[[], dict[str, Any]]) -> Path:
    """The entry of the cache that holds what `compute` gives: tensors, numbers, strings and dicts of them.

    `key` must name everything that the result depends on. The first process on a machine computes, the others
    wait. Raises `UserError` where the cache cannot be written.
    """

    def build(entry: Path) -> None:
        buffer = io.BytesIO()
        torch.save(compute(), buffer)  # into memory: torch words the errors of a full disk as its own
        (entry / COMPUTED).write_bytes(buffer.getbuffer())

    return build_once(cache_folder() / kind, key, build)


def read_computed(entry: Path) -> dict[str, Any]:
    """What `compute_once` stored, on the CPU."""
    kept: dict[str, Any] = torch.load(entry / COMPUTED, map_location="cpu", weights_only=True)
    return kept


@dataclass(frozen=True)
class Reference:
    """One split as one extractor sees it."""

    features: Tensor
    """float32 `[m, d]`."""
    frechet: FrechetReference


def load_reference(
    data: ImageData, split: MeasuredSplit | Literal["train"], extractor: Extractor, device: torch.device
) -> Reference:
    """The reference for `split`, from this process, from the cache, or extracted now."""
    images: ImageSplit = getattr(data, split)
    if data.validation is data.test:  # a folder that is compared as a whole
        split = "test"
    identity = (
        data.content_hash[:32],
        split,
        str(len(images)),
        extractor.name,
        extractor.weights_sha256[:32],
        *(str(extractor.details[key]) for key in ("model", "input_size") if key in extractor.details),
    )
    described = f"images of the {split} split of {data.name}"
    compute = partial(_compute_reference, images, extractor, described)
    return _load_reference(compute_once("references", "-".join(identity), compute), device)


def _compute_reference(images: ImageSplit, extractor: Extractor, described: str) -> dict[str, Any]:
    batches = (batch for batch, _ in images.batches(in_order(len(images), BATCH_SIZE)))
    features, _ = extract(extractor, batches)
    reference = FrechetReference.of(moments_of(features).gaussian(described))
    return {
        "features": features.cpu(),
        "mean": reference.gaussian.mean.cpu(),
        "covariance": reference.gaussian.covariance.cpu(),
        "root": reference.root.cpu(),
    }


@lru_cache(maxsize=4)
def _load_reference(entry: Path, device: torch.device) -> Reference:
    kept = {name: tensor.to(device) for name, tensor in read_computed(entry).items()}
    gaussian = Gaussian(kept["mean"], kept["covariance"])
    return Reference(kept["features"], FrechetReference(gaussian, kept["root"]))
