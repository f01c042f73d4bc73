"""Names as they were imported before the registry, until every caller has moved."""

from collections.abc import Sequence

import torch
from torch import nn

from ndabench.data.images import ImageData
from ndabench.distributed import Workers
from ndabench.metrics import evaluating
from ndabench.metrics.evaluation import Evaluation
from ndabench.metrics.image_encoder_evaluations import (
    DetectionConfig,
    KnnConfig,
    LinearProbeLbfgsConfig,
    LinearProbeSgdConfig,
)
from ndabench.metrics.registry import EvaluationConfig as RepresentationEvaluation
from ndabench.metrics.registry import evaluations_of
from ndabench.metrics.subjects import ImageEncoderSubject

REPRESENTATION = {name: entry.config for name, entry in evaluations_of("image_encoder").items()}


def prepare_representation(
    evaluations: Sequence[Evaluation], data: ImageData, *, device: torch.device, num_workers: int = 1
) -> None:
    evaluating.prepare(evaluations, evaluating.Preparation(data, device, num_workers))


def evaluate_encoder(
    evaluations: Sequence[Evaluation],
    encoder: nn.Module,
    data: ImageData,
    *,
    test: bool,
    seed: int,
    workers: Workers,
) -> evaluating.Evaluated:
    subject = ImageEncoderSubject(encoder, data, seed, workers)
    return evaluating.evaluate_all(evaluations, subject, test=test)


__all__ = [
    "REPRESENTATION",
    "DetectionConfig",
    "KnnConfig",
    "LinearProbeLbfgsConfig",
    "LinearProbeSgdConfig",
    "RepresentationEvaluation",
]
