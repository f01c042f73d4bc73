"""Pictures that somebody else drew, as a subject: evaluations of generators measure them like a generator's.

All pictures of the collection count. Their features are kept in the cache under the content hash of the
decoded pictures and the hash of the extractor's weights.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor

from ndabench.data.collection import ImageCollectionConfig
from ndabench.data.images import ImageData, ImageSplit
from ndabench.data.load import load_whole
from ndabench.data.progress import told
from ndabench.data.registry import load_data
from ndabench.data.sampling import in_order
from ndabench.data.source import ImageConfig
from ndabench.distributed import Workers
from ndabench.errors import UserError
from ndabench.measurement import MeasuredSplit
from ndabench.metrics.evaluation import Evaluation
from ndabench.metrics.features import BATCH_SIZE
from ndabench.metrics.generators.config import GeneratorEvaluation
from ndabench.metrics.generators.extraction import (
    Extracted,
    Extractor,
    compute_once,
    extract,
    open_extractor,
    read_computed,
)
from ndabench.metrics.subjects import GENERATOR, SharedWork


def load_reference_data(config: ImageConfig, device: torch.device) -> ImageData:
    """A data set with its splits, or a collection, of which all pictures make up each split."""
    if not isinstance(config, ImageCollectionConfig):
        return load_data(config, device)
    split, manifest = load_whole(config, device=device)
    return ImageData(
        name=config.title,
        content_hash=manifest.decoded_hash,
        class_names=manifest.class_names,
        image_shape=manifest.image_shape,
        train=split,
        validation=split,
        test=split,
        notes=manifest.notes,
    )


def open_images(config: ImageCollectionConfig, reference: ImageData, workers: Workers) -> "ImagesSubject":
    """The pictures of a collection; `UserError` where they have another shape than those of `reference`, or
    classes that it has not."""
    split, manifest = load_whole(config, device=workers.device)
    if manifest.image_shape != reference.image_shape:
        _, *ours = manifest.image_shape
        _, *theirs = reference.image_shape
        raise UserError(
            f"{config.path}: the pictures are {ours[1]}×{ours[0]}, those of {reference.name} "
            f"{theirs[1]}×{theirs[0]}; --image-size brings both to one size"
        )
    num_classes = len(reference.class_names)
    labels = config.labels() if num_classes > 1 else None
    if labels is not None and labels.max() >= num_classes:
        raise UserError(
            f"{config.path}: has pictures of class {labels.max()}, and {reference.name} has {num_classes} "
            "classes"
        )
    return ImagesSubject(
        split,
        manifest.decoded_hash,
        config.title,
        reference,
        classes=None if labels is None else torch.from_numpy(labels),
        workers=workers,
    )


@dataclass
class ImagesSubject:
    """The pictures of a collection; it has what measures of generated images ask of a `GeneratorSubject`."""

    kind: ClassVar[str] = GENERATOR
    averaged: ClassVar[bool] = False
    num_classes: ClassVar[int] = 1
    discriminator: ClassVar[None] = None

    images: ImageSplit
    content_hash: str
    """SHA-256 of the decoded pictures."""
    title: str
    data: ImageData
    """What they are compared with."""
    classes: Tensor | None = None
    """The classes that they were drawn for, int64 `[N]`, by their numbers in `data`; None where unknown."""
    seed: int = 0
    workers: Workers = field(default_factory=Workers)
    shared: SharedWork = field(default_factory=SharedWork)

    @property
    def num_samples(self) -> int:
        return len(self.images)

    @property
    def sampling(self) -> Mapping[str, Any]:
        """Nobody knows here how they were drawn."""
        return {"weights": "external", "batch_norm": "external"}

    def plan(self, evaluations: Sequence[Evaluation]) -> None:
        """Nothing to plan: all pictures are looked at."""

    def of_split(self, split: MeasuredSplit) -> "ImagesSubject":
        """The same pictures for every split."""
        return self

    def samples(self) -> Tensor:
        """All pictures, uint8 `[N, C, H, W]`."""
        return self.shared.get("samples", "samples", lambda: torch.cat(list(self._batches("reading"))))

    def labels(self, num_samples: int) -> Tensor:
        """The classes that the first pictures were drawn for, int64; `UserError` where they are unknown."""
        if self.classes is None:
            raise UserError(
                f"{self.title}: class_fd and cas need pictures of known classes, and it tells none"
            )
        return self.classes[:num_samples].to(self.workers.device)

    def extracted(self, config: GeneratorEvaluation) -> Extracted:
        """Their features and logits by the extractor that `config` names, from the cache or extracted now."""

        def compute() -> Extracted:
            extractor = open_extractor(config, self.data, self.workers.device)
            key = f"{self.content_hash[:32]}-{extractor.name}-{extractor.weights_sha256[:32]}"
            kept = read_computed(compute_once("external", key, partial(self._extract, extractor)))
            there = {name: tensor.to(self.workers.device) for name, tensor in kept.items()}
            return Extracted(extractor, there["features"], there["logits"], self.workers)

        return self.shared.get(config.features, config.features, compute)

    def _extract(self, extractor: Extractor) -> dict[str, Any]:
        features, logits = extract(extractor, self._batches(f"features by {extractor.name}"))
        return {"features": features.cpu(), "logits": logits.cpu()}

    def _batches(self, work: str) -> Iterator[Tensor]:
        batches = self.images.batches(in_order(len(self.images), BATCH_SIZE))
        told_batches = told(batches, f"{self.title}: {work}", len(self.images), BATCH_SIZE)
        return (images for images, _ in told_batches)
