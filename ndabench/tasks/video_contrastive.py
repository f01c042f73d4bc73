"""Contrastive learning on clips with negative data augmentation (Sinha et al., ICLR 2021, arXiv 2102.05113).

DPC, MoCo-v2 or SimCLR over a clip encoder. The losses, the pairs of views and the training loop are those of
the image task; what is its own is how clips are drawn from videos and what they are measured by.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ndabench.augmentations.compose import Augmentation
from ndabench.data.videos.clips import ClipData, ClipRequest
from ndabench.data.videos.sampling import global_clips, random_clips
from ndabench.distributed import Workers
from ndabench.metrics import RecognitionEvaluation, evaluate_recognition
from ndabench.metrics.probing import Evaluated
from ndabench.models.clip_encoders import ClipEncoder
from ndabench.models.dpc import DpcFeatures
from ndabench.models.weights import export_encoder
from ndabench.tasks.clip_encoders import build_clip_encoder
from ndabench.tasks.contrastive import (
    Augmented,
    ContrastiveTask,
    Method,
    Streams,
    check_batch,
    random_streams,
)
from ndabench.tasks.contrastive_methods import build_method
from ndabench.tasks.contrastive_views import ViewPairs, view_pairs
from ndabench.tasks.dpc import DpcConfig, DpcMethod, DpcViews, build_dpc
from ndabench.tasks.random_streams import random_stream, stream_seed
from ndabench.tasks.video_contrastive_config import VideoContrastiveConfig

SHOWN = 4
"""Clips on a sheet."""


def video_contrastive_task(
    config: VideoContrastiveConfig,
    data: ClipData,
    *,
    negative: Augmentation | None = None,
    positive: Augmentation | None = None,
    lambda_: float = 0.0,
    seed: int = 0,
    evaluations: Sequence[RecognitionEvaluation] = (),
    workers: Workers | None = None,
) -> ContrastiveTask:
    """The training at its step 0.

    `negative` is T, `positive` changes every view, `lambda_` is λ in [0, ∞). At λ = 0 a negative has no
    weight and is not even drawn: the training is the plain one, bit for bit. Raises `UserError` for what does
    not fit together, and for clips that the memory cannot hold.
    """
    workers = workers or Workers()
    augmented = Augmented.of(negative, positive, lambda_, seed)
    check_batch(config, len(data.train), "videos", workers)
    config.sampling.check(data)
    if config.num_steps > 0:
        data.train.require_room(config.batch_size // workers.world_size, config.clip_frames)
    encoder = build_clip_encoder(
        config.encoder,
        config.shown_shape(data.frame_shape),
        batch_norm_splits=config.method.batch_norm_splits,
        generator=random_stream(seed, "encoder"),
        workers=workers,
        channels_last=config.channels_last,
    )
    streams = random_streams(seed, workers.device)
    learning = _dpc if isinstance(config.method, DpcConfig) else _pairs
    method, views, features, exported = learning(config, encoder, augmented, streams, workers)
    return ContrastiveTask(
        config,
        VideoMaterial(config, data, views, features, exported, seed, workers),
        method,
        _optimizer(config, method.network),
        augmented=augmented,
        streams=streams,
        evaluations=evaluations,
        workers=workers,
    )


Learning = tuple[Method, ViewPairs | DpcViews, nn.Module, Mapping[str, nn.Module]]
"""How a step learns, what it looks at, the features that are measured, and what is exported."""


def _dpc(
    config: VideoContrastiveConfig,
    encoder: ClipEncoder,
    augmented: Augmented,
    streams: Streams,
    workers: Workers,
) -> Learning:
    method = config.method
    assert isinstance(method, DpcConfig)
    network = build_dpc(method, encoder.body, random_stream(augmented.seed, "predictor"), workers)
    views = DpcViews(
        config.views.clip_views(),
        augmented.negative,
        augmented.positive,
        num_nda_keys=config.num_nda_keys,
        num_blocks=method.num_blocks,
        num_predicted=method.num_predicted,
        workers=workers,
    )
    learning = DpcMethod(
        method,
        network,
        nda_weight=augmented.lambda_,
        nda_scale=config.nda_scale,
        bf16=config.precision == "bf16",
        dropout=streams["dropout"],
        workers=workers,
    )
    # DPC is measured on more than its encoder, which alone is what other methods and programs can start from.
    exported = {"encoder.pt": encoder.body, "dpc.pt": network}
    return learning, views, DpcFeatures(network, method.num_blocks), exported


def _pairs(
    config: VideoContrastiveConfig,
    encoder: ClipEncoder,
    augmented: Augmented,
    streams: Streams,
    workers: Workers,
) -> Learning:
    assert not isinstance(config.method, DpcConfig)
    views = view_pairs(config.views.clip_views(), config, config.method, augmented, workers)
    lambda_, seed = augmented.lambda_, augmented.seed
    method = build_method(config, config.method, encoder, lambda_=lambda_, seed=seed, workers=workers)
    return method, views, encoder, {"encoder.pt": encoder.body}


def _optimizer(config: VideoContrastiveConfig, network: nn.Module) -> torch.optim.Optimizer:
    parameters, rate, decay = network.parameters(), config.learning_rate, config.weight_decay
    if config.optimizer == "adam":
        return torch.optim.Adam(parameters, rate, weight_decay=decay)
    return torch.optim.SGD(parameters, rate, config.momentum, weight_decay=decay)


@dataclass(frozen=True)
class VideoMaterial:
    """Videos, what a step sees of them, and an encoder that is measured; see `Material`."""

    config: VideoContrastiveConfig
    data: ClipData
    views: ViewPairs | DpcViews
    features: nn.Module
    """What evaluations see: clips to vectors."""
    exported: Mapping[str, nn.Module]
    """What is left of the training, by file name."""
    seed: int
    workers: Workers

    @property
    def content_hash(self) -> str:
        return self.data.content_hash

    def batches(self, start: int) -> Iterator[Tensor]:
        config, split = self.config, self.data.train
        requests = random_clips(
            split,
            config.batch_size,
            frames=config.clip_frames,
            stride=config.frame_stride,
            seed=stream_seed(self.seed, "data order"),
            start=start,
        )
        return (clips for clips, _ in global_clips(split, requests, self.workers))

    def inputs(self, batch: Tensor, streams: Streams) -> Any:
        return self.views.inputs(batch, streams)

    def example(self) -> Tensor:
        config = self.config
        channels, height, width = self.data.frame_shape
        sides = (config.views.size or height, config.views.size or width)
        size = config.batch_size // self.workers.world_size
        return torch.zeros(size, channels, config.clip_frames, *sides, device=self.workers.device)

    def evaluate(self, evaluations: Sequence[RecognitionEvaluation], *, test: bool) -> Evaluated:
        return evaluate_recognition(
            evaluations,
            self.features,
            self.data,
            self.config.sampling,
            test=test,
            seed=self.seed,
            workers=self.workers,
        )

    def sheets(self) -> dict[str, bytes]:
        config, split = self.config, self.data.train
        videos = range(0, len(split), max(1, len(split) // SHOWN))[:SHOWN]
        requests = [ClipRequest(video, 0, config.clip_frames, config.frame_stride) for video in videos]
        clips, _ = next(iter(split.clips([requests])))
        return self.views.sheets(clips, random_streams(self.seed, self.workers.device, " sheet"))

    def exports(self) -> dict[str, bytes]:
        return {name: export_encoder(network) for name, network in self.exported.items()}
