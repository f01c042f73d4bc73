"""Names as they were imported before the registry, until every caller has moved."""

from collections.abc import Sequence

import torch
from torch import nn

from ndabench.data.videos.clips import ClipData
from ndabench.distributed import Workers
from ndabench.metrics import evaluating
from ndabench.metrics.clip_encoder_evaluations import (
    ClipLinearProbeConfig,
    ClipSampling,
    DpcFinetuneConfig,
    RetrievalConfig,
)
from ndabench.metrics.evaluation import Evaluation
from ndabench.metrics.registry import EvaluationConfig as RecognitionEvaluation
from ndabench.metrics.registry import evaluations_of
from ndabench.metrics.subjects import ClipEncoderSubject

RECOGNITION = {name: entry.config for name, entry in evaluations_of("clip_encoder").items()}


def prepare_recognition(
    evaluations: Sequence[Evaluation],
    data: ClipData,
    *,
    device: torch.device,
    num_workers: int = 1,
    sampling: ClipSampling | None = None,
) -> None:
    evaluating.prepare(evaluations, evaluating.Preparation(data, device, num_workers, sampling))


def evaluate_recognition(
    evaluations: Sequence[Evaluation],
    features: nn.Module,
    data: ClipData,
    sampling: ClipSampling,
    *,
    test: bool,
    seed: int,
    workers: Workers,
) -> evaluating.Evaluated:
    subject = ClipEncoderSubject(features, data, sampling, seed, workers)
    return evaluating.evaluate_all(evaluations, subject, test=test)


__all__ = [
    "RECOGNITION",
    "ClipLinearProbeConfig",
    "DpcFinetuneConfig",
    "RecognitionEvaluation",
    "RetrievalConfig",
]
