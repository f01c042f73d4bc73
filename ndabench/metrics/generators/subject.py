"""A generator to be measured: the images drawn from it, their features, and its discriminator's logits."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from ndabench.data.images import ImageData
from ndabench.distributed import Workers
from ndabench.errors import UserError
from ndabench.measurement import MeasuredSplit
from ndabench.metrics.evaluation import Evaluation
from ndabench.metrics.features import frozen
from ndabench.metrics.generators.config import FrechetConfig, GeneratorEvaluation, of_live
from ndabench.metrics.generators.extraction import Extracted, extract_share, open_extractor
from ndabench.metrics.subjects import GENERATOR, SharedWork

Weights = Literal["ema", "live"]
"""The moving average of a generator's weights, or the weights in training."""
BatchNormMode = Literal["running", "batch"]
"""Normalisation by the running moments, or by the moments of each batch."""


class GeneratorSampler(Protocol):
    """How a task draws images from its generator."""

    def sample(self, num_images: int, *, stream: str, weights: Weights, batch_norm: BatchNormMode) -> Tensor:
        """This worker's share of `num_images` images, uint8 `[num_images / world_size, C, H, W]`.

        `num_images` is a multiple of the world size. The images are a function of the weights, the trial's
        seed and the `stream`'s name alone.
        """
        ...

    def protocol(self, *, weights: Weights, batch_norm: BatchNormMode) -> Mapping[str, Any]:
        """How the images were drawn, as plain data."""
        ...


@runtime_checkable
class DrawsClasses(Protocol):
    """A sampler that knows the classes that it draws images for."""

    def labels(self, num_images: int, *, stream: str) -> Tensor:
        """The classes of this worker's share of the images that `sample` gives for `stream`, int64."""
        ...


class DrawsImages(Protocol):
    """A subject whose images can be compared with those of a split."""

    @property
    def shared(self) -> SharedWork: ...

    def of_split(self, split: MeasuredSplit) -> "GeneratorSubject":
        """What is compared with the images of `split`."""
        ...


@dataclass
class GeneratorSubject:
    """A generator, its discriminator, and the data set that both were trained on."""

    kind: ClassVar[str] = GENERATOR

    sampler: GeneratorSampler
    discriminator: nn.Module | None
    """Images and labels to logits; see `logit`."""
    data: ImageData
    seed: int
    stream: str
    """Names the random stream that the images of this round are drawn from."""
    weights: Weights = "ema"
    batch_norm: BatchNormMode = "running"
    """How the images of this round are drawn."""
    num_classes: int = 1
    """Classes that the discriminator distinguishes; 1 where it is unconditional."""
    workers: Workers = field(default_factory=Workers)
    shared: SharedWork = field(default_factory=SharedWork)
    averaged: bool = False
    """Whether `weights` are an average that differs from those in training, which the sampler also has."""
    num_samples: int = 0
    """The largest `num_samples` of the evaluations of the round."""
    num_live_samples: int = 0
    """The same of the evaluations that also measure the weights in training."""

    def plan(self, evaluations: Sequence[Evaluation]) -> None:
        self.num_samples = max((getattr(one, "num_samples", 0) for one in evaluations), default=0)
        live = [one.num_samples for one in evaluations if isinstance(one, FrechetConfig) and one.live]
        self.num_live_samples = max(live, default=0)

    def live(self) -> "GeneratorSubject":
        """The same generator with the weights in training, from the same noise."""
        return replace(self, weights="live", num_samples=self.num_live_samples)

    def _piece(self, piece: Hashable) -> Hashable:
        return of_live(piece) if self.weights == "live" else piece

    def of_split(self, split: MeasuredSplit) -> "GeneratorSubject":
        """What is compared with the images of `split`: the same images for every split."""
        return self

    @property
    def sampling(self) -> Mapping[str, Any]:
        """How the images of this round are drawn, for protocols."""
        return self.sampler.protocol(weights=self.weights, batch_norm=self.batch_norm)

    def sample(
        self,
        num_images: int,
        *,
        stream: str,
        weights: Weights = "ema",
        batch_norm: BatchNormMode = "running",
    ) -> Tensor:
        """This worker's share of new images from any stream; see `GeneratorSampler`."""
        with torch.no_grad():
            return self.sampler.sample(num_images, stream=stream, weights=weights, batch_norm=batch_norm)

    def samples(self) -> Tensor:
        """This worker's share of the images that all evaluations of this round look at, uint8
        `[share, C, H, W]`. The shares of all workers have room for `num_samples` images."""
        piece = self._piece("samples")
        return self.shared.get(piece, (piece, self.stream), self._draw)

    def labels(self, num_samples: int) -> Tensor:
        """The classes that the first `num_samples` images of all workers were drawn for, int64."""
        if not isinstance(self.sampler, DrawsClasses) or self.num_classes < 2:
            raise UserError(
                "class_fd and cas need a conditional generator: these images were drawn for no class"
            )
        share = -(-self.num_samples // self.workers.world_size)
        own = self.sampler.labels(share * self.workers.world_size, stream=self.stream)
        return self.workers.all_gather(own)[:num_samples]

    def _draw(self) -> Tensor:
        assert self.num_samples > 0, "an evaluation that looks at samples has a key num_samples"
        share = -(-self.num_samples // self.workers.world_size)
        images = self.sample(
            share * self.workers.world_size,
            stream=self.stream,
            weights=self.weights,
            batch_norm=self.batch_norm,
        )
        assert images.shape == (share, *self.data.image_shape), images.shape
        assert images.dtype == torch.uint8, images.dtype
        return images

    def extracted(self, config: GeneratorEvaluation) -> Extracted:
        """The features and logits of `samples()` by the extractor that `config` names."""

        piece = self._piece(config.features)

        def compute() -> Extracted:
            extractor = open_extractor(config, self.data, self.workers.device)
            same = ("extracted", self.stream, extractor.name, extractor.weights_sha256)
            share = partial(extract_share, extractor, self.samples(), self.workers)
            return self.shared.get(piece, self._piece(same), share)

        return self.shared.get(piece, (self.stream, piece), compute)

    def logit(self, images: Tensor, labels: Tensor) -> Tensor:
        """The discriminator's logits `[N]`, higher for real, of any float images `[N, C, H, W]` in [-1, 1]
        with labels `[N]` int64, in eval mode, float32 and without gradients."""
        if self.discriminator is None:
            raise ValueError("this generator has no discriminator")
        with frozen(self.discriminator):
            logits: Tensor = self.discriminator(images, labels)
        return logits
