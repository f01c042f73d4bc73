"""Measures of generated images (Fréchet and kernel distance, Inception Score) and of encoders (kNN, linear
probes, detection transfer)."""

from ndabench.metrics.generative import (
    GENERATIVE,
    FrechetConfig,
    GenerativeEvaluation,
    InceptionScoreConfig,
    KernelConfig,
    evaluate_generator,
    prepare,
)
from ndabench.metrics.representation import (
    REPRESENTATION,
    DetectionConfig,
    Evaluated,
    KnnConfig,
    LinearProbeLbfgsConfig,
    LinearProbeSgdConfig,
    RepresentationEvaluation,
    evaluate_encoder,
    prepare_representation,
)

__all__ = [
    "GENERATIVE",
    "REPRESENTATION",
    "DetectionConfig",
    "Evaluated",
    "FrechetConfig",
    "GenerativeEvaluation",
    "InceptionScoreConfig",
    "KernelConfig",
    "KnnConfig",
    "LinearProbeLbfgsConfig",
    "LinearProbeSgdConfig",
    "RepresentationEvaluation",
    "evaluate_encoder",
    "evaluate_generator",
    "prepare",
    "prepare_representation",
]
