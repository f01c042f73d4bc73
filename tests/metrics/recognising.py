"""What tests of action recognition measure with, on moving digits in memory."""

from typing import Any

import torch

from ndabench.config import parse
from ndabench.data.registry import VideoDataConfig
from ndabench.data.videos.clip_sampling import ClipSampling
from ndabench.data.videos.clips import ClipData
from ndabench.distributed import Workers
from ndabench.metrics.clip_encoders.subject import ClipEncoderSubject
from ndabench.metrics.results import Evaluated
from tests.metrics.measuring import evaluate_all
from tests.metrics.toy_features import ToyFeatures

CPU = torch.device("cpu")
SAMPLING = ClipSampling(frames=6, stride=2, size=16)


def digits(**keys: object) -> VideoDataConfig:
    """128 training, 16 validation and 56 test videos of 20 frames of 16×16 pixels."""
    keys = {"name": "moving_digits", "frame_size": 16, "video_frames": 20, "clips_per_group": 1, **keys}
    return parse(VideoDataConfig, keys, "data")


def evaluate(
    data: ClipData,
    evaluations: Any,
    features: Any = None,
    *,
    test: bool = True,
    workers: Workers | None = None,
) -> Evaluated:
    subject = ClipEncoderSubject(
        features or ToyFeatures(), data, SAMPLING, seed=0, workers=workers or Workers()
    )
    return evaluate_all(evaluations, subject, test=test)


def values(evaluated: Evaluated) -> dict[str, float]:
    return {name: measurement.value for name, measurement in evaluated.measurements.items()}
