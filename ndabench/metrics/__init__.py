"""Measures of generated images (Fréchet and kernel distance, Inception Score), of encoders (kNN, linear
probes, detection transfer) and of video encoders (fine-tuning, linear probe, retrieval)."""

from ndabench.metrics.clip_features import ClipSampling
from ndabench.metrics.clip_linear_probe import ClipLinearProbeConfig
from ndabench.metrics.dpc_finetune import DpcFinetuneConfig
from ndabench.metrics.generative import (
    GENERATIVE,
    FrechetConfig,
    GenerativeEvaluation,
    InceptionScoreConfig,
    KernelConfig,
    evaluate_generator,
    prepare,
)
from ndabench.metrics.recognition import (
    RECOGNITION,
    RecognitionEvaluation,
    evaluate_recognition,
    prepare_recognition,
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
from ndabench.metrics.retrieval import RetrievalConfig

__all__ = [
    "GENERATIVE",
    "RECOGNITION",
    "REPRESENTATION",
    "ClipLinearProbeConfig",
    "ClipSampling",
    "DetectionConfig",
    "DpcFinetuneConfig",
    "Evaluated",
    "FrechetConfig",
    "GenerativeEvaluation",
    "InceptionScoreConfig",
    "KernelConfig",
    "KnnConfig",
    "LinearProbeLbfgsConfig",
    "LinearProbeSgdConfig",
    "RecognitionEvaluation",
    "RepresentationEvaluation",
    "RetrievalConfig",
    "evaluate_encoder",
    "evaluate_generator",
    "evaluate_recognition",
    "prepare",
    "prepare_recognition",
    "prepare_representation",
]
