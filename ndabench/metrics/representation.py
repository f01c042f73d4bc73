"""Measuring a frozen encoder, as a sweep file's `evaluate` list says.

Every evaluation gives `val_<metric>` from the validation images, and when it comes to the test also
`<metric>` from the test images; `probing.py` says which images a probe learns from. The encoder is afterwards
what it was before, bit for bit. Features are extracted once, however many evaluations look at them; where a
trial has several workers they share the work, and all end with the same values.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn

from ndabench.data.config import SplitName
from ndabench.data.images import ImageData
from ndabench.distributed import Workers
from ndabench.metrics.detection import DetectionConfig, evaluate_detection, prepare_detection
from ndabench.metrics.features import Encoded, backbone_features
from ndabench.metrics.knn import KnnConfig, measure_knn
from ndabench.metrics.linear_probe import LinearProbeLbfgsConfig, measure_linear_probe_lbfgs
from ndabench.metrics.linear_probe_sgd import LinearProbeSgdConfig, measure_linear_probe_sgd
from ndabench.metrics.probing import Evaluated, evaluate_all

RepresentationEvaluation = Annotated[
    KnnConfig | LinearProbeLbfgsConfig | LinearProbeSgdConfig | DetectionConfig, Field(discriminator="name")
]

OF_STORED_FEATURES = (KnnConfig, LinearProbeLbfgsConfig)
"""Those that look at the features of the images as they are stored, and can share them."""


def prepare_representation(
    evaluations: Sequence[RepresentationEvaluation],
    data: ImageData,
    *,
    device: torch.device,
    num_workers: int = 1,
) -> None:
    """Sees to everything that could stop a measurement later, before any training.

    Raises `UserError` for one that the data or the number of workers do not allow. `device` is where the
    encoder will be.
    """
    for evaluation in evaluations:
        if isinstance(evaluation, DetectionConfig):
            prepare_detection(evaluation, data.image_shape[0], num_workers=num_workers)
        else:
            evaluation.check(data)


def evaluate_encoder(
    evaluations: Sequence[RepresentationEvaluation],
    encoder: nn.Module,
    data: ImageData,
    *,
    test: bool,
    seed: int,
    workers: Workers,
) -> Evaluated:
    """What every evaluation measures; the values are alike on every worker, sheets on the main one only.

    `encoder` maps images in [-1, 1] to features, on the workers' device (see `features.py`). `test` allows
    the test images to be looked at. Seconds include an equal part of the extraction that evaluations share.
    """

    def extract(split: SplitName) -> Tensor:
        return backbone_features(encoder, getattr(data, split), workers)

    def measure(evaluation: RepresentationEvaluation, features: Mapping[SplitName, Tensor]) -> Evaluated:
        encoded = Encoded(encoder, data, features, workers)
        return _MEASURES[type(evaluation)](evaluation, encoded, test=test, seed=seed)

    return evaluate_all(evaluations, OF_STORED_FEATURES, extract=extract, measure=measure, test=test)


def _measure_detection(config: DetectionConfig, encoded: Encoded, *, test: bool, seed: int) -> Evaluated:
    return Evaluated(
        *evaluate_detection(config, encoded.encoder, test=test, seed=seed, workers=encoded.workers)
    )


_MEASURES: dict[type, Callable[..., Evaluated]] = {
    KnnConfig: measure_knn,
    LinearProbeLbfgsConfig: measure_linear_probe_lbfgs,
    LinearProbeSgdConfig: measure_linear_probe_sgd,
    DetectionConfig: _measure_detection,
}

REPRESENTATION: dict[str, type[Any]] = {
    "knn": KnnConfig,
    "linear_probe_lbfgs": LinearProbeLbfgsConfig,
    "linear_probe_sgd": LinearProbeSgdConfig,
    "detection": DetectionConfig,
}
