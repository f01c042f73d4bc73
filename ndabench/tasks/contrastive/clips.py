"""Contrastive learning on clips: clips drawn from videos, a clip encoder, and its evaluations."""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from ndabench.data.videos.clips import ClipData, ClipRequest
from ndabench.data.videos.sampling import global_clips, random_clips
from ndabench.metrics.clip_encoders.subject import ClipEncoderSubject
from ndabench.models.clip_encoders import ClipEncoder
from ndabench.random_streams import stream_seed
from ndabench.tasks.contrastive.build_encoders import build_encoder
from ndabench.tasks.contrastive.config import VideoContrastiveConfig
from ndabench.tasks.contrastive.task import ContrastiveTask
from ndabench.tasks.exports import Exported, exported_encoder
from ndabench.tasks.setup import TrialSetup, check_batch

SHOWN = 4
"""Clips on a sheet."""


def video_contrastive(setup: TrialSetup) -> ContrastiveTask:
    """The task at step 0; `UserError` for settings that do not fit together or clips too large for memory."""
    config, data, workers = setup.config, setup.data, setup.workers
    check_batch(setup, "videos")
    config.sampling.check(data)
    if config.num_steps > 0:
        data.train.require_room(config.batch_size // workers.world_size, config.clip_frames)
    return ContrastiveTask(setup, Clips(setup))


class Clips:
    """Clips of videos and an encoder of them; see `Source`."""

    def __init__(self, setup: TrialSetup) -> None:
        self.setup, self.workers = setup, setup.workers
        self.config: VideoContrastiveConfig = setup.config
        self.data: ClipData = setup.data
        self.encoder = build_encoder(
            self.config.encoder,
            self.config.shown_shape(self.data.frame_shape),
            batch_norm_splits=self.config.method.batch_norm_splits,
            generator=setup.stream("encoder"),
            workers=setup.workers,
            channels_last=self.config.channels_last,
        )

    def batches(self, start: int) -> Iterator[Tensor]:
        config, split = self.config, self.data.train
        requests = random_clips(
            split,
            config.batch_size,
            frames=config.clip_frames,
            stride=config.frame_stride,
            seed=stream_seed(self.setup.seed, "data order"),
            start=start,
        )
        return (clips for clips, _ in global_clips(split, requests, self.workers))

    def example(self) -> Tensor:
        config = self.config
        channels, height, width = self.data.frame_shape
        sides = (config.views.size or height, config.views.size or width)
        size = config.batch_size // self.workers.world_size
        return torch.zeros(size, channels, config.clip_frames, *sides, device=self.workers.device)

    def shown(self) -> Tensor:
        config, split = self.config, self.data.train
        videos = range(0, len(split), max(1, len(split) // SHOWN))[:SHOWN]
        requests = [ClipRequest(video, 0, config.clip_frames, config.frame_stride) for video in videos]
        clips, _ = next(iter(split.clips([requests])))
        return clips

    def subject(self, features: nn.Module) -> ClipEncoderSubject:
        return ClipEncoderSubject(
            features, self.data, self.config.sampling, seed=self.setup.seed, workers=self.workers
        )

    def exported(self, features: nn.Module) -> Exported:
        return exported_encoder(
            features, "clips", self.config.sampling.shape(self.data), self.config.sampling.protocol(self.data)
        )

    def exports(self) -> Mapping[str, nn.Module]:
        body = self.encoder.body if isinstance(self.encoder, ClipEncoder) else self.encoder
        return {"encoder.pt": body}
