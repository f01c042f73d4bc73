"""Contrastive learning on images with negative data augmentation (Sinha et al., ICLR 2021, arXiv 2102.05113).

A training step takes two views of each image of a batch and goes down

    L = −log  e^{q·k⁺/τ} / ( e^{q·k⁺/τ} + Σ_{k⁻} e^{q·k⁻/τ} + λ Σ_{k̄} e^{α q·k̄/τ} )

where k̄ are embeddings of T(x) of the query's own image. What is measured is the encoder without its head.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ndabench.augmentations import Augmentation
from ndabench.data import ImageData, global_batches, shuffled_batches
from ndabench.data.sheets import COLUMNS
from ndabench.distributed import Workers
from ndabench.errors import UserError
from ndabench.measurement import Measurement
from ndabench.metrics import DetectionConfig, RepresentationEvaluation, evaluate_encoder
from ndabench.models.embedder import Embedder
from ndabench.models.heads import ProjectionHead
from ndabench.models.pixels import RawPixels
from ndabench.models.resnet import ResNet
from ndabench.models.split_batch_norm import average_running_moments
from ndabench.models.weights import export_encoder
from ndabench.tasks.contrastive_methods import METHODS, Contrast
from ndabench.tasks.contrastive_views import ViewPairs
from ndabench.tasks.curves import Curves
from ndabench.tasks.divergence import check_finite
from ndabench.tasks.encoders import PixelsConfig, build_encoder
from ndabench.tasks.image_contrastive_config import MAY_CHANGE, ImageContrastiveConfig
from ndabench.tasks.kernels import choose_cuda_kernels
from ndabench.tasks.random_streams import random_stream, stream_seed
from ndabench.tasks.resuming import Stateful, restore, snapshot
from ndabench.tasks.task import Progress

STREAMS = ("views", "order", "negatives", "positives")


class ImageContrastiveTask:
    """A contrastive training: networks, optimiser, random streams, and how far it has come."""

    def __init__(
        self,
        config: ImageContrastiveConfig,
        data: ImageData,
        *,
        negative: Augmentation | None = None,
        positive: Augmentation | None = None,
        lambda_: float = 0.0,
        seed: int = 0,
        evaluations: Sequence[RepresentationEvaluation] = (),
        workers: Workers | None = None,
    ) -> None:
        """`negative` is T, `positive` changes every view, `lambda_` is λ in [0, ∞).

        At λ = 0 a negative has no weight and is not even drawn: the training is the plain one, bit for bit.
        Raises `UserError` for what does not fit together.
        """
        self.workers = workers = workers or Workers()
        _validate(config, data, negative, lambda_, evaluations, workers)
        self.config, self.data, self.seed, self.lambda_ = config, data, seed, lambda_
        self.evaluations = tuple(evaluations)
        self.pairs = ViewPairs(
            config.views.build(),
            negative=negative if lambda_ > 0 else None,
            positive=positive,
            num_nda_keys=config.num_nda_keys,
            nda_source=config.nda_source,
            symmetric=config.method.symmetric,
            shuffle=config.method.shuffle_keys,
            workers=workers,
        )
        self.encoder = build_encoder(
            config.encoder,
            data.image_shape,
            batch_norm_splits=config.method.batch_norm_splits,
            channels_last=config.channels_last,
            generator=random_stream(seed, "encoder"),
            workers=workers,
        )
        network = _with_head(config, self.encoder, seed).to(workers.device)
        self.method = METHODS[config.method.name](
            config.method,  # type: ignore[arg-type]
            Contrast(config.temperature, lambda_, config.nda_scale),
            network,
            config.embedding_dim,
            generator=random_stream(seed, "queue"),
            workers=workers,
        )
        self.optimizer = torch.optim.SGD(
            network.parameters(), config.learning_rate, config.momentum, weight_decay=config.weight_decay
        )
        self.streams = {name: random_stream(seed, name, workers.device) for name in STREAMS}
        self.step = 0
        self.curves = Curves(workers)

    def run(self) -> Iterator[Progress]:
        """Trains from wherever the state stands to the last step; see `Task`.

        A fresh task first yields step 0, with the measurements that are taken on the way. The last step is
        yielded twice: first to be saved, with the encoder, then with its evaluations, which may take hours
        and are made up for where a run was stopped in them.
        """
        config = self.config
        notes = self._choose_kernels()
        if self.step in (0, config.num_steps):
            yield from self._pause(notes)
        batches = self._batches()
        while self.step < config.num_steps:
            self._train(next(batches))
            self.step += 1
            if self._pauses_here():
                yield from self._pause(notes)

    def _batches(self) -> Iterator[Tensor]:
        """Global batches of uint8 images without end, from that of the next step on."""
        split, order = self.data.train, stream_seed(self.seed, "data order")
        indices = shuffled_batches(len(split), self.config.batch_size, seed=order, start=self.step)
        return (images for images, _ in global_batches(split, indices, self.workers))

    def _train(self, images: Tensor) -> None:
        """One step down L, on a global batch of images."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.learning_rate_at(self.step)
        parts = self.method.loss(self.pairs.pairs(images, self.streams))
        self.optimizer.zero_grad()
        parts["loss"].backward()
        self.workers.average_gradients(self.method.network.parameters())
        self.optimizer.step()
        self.method.conclude(self.step)
        self.curves.add(parts)

    def _choose_kernels(self) -> dict[str, Measurement]:
        """Allows TF32 and compiles the networks where the configuration says so; tells what came of it."""
        if self.workers.device.type == "cuda":
            choose_cuda_kernels(tf32=self.config.tf32)
        if not self.config.compile:
            return {}
        size = self.config.batch_size // self.workers.world_size
        shape = self.config.shown_shape(self.data.image_shape)
        failure = self.method.compile(torch.zeros(size, *shape, device=self.workers.device))
        return {"compiled": Measurement(float(not failure), protocol={"failure": failure} if failure else {})}

    def _due(self, every: int | None) -> bool:
        """Whether something done every so many steps is done now; all is done at the last step."""
        return self.step == self.config.num_steps or (every is not None and self.step % every == 0)

    def _pauses_here(self) -> bool:
        intervals = [self.config.log_every, self.config.checkpoint_every]
        return any(map(self._due, intervals + [evaluation.every for evaluation in self.evaluations]))

    def _pause(self, notes: Mapping[str, Measurement]) -> Iterator[Progress]:
        if 0 < self.step == self.config.num_steps:
            yield self._progress(notes, [])
        yield self._progress(notes, [one for one in self.evaluations if self._due(one.every)])

    def _progress(
        self, notes: Mapping[str, Measurement], evaluations: Sequence[RepresentationEvaluation]
    ) -> Progress:
        config, last = self.config, self.step == self.config.num_steps
        average_running_moments(self.encoder, self.workers)
        curves = self.curves.read()
        check_finite(curves, {"encoder and head": self.method.network}, step=self.step)
        metrics = dict(notes)
        if self._due(config.log_every):
            metrics |= {name: Measurement(value) for name, value in curves.items()}
        if self._due(config.log_every) and not last:
            self.curves.clear()
        evaluated = evaluate_encoder(
            evaluations,
            self.encoder,
            self.data,
            test=last,
            seed=self.seed,
            workers=self.workers,
        )
        return Progress(
            step=self.step,
            num_steps=config.num_steps,
            num_images=self.step * config.batch_size,
            metrics=metrics | evaluated.measurements,
            checkpoint_due=self.step > 0 and self._due(config.checkpoint_every),
            artifacts={**self._artifacts(last), **evaluated.artifacts} if self.workers.is_main else {},
        )

    def _artifacts(self, last: bool) -> dict[str, bytes]:
        """At step 0 sheets of what training looks at, at the last step the encoder."""
        artifacts: dict[str, bytes] = {}
        if self.step == 0 and self.config.num_steps > 0:
            indices = torch.arange(min(2 * COLUMNS, len(self.data.train)))
            images, _ = next(iter(self.data.train.batches([indices])))
            streams = {
                name: random_stream(self.seed, f"{name} sheet", self.workers.device) for name in STREAMS
            }
            artifacts |= self.pairs.sheets(images, streams)
        if last and isinstance(self.encoder, ResNet):
            artifacts["encoder.pt"] = export_encoder(self.encoder)
        return artifacts

    def state_dict(self) -> dict[str, Any]:
        return snapshot(self._identity(), self.step, self.streams, self._parts())

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.step = restore(state, self._identity(), self.streams, self._parts())

    def _parts(self) -> dict[str, Stateful]:
        return {**self.method.parts(), "optimizer": self.optimizer, "curves": self.curves}

    def _identity(self) -> dict[str, Any]:
        return {
            **self.config.model_dump(mode="json", exclude=MAY_CHANGE),
            "lambda": self.lambda_,
            "negative": self.pairs.negative is not None,
            "positive": self.pairs.positive is not None,
            "seed": self.seed,
            "data": self.data.content_hash,
        }


def _with_head(config: ImageContrastiveConfig, encoder: ResNet | RawPixels, seed: int) -> Embedder:
    is_mlp = config.mlp_head and isinstance(encoder, ResNet)
    hidden_dim = config.hidden_dim or encoder.dimension
    head = ProjectionHead(
        encoder.dimension,
        hidden_dim if is_mlp else None,
        config.embedding_dim,
        random_stream(seed, "head"),
    )
    return Embedder(encoder, head, bf16=config.precision == "bf16")


def _validate(
    config: ImageContrastiveConfig,
    data: ImageData,
    negative: Augmentation | None,
    lambda_: float,
    evaluations: Sequence[RepresentationEvaluation],
    workers: Workers,
) -> None:
    config.LAMBDA.check(lambda_)
    if negative is None and lambda_ != 0:
        raise UserError(f"lambda {lambda_} weighs the keys of a negative, but there is none")
    pixels = isinstance(config.encoder, PixelsConfig)
    if pixels and any(isinstance(evaluation, DetectionConfig) for evaluation in evaluations):
        raise UserError("evaluate: detection needs a ResNet to start from; the encoder pixels has no layers")
    if config.num_steps == 0:
        return
    if config.batch_size > len(data.train):
        raise UserError(
            f"batch_size {config.batch_size} exceeds the {len(data.train)} training images there are"
        )
    if config.batch_size % workers.world_size:
        raise UserError(
            f"batch_size {config.batch_size} cannot be shared equally by {workers.world_size} workers"
        )
