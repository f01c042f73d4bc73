"""What evaluations look at: a generator with its discriminator, an image encoder, or a clip encoder.

A task builds a subject for one round of evaluations and hands it to `evaluate`. Samples and features are
computed once for each subject, extractor, split and data set, and shared by the evaluations of the round.
Evaluations leave the networks as they were, bit for bit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, ClassVar, Literal, Protocol

import torch
from torch import Tensor, nn

from ndabench.data.config import SplitName
from ndabench.data.images import ImageData
from ndabench.data.registry import VideoDataConfig, load_data
from ndabench.data.videos.clips import ClipData
from ndabench.distributed import Workers
from ndabench.metrics.clip_encoder_evaluations import ClipEncoderEvaluation, ClipSampling, windows_of
from ndabench.metrics.clip_features import Windows, concat_windows, window_values
from ndabench.metrics.evaluating import SharedWork
from ndabench.metrics.evaluation import Evaluation
from ndabench.metrics.extraction import Extracted, extract_share, open_extractor
from ndabench.metrics.features import Examples, backbone_features, frozen
from ndabench.metrics.generator_evaluations import GeneratorEvaluation
from ndabench.metrics.image_encoder_evaluations import STORED_FEATURES
from ndabench.metrics.registry import CLIP_ENCODER, GENERATOR, IMAGE_ENCODER

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
    workers: Workers = field(default_factory=Workers)
    shared: SharedWork = field(default_factory=SharedWork)
    num_samples: int = 0
    """The largest `num_samples` of the evaluations of the round."""

    def plan(self, evaluations: Sequence[Evaluation]) -> None:
        self.num_samples = max((getattr(one, "num_samples", 0) for one in evaluations), default=0)

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
        return self.shared.get("samples", "samples", self._draw)

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

        def compute() -> Extracted:
            extractor = open_extractor(config, self.data, self.workers.device)
            same = ("extracted", extractor.name, extractor.weights_sha256)
            share = partial(extract_share, extractor, self.samples(), self.workers)
            return self.shared.get(config.features, same, share)

        return self.shared.get(config.features, config.features, compute)

    def logit(self, images: Tensor, labels: Tensor) -> Tensor:
        """The discriminator's logits `[N]`, higher for real, of any float images `[N, C, H, W]` in [-1, 1]
        with labels `[N]` int64, in eval mode, float32 and without gradients."""
        if self.discriminator is None:
            raise ValueError("this generator has no discriminator")
        with frozen(self.discriminator):
            logits: Tensor = self.discriminator(images, labels)
        return logits


@dataclass
class ImageEncoderSubject:
    """A frozen encoder, and the data set whose images it is measured on."""

    kind: ClassVar[str] = IMAGE_ENCODER

    encoder: nn.Module
    """Float images in [-1, 1], `[N, C, H, W]`, to `[N, d]`; it has `dimension` d. See `features.py`."""
    data: ImageData
    seed: int
    workers: Workers = field(default_factory=Workers)
    shared: SharedWork = field(default_factory=SharedWork)

    def plan(self, evaluations: Sequence[Evaluation]) -> None:
        """Nothing to plan."""

    def features(self, split: SplitName) -> Tensor:
        """float32 `[len(split), d]` of the images as they are stored, on the workers' device."""
        extract = partial(backbone_features, self.encoder, getattr(self.data, split), self.workers)
        return self.shared.get(STORED_FEATURES, split, extract)

    def examples(self, *splits: SplitName) -> Examples:
        """The features and labels of `splits`, concatenated."""
        features = torch.cat([self.features(split) for split in splits])
        labels = torch.cat([getattr(self.data, split).labels for split in splits])
        return Examples(features, labels.to(self.workers.device))


@dataclass
class ClipEncoderSubject:
    """A frozen clip encoder, and the data set whose videos it is measured on."""

    kind: ClassVar[str] = CLIP_ENCODER

    encoder: nn.Module
    """Float clips in [-1, 1], `[N, C, T, S, S]`, to `[N, d]`; see `clip_features.py`."""
    data: ClipData
    sampling: ClipSampling
    """How the encoder sees videos."""
    seed: int
    workers: Workers = field(default_factory=Workers)
    shared: SharedWork = field(default_factory=SharedWork)
    data_config: VideoDataConfig | None = None
    """Where `data` is not what the encoder was trained on, its configuration."""

    def plan(self, evaluations: Sequence[Evaluation]) -> None:
        """Nothing to plan."""

    def on_data_of(self, config: ClipEncoderEvaluation) -> "ClipEncoderSubject":
        """The same encoder on the data set that `config` measures on; `UserError` where it does not fit."""
        data, other = self.data, config.data
        if other is not None:
            key = ("data set", other)
            data = self.shared.get("data sets", key, lambda: load_data(other, self.workers.device))
        self.sampling.check(data)
        return replace(self, data=data, data_config=config.data)

    def windows(self, *splits: SplitName) -> Windows:
        """The features of the windows of all videos of `splits`, concatenated."""
        return concat_windows([self._windows(split) for split in splits])

    def _windows(self, split: SplitName) -> Windows:
        piece = windows_of(self.data_config)
        extract = partial(window_values, self.encoder, getattr(self.data, split), self.sampling, self.workers)
        return self.shared.get(piece, (self.data.content_hash, split), extract)
