"""Contrastive learning on images with negative data augmentation (Sinha et al., ICLR 2021, arXiv 2102.05113).

A training step takes two views of each image of a batch and goes down

    L = −log  e^{q·k⁺/τ} / ( e^{q·k⁺/τ} + Σ_{k⁻} e^{q·k⁻/τ} + λ Σ_{k̄} e^{α q·k̄/τ} )

where k̄ are embeddings of T(x) of the query's own image. What is measured is the encoder without its head.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ndabench.augmentations.compose import Augmentation
from ndabench.data.feeding import global_batches
from ndabench.data.images import ImageData
from ndabench.data.sampling import shuffled_batches
from ndabench.data.sheets import COLUMNS
from ndabench.distributed import Workers
from ndabench.errors import UserError
from ndabench.metrics import DetectionConfig, RepresentationEvaluation, evaluate_encoder
from ndabench.metrics.probing import Evaluated
from ndabench.models.pixels import RawPixels
from ndabench.models.resnet import ResNet
from ndabench.models.weights import export_encoder
from ndabench.tasks.contrastive import Augmented, ContrastiveTask, Streams, check_batch, random_streams
from ndabench.tasks.contrastive_methods import Pair, build_method
from ndabench.tasks.contrastive_views import ViewPairs, view_pairs
from ndabench.tasks.encoders import PixelsConfig, build_encoder
from ndabench.tasks.image_contrastive_config import ImageContrastiveConfig
from ndabench.tasks.random_streams import random_stream, stream_seed


def image_contrastive_task(
    config: ImageContrastiveConfig,
    data: ImageData,
    *,
    negative: Augmentation | None = None,
    positive: Augmentation | None = None,
    lambda_: float = 0.0,
    seed: int = 0,
    evaluations: Sequence[RepresentationEvaluation] = (),
    workers: Workers | None = None,
) -> ContrastiveTask:
    """The training at its step 0.

    `negative` is T, `positive` changes every view, `lambda_` is λ in [0, ∞). At λ = 0 a negative has no
    weight and is not even drawn: the training is the plain one, bit for bit. Raises `UserError` for what does
    not fit together.
    """
    workers = workers or Workers()
    augmented = Augmented.of(negative, positive, lambda_, seed)
    check_batch(config, len(data.train), "images", workers)
    pixels = isinstance(config.encoder, PixelsConfig)
    if pixels and any(isinstance(evaluation, DetectionConfig) for evaluation in evaluations):
        raise UserError("evaluate: detection needs a ResNet to start from; the encoder pixels has no layers")
    encoder = build_encoder(
        config.encoder,
        data.image_shape,
        batch_norm_splits=config.method.batch_norm_splits,
        channels_last=config.channels_last,
        generator=random_stream(seed, "encoder"),
        workers=workers,
    )
    method = build_method(config, config.method, encoder, lambda_=lambda_, seed=seed, workers=workers)
    pairs = view_pairs(config.views.image_views(), config, config.method, augmented, workers)
    parameters, rate, decay = method.network.parameters(), config.learning_rate, config.weight_decay
    return ContrastiveTask(
        config,
        ImageMaterial(config, data, pairs, encoder, seed, workers),
        method,
        torch.optim.SGD(parameters, rate, config.momentum, weight_decay=decay),
        augmented=augmented,
        streams=random_streams(seed, workers.device),
        evaluations=evaluations,
        workers=workers,
    )


@dataclass(frozen=True)
class ImageMaterial:
    """Images, two views of each, and an encoder that is measured; see `Material`."""

    config: ImageContrastiveConfig
    data: ImageData
    pairs: ViewPairs
    encoder: ResNet | RawPixels
    seed: int
    workers: Workers

    @property
    def content_hash(self) -> str:
        return self.data.content_hash

    def batches(self, start: int) -> Iterator[Tensor]:
        split, order = self.data.train, stream_seed(self.seed, "data order")
        indices = shuffled_batches(len(split), self.config.batch_size, seed=order, start=start)
        return (images for images, _ in global_batches(split, indices, self.workers))

    def inputs(self, batch: Tensor, streams: Streams) -> list[Pair]:
        return self.pairs.inputs(batch, streams)

    def example(self) -> Tensor:
        size = self.config.batch_size // self.workers.world_size
        return torch.zeros(size, *self.config.shown_shape(self.data.image_shape), device=self.workers.device)

    def evaluate(self, evaluations: Sequence[RepresentationEvaluation], *, test: bool) -> Evaluated:
        return evaluate_encoder(
            evaluations, self.encoder, self.data, test=test, seed=self.seed, workers=self.workers
        )

    def sheets(self) -> dict[str, bytes]:
        indices = torch.arange(min(2 * COLUMNS, len(self.data.train)))
        images, _ = next(iter(self.data.train.batches([indices])))
        return self.pairs.sheets(images, random_streams(self.seed, self.workers.device, " sheet"))

    def exports(self) -> dict[str, bytes]:
        return {"encoder.pt": export_encoder(self.encoder)} if isinstance(self.encoder, ResNet) else {}
