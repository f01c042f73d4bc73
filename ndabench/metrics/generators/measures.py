"""Measuring a generator: Fréchet distance, kernel distance and Inception Score of the images that it draws.

The images are drawn once and go through each extractor once, however many evaluations share them, and serve
for both splits. Where a trial has several workers, each draws and extracts its share; sums are all-reduced,
features gathered, and all workers end with equal values.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import Generator

from ndabench.data.images import ImageData
from ndabench.measurement import MeasuredSplit, Measurement
from ndabench.metrics.generators.config import (
    SHUFFLE_SEED,
    FrechetConfig,
    GeneratorEvaluation,
    InceptionScoreConfig,
    KidConfig,
)
from ndabench.metrics.generators.doubts import collapsed, require_finite, too_few
from ndabench.metrics.generators.extraction import Extracted, Reference, load_reference, open_extractor
from ndabench.metrics.generators.frechet import frechet_distance, frechet_distance_of_features, moments_of
from ndabench.metrics.generators.inception_score import inception_score
from ndabench.metrics.generators.kid import kernel_distance
from ndabench.metrics.generators.subject import DrawsImages, GeneratorSubject
from ndabench.metrics.results import Evaluated, by_name, merge
from ndabench.metrics.subjects import Preparation

LoadReference = Callable[[], Reference]
Compute = Callable[[Extracted, LoadReference, int], float]
"""The value of the drawn images, of which as many count as it is told."""
Doubts = Callable[[Extracted, LoadReference, int], list[str]]
"""Notes on what makes that value doubtful."""


def prepare_extractor(config: GeneratorEvaluation, preparation: Preparation) -> None:
    """Trains the data set's classifier where it is needed and not cached yet, or finds the weights."""
    open_extractor(config, preparation.data, preparation.device)


def measure_frechet(config: FrechetConfig, subject: DrawsImages, *, test: bool) -> Evaluated:
    """The Fréchet distance of generated images to real ones: `fid` with Inception-v3, else `fd_<extractor>`.

    Measures `val_<metric>` against the validation split and, with `test`, `<metric>` against the test split.
    `frechet.py` has the formula, `extraction.py` and `inception.py` the features, `extractor_registry.py` the
    name. `val_<metric>_live` is the same of the weights in training, if `config` asks for it.
    """

    def distance(drawn: Extracted, reference: LoadReference, count: int) -> float:
        frechet = reference().frechet
        if count < drawn.features.shape[1]:
            return frechet_distance_of_features(frechet, drawn.all_features(count))
        moments = moments_of(drawn.own_features(count))
        moments.all_reduce(drawn.workers)
        return frechet_distance(frechet, moments.gaussian("generated images"))

    def few(drawn: Extracted, reference: LoadReference, count: int) -> list[str]:
        real, dimension = reference().features.shape
        return [
            *too_few(config.metric, count, "generated images", dimension),
            *too_few(config.metric, real, "real images", dimension),
        ]

    found = _measure_splits(config, subject, distance, few, test=test)
    source = subject.of_split("validation")
    if not (config.live and source.averaged):
        return found
    live = _measured(config, source.live(), distance, "validation", config.live_metric)
    return merge([found, Evaluated(by_name([live]))])


def measure_kid(config: KidConfig, subject: DrawsImages, *, test: bool) -> Evaluated:
    """The kernel distance of generated images to real ones: `kid` with Inception-v3, else `kid_<extractor>`.

    Measures `val_<metric>` against the validation split and, with `test`, `<metric>` against the test split.
    """

    def distance(drawn: Extracted, reference: LoadReference, count: int) -> float:
        features = drawn.all_features(count)
        require_finite(features, "generated images")
        mean, _ = kernel_distance(
            reference().features,
            features,
            num_subsets=config.num_subsets,
            subset_size=config.subset_size,
            generator=Generator().manual_seed(SHUFFLE_SEED),
        )
        return mean

    return _measure_splits(config, subject, distance, test=test)


def measure_inception_score(config: InceptionScoreConfig, subject: DrawsImages, *, test: bool) -> Evaluated:
    """The Inception Score as `val_<metric>` and, with `test`, also as `<metric>`.

    Both are the same number, since the score uses no real images.
    """

    def score(drawn: Extracted, reference: LoadReference, count: int) -> float:
        logits = drawn.all_logits(count)
        require_finite(logits, "generated images")
        mean, _ = inception_score(
            logits,
            num_splits=config.num_splits,
            generator=Generator().manual_seed(SHUFFLE_SEED),
        )
        return mean

    return _measure_splits(config, subject, score, test=test)


def _measure_splits(
    config: GeneratorEvaluation,
    subject: DrawsImages,
    compute: Compute,
    doubts: Doubts = lambda *_: [],
    *,
    test: bool,
) -> Evaluated:
    """The results of `compute` for the drawn images and each split's reference, with notes: where all images
    are alike, and what `doubts` finds."""
    splits: tuple[MeasuredSplit, ...] = ("validation", "test") if test else ("validation",)
    measurements, notes = [], []
    for split in splits:
        source = subject.of_split(split)
        measurements.append(_measured(config, source, compute, split, config.metric))
        drawn, count = source.extracted(config), min(config.num_samples, source.num_samples)
        reference = partial(load_reference, source.data, split, drawn.extractor, source.workers.device)
        notes += [collapsed(config.metric, count)] if drawn.all_equal(count) else []
        notes += doubts(drawn, reference, count)
    return Evaluated(by_name(measurements), notes=tuple(dict.fromkeys(notes)))


def _measured(
    config: GeneratorEvaluation, source: GeneratorSubject, compute: Compute, split: MeasuredSplit, metric: str
) -> Measurement:
    """The result of `compute` for the images of `source` and the reference of `split`, called `metric`."""
    data, drawn = source.data, source.extracted(config)
    counted = config.model_copy(update={"num_samples": min(config.num_samples, source.num_samples)})
    start = source.shared.clock()
    reference = partial(load_reference, data, split, drawn.extractor, source.workers.device)
    value = compute(drawn, reference, counted.num_samples)
    return Measurement(
        value,
        better=config.better,
        protocol={"metric": metric, **measurement_protocol(counted, drawn, data, split), **source.sampling},
        seconds=source.shared.clock() - start,
        kind="metric",
        metric=metric,
        split=split,
    )


def measurement_protocol(
    config: GeneratorEvaluation, drawn: Extracted, data: ImageData, split: MeasuredSplit
) -> dict[str, Any]:
    """How the images of a measurement were compared, without how they were drawn."""
    compared = {"reference_split": split, "reference_size": len(getattr(data, split))}
    return {
        "num_samples": config.num_samples,
        "data": data.name,
        "data_hash": data.content_hash,
        **(compared if config.uses_reference else {"reference_split": None, "reference_size": None}),
        **drawn.extractor.protocol,
        "quantisation": "uint8, rounded",
        **config.settings,
    }
