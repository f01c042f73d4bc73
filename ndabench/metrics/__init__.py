"""Measures of generated images, of image encoders and of clip encoders; `registry.py` lists them."""

from importlib import import_module
from typing import Any

_MOVED = {
    "GenerativeEvaluation": "generative",
    "GENERATIVE": "generative",
    "FrechetConfig": "generative",
    "KernelConfig": "generative",
    "InceptionScoreConfig": "generative",
    "prepare": "generative",
    "RepresentationEvaluation": "representation",
    "REPRESENTATION": "representation",
    "KnnConfig": "representation",
    "LinearProbeLbfgsConfig": "representation",
    "LinearProbeSgdConfig": "representation",
    "DetectionConfig": "representation",
    "evaluate_encoder": "representation",
    "prepare_representation": "representation",
    "RecognitionEvaluation": "recognition",
    "RECOGNITION": "recognition",
    "DpcFinetuneConfig": "recognition",
    "ClipLinearProbeConfig": "recognition",
    "RetrievalConfig": "recognition",
    "ClipSampling": "recognition",
    "evaluate_recognition": "recognition",
    "prepare_recognition": "recognition",
    "Evaluated": "evaluating",
}


def __getattr__(name: str) -> Any:
    """Names as they were imported before the registry, until every caller has moved."""
    if name not in _MOVED:
        raise AttributeError(name)
    return getattr(import_module(f"ndabench.metrics.{_MOVED[name]}"), name)
