"""The measures of `feature_config.py`, of a generator and of any two sets of features.

`compare` takes plain arrays of features, so that images from elsewhere are measured by the same code.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from torch import Generator, Tensor

from ndabench.errors import UserError
from ndabench.measurement import MeasuredSplit, Measurement
from ndabench.metrics.generators.cmmd import cmmd
from ndabench.metrics.generators.conditional import class_frechet, classification_accuracy_score
from ndabench.metrics.generators.config import SHUFFLE_SEED
from ndabench.metrics.generators.doubts import collapsed, require_finite, too_few
from ndabench.metrics.generators.extraction import load_reference
from ndabench.metrics.generators.fd_infinity import fd_infinity
from ndabench.metrics.generators.feature_config import (
    CasConfig,
    ClassFdConfig,
    CmmdConfig,
    DensityCoverageConfig,
    FdInfinityConfig,
    FeatureMeasure,
    MemorizationConfig,
    PrecisionRecallConfig,
)
from ndabench.metrics.generators.frechet import FrechetReference
from ndabench.metrics.generators.manifolds import density_coverage, precision_recall
from ndabench.metrics.generators.measures import measurement_protocol
from ndabench.metrics.generators.memorization import memorization
from ndabench.metrics.generators.subject import DrawsImages
from ndabench.metrics.image_encoders.linear_probe_lbfgs import stopped_early
from ndabench.metrics.results import Evaluated, by_name, merge
from ndabench.registry import load


@dataclass(frozen=True)
class Compared:
    """Two sets of features, and what only some measures look at."""

    real: Tensor
    """float32 `[m, d]`, of the split."""
    fake: Tensor
    """float32 `[n, d]`."""
    frechet: Callable[[], FrechetReference]
    """The moments of `real`."""
    train: Callable[[], Tensor] | None = None
    """Features of the training images, `[t, d]`."""
    real_labels: Tensor | None = None
    fake_labels: Tensor | None = None
    class_names: tuple[str, ...] = ()
    notes: list[str] = field(default_factory=list)
    """What a measure adds on how it was computed."""


def compare(config: FeatureMeasure, compared: Compared) -> tuple[dict[str, float], tuple[str, ...]]:
    """The values by their names, and notes on what makes them doubtful.

    Raises `UserError` for features that are not finite and for fewer than `smallest_set` images.
    """
    for features, images in ((compared.real, "real images"), (compared.fake, "generated images")):
        if len(features) < config.needed:
            raise UserError(f"{config.metric}: needs at least {config.needed} {images}, got {len(features)}")
        require_finite(features, images)
    values = load(config.function)(config, compared)
    notes = (*compared.notes, *doubts(config, compared))
    return dict(zip(config.measures, values, strict=True)), notes


def doubts(config: FeatureMeasure, compared: Compared) -> tuple[str, ...]:
    """What a reader must know of degenerate or small sets of images."""
    fake, notes = compared.fake, []
    dimension = fake.shape[1]
    if bool((fake == fake[:1]).all()):
        notes.append(collapsed(config.metric, len(fake)))
    if isinstance(config, FdInfinityConfig) and config.smallest < dimension:
        notes.append(
            f"{config.metric}: the smallest of its sets has {config.smallest} images, fewer than the "
            f"{dimension} dimensions; the bias is then no line over 1 / N"
        )
    if isinstance(config, ClassFdConfig):
        for labels, kind in zip(_labels(config, compared), ("real", "generated"), strict=True):
            smallest = int(labels.bincount(minlength=len(compared.class_names)).min())
            notes += too_few(config.metric, smallest, f"{kind} images of the smallest class", dimension)
    return tuple(notes)


def measure_features(config: FeatureMeasure, subject: DrawsImages, *, test: bool) -> Evaluated:
    """`val_<metric>` against the validation split and, with `test`, `<metric>` against the test split."""
    splits: tuple[MeasuredSplit, ...] = ("validation", "test") if test else ("validation",)
    return merge([_measure_split(config, subject, split) for split in splits])


def _measure_split(config: FeatureMeasure, subject: DrawsImages, split: MeasuredSplit) -> Evaluated:
    source = subject.of_split(split)
    data, drawn, device = source.data, source.extracted(config), source.workers.device
    counted = config.model_copy(update={"num_samples": min(config.num_samples, source.num_samples)})
    labels = source.labels(counted.num_samples) if config.of_classes else None
    start = source.shared.clock()
    real = load_reference(data, split, drawn.extractor, device)
    compared = Compared(
        real=real.features,
        fake=drawn.all_features(counted.num_samples),
        frechet=lambda: real.frechet,
        train=lambda: load_reference(data, "train", drawn.extractor, device).features,
        real_labels=getattr(data, split).labels.to(device) if config.of_classes else None,
        fake_labels=labels,
        class_names=data.class_names,
    )
    values, notes = compare(counted, compared)
    protocol = measurement_protocol(counted, drawn, data, split)
    seconds = (source.shared.clock() - start) / len(values)
    measurements = [
        Measurement(
            value,
            better=config.better,
            protocol={"metric": name, **protocol, **source.sampling},
            seconds=seconds,
            kind="metric",
            metric=name,
            split=split,
        )
        for name, value in values.items()
    ]
    return Evaluated(by_name(measurements), notes=notes)


def of_fd_infinity(config: FdInfinityConfig, compared: Compared) -> tuple[float]:
    value, _ = fd_infinity(
        compared.frechet(),
        compared.fake,
        smallest=config.smallest,
        num_points=config.num_points,
        generator=Generator().manual_seed(SHUFFLE_SEED),
    )
    return (value,)


def of_precision_recall(config: PrecisionRecallConfig, compared: Compared) -> tuple[float, float]:
    return precision_recall(compared.real, compared.fake, k=config.k)


def of_density_coverage(config: DensityCoverageConfig, compared: Compared) -> tuple[float, float]:
    return density_coverage(compared.real, compared.fake, k=config.k)


def of_cmmd(config: CmmdConfig, compared: Compared) -> tuple[float]:
    return (cmmd(compared.real, compared.fake, sigma=config.sigma),)


def of_memorization(config: MemorizationConfig, compared: Compared) -> tuple[float, float]:
    if compared.train is None:
        raise UserError(f"{config.metric}: needs the training images")
    return memorization(compared.train(), compared.real, compared.fake)


def of_class_fd(config: FeatureMeasure, compared: Compared) -> tuple[float]:
    real, fake = _labels(config, compared)
    distances = class_frechet(compared.real, real, compared.fake, fake, compared.class_names)
    return (sum(distances) / len(distances),)


def of_cas(config: CasConfig, compared: Compared) -> tuple[float]:
    real, fake = _labels(config, compared)
    percent, gradient = classification_accuracy_score(
        compared.real, real, compared.fake, fake, l2=config.l2, max_iterations=config.max_iterations
    )
    compared.notes.extend(stopped_early(config.metric, [config.l2], [gradient]))
    return (percent,)


def _labels(config: FeatureMeasure, compared: Compared) -> tuple[Tensor, Tensor]:
    if compared.real_labels is None or compared.fake_labels is None:
        raise UserError(f"{config.metric}: needs the classes of real and of generated images")
    return compared.real_labels, compared.fake_labels
