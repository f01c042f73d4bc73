"""Measures of generated images: Fréchet distance, kernel distance, Inception Score."""

from ndabench.metrics.generative import (
    GENERATIVE,
    FrechetConfig,
    GenerativeEvaluation,
    InceptionScoreConfig,
    KernelConfig,
    evaluate_generator,
    prepare,
)

__all__ = [
    "GENERATIVE",
    "FrechetConfig",
    "GenerativeEvaluation",
    "InceptionScoreConfig",
    "KernelConfig",
    "evaluate_generator",
    "prepare",
]
