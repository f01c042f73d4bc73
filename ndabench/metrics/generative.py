"""Names as they were imported before the registry, until every caller has moved."""

from collections.abc import Sequence

import torch

from ndabench.data.images import ImageData
from ndabench.metrics import evaluating
from ndabench.metrics.evaluation import Evaluation
from ndabench.metrics.generator_evaluations import FrechetConfig, InceptionScoreConfig
from ndabench.metrics.generator_evaluations import KidConfig as KernelConfig
from ndabench.metrics.registry import EvaluationConfig as GenerativeEvaluation
from ndabench.metrics.registry import evaluations_of

GENERATIVE = {name: entry.config for name, entry in evaluations_of("generator").items()}


def prepare(evaluations: Sequence[Evaluation], data: ImageData, *, device: torch.device) -> None:
    evaluating.prepare(evaluations, evaluating.Preparation(data, device))


__all__ = ["GENERATIVE", "FrechetConfig", "GenerativeEvaluation", "InceptionScoreConfig", "KernelConfig"]
