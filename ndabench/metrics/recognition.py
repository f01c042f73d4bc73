"""Measuring a features module by action recognition, as a sweep file's `evaluate` list says.

Every evaluation gives `val_<metric>` from the validation videos, which are held out of the training list, and
when it comes to the test also `<metric>` from the test videos. The features module is afterwards what it was
before, bit for bit. Features are extracted once a data set, however many evaluations look at them; where a
trial has several workers they share the work, and all end with the same values.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import nn

from ndabench.data.config import SplitName
from ndabench.data.registry import VideoDataConfig, load_data
from ndabench.data.videos.clips import ClipData
from ndabench.distributed import Workers
from ndabench.metrics.clip_features import ClipSampling, EncodedVideos, Windows, window_values
from ndabench.metrics.clip_finetuning import measure_dpc_finetune
from ndabench.metrics.clip_linear_probe import ClipLinearProbeConfig, measure_clip_linear_probe
from ndabench.metrics.dpc_finetune import DpcFinetuneConfig
from ndabench.metrics.probing import Evaluated, evaluate_all, together
from ndabench.metrics.retrieval import RetrievalConfig, measure_retrieval

RecognitionEvaluation = Annotated[
    DpcFinetuneConfig | ClipLinearProbeConfig | RetrievalConfig, Field(discriminator="name")
]

OF_FROZEN_FEATURES = (ClipLinearProbeConfig, RetrievalConfig)
"""Those that look at the features of the frozen module, and can share them."""


def prepare_recognition(
    evaluations: Sequence[RecognitionEvaluation],
    data: ClipData,
    *,
    device: torch.device,
    num_workers: int = 1,
    sampling: ClipSampling | None = None,
) -> None:
    """Sees to everything that could stop a measurement later, before any training.

    Raises `UserError` for one that its data, the number of workers, the device or (where it is given) the
    sampling do not allow. A data set of an evaluation's own is scanned here.
    """
    sets = _data_sets(evaluations, data, device)
    for evaluation in evaluations:
        measured_on = sets[evaluation.data]
        evaluation.check(measured_on)
        if sampling is not None:
            sampling.check(measured_on)
        if isinstance(evaluation, DpcFinetuneConfig):
            frames = sampling.frames if sampling is not None else None
            evaluation.check_training(measured_on, frames=frames, device=device, num_workers=num_workers)


def evaluate_recognition(
    evaluations: Sequence[RecognitionEvaluation],
    features: nn.Module,
    data: ClipData,
    sampling: ClipSampling,
    *,
    test: bool,
    seed: int,
    workers: Workers,
) -> Evaluated:
    """What every evaluation measures; the values are alike on every worker, files on the main one only.

    `features` maps clips, cut as `sampling` says, to features, on the workers' device (see
    `clip_features.py`). `data` is what evaluations without a data set of their own are measured on. `test`
    allows the test videos to be looked at. Seconds include an equal part of the extraction that evaluations
    share.
    """
    sets = _data_sets(evaluations, data, workers.device)
    of_sets: dict[str, list[RecognitionEvaluation]] = {}
    for evaluation in evaluations:
        of_sets.setdefault(sets[evaluation.data].content_hash, []).append(evaluation)
    parts = [
        _evaluate_on(sets[own[0].data], own, features, sampling, test=test, seed=seed, workers=workers)
        for own in of_sets.values()
    ]
    return together(parts)


def _data_sets(
    evaluations: Iterable[RecognitionEvaluation], data: ClipData, device: torch.device
) -> Mapping[VideoDataConfig | None, ClipData]:
    """What each `data` of an evaluation stands for."""
    sets: dict[VideoDataConfig | None, ClipData] = {None: data}
    for config in (evaluation.data for evaluation in evaluations):
        if config is not None and config not in sets:
            sets[config] = load_data(config, device)
    return sets


def _evaluate_on(
    data: ClipData,
    evaluations: Sequence[RecognitionEvaluation],
    features: nn.Module,
    sampling: ClipSampling,
    *,
    test: bool,
    seed: int,
    workers: Workers,
) -> Evaluated:
    """What the `evaluations` of one data set measure."""
    sampling.check(data)

    def extract(split: SplitName) -> Windows:
        return window_values(features, getattr(data, split), sampling, workers)

    def measure(evaluation: RecognitionEvaluation, windows: Mapping[SplitName, Windows]) -> Evaluated:
        encoded = EncodedVideos(features, data, sampling, windows, workers)
        return _MEASURES[type(evaluation)](evaluation, encoded, test=test, seed=seed)

    return evaluate_all(evaluations, OF_FROZEN_FEATURES, extract=extract, measure=measure, test=test)


_MEASURES: dict[type, Callable[..., Evaluated]] = {
    DpcFinetuneConfig: measure_dpc_finetune,
    ClipLinearProbeConfig: measure_clip_linear_probe,
    RetrievalConfig: measure_retrieval,
}

RECOGNITION: dict[str, type[Any]] = {
    "dpc_finetune": DpcFinetuneConfig,
    "linear_probe": ClipLinearProbeConfig,
    "retrieval": RetrievalConfig,
}
