"""Anomaly detection by the score of a trained network (Sinha et al., ICLR 2021, section 4.3 and Table 4).

A score says how much an image is like the training distribution; higher is more like it. The scored split's
images are told from each set of outliers by it: `rates.py` has the rates. Scores come from

- `anomaly`: the discriminator's raw logit, in eval mode and float32;
- `feature_anomaly`: an encoder's features. `knn`: minus the Euclidean distance of the normalised feature to
  its k-th nearest among the training images' (Sun et al., ICML 2022). `mahalanobis`: minus the smallest
  (f - μ_c)ᵀ Σ⁻¹ (f - μ_c) over the classes c, with one Σ for all (Lee et al., NeurIPS 2018); the class
  means are those of the training labels, so this score is not free of labels where there are any.

The inside is the validation split, and in the test the test split. The validation value sees only the
validation part of an outlier set, the test value never sees that part: a λ chosen on validation is tested on
other outliers. The mean over sets is the paper's mean.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ndabench.augmentations.specification import Negative, check
from ndabench.data.feeding import ResidentSplit
from ndabench.data.images import ConcatImages, ImageData, ImageSplit, digests, to_float
from ndabench.data.registry import load_data
from ndabench.data.sheets import sheet
from ndabench.data.source import ImageConfig
from ndabench.data.store import decode_once
from ndabench.distributed import Workers
from ndabench.errors import UserError
from ndabench.measurement import MeasuredSplit, Measurement
from ndabench.metrics.anomaly.config import (
    AnomalyConfig,
    FeatureAnomalyConfig,
    LabelRule,
    OutlierEvaluation,
    metric_of,
    slug,
)
from ndabench.metrics.anomaly.rates import (
    RATES,
    ScoreCounts,
    bootstrap_intervals,
    rates,
    roc_curve,
)
from ndabench.metrics.features import BATCH_SIZE, backbone_features, in_shares
from ndabench.metrics.generators.subject import GeneratorSubject
from ndabench.metrics.image_encoders.knn import nearest
from ndabench.metrics.image_encoders.subject import ImageEncoderSubject
from ndabench.metrics.results import Evaluated, by_name
from ndabench.metrics.subjects import Preparation

SEED = 0
"""The seed of resamples and of negatives: equal for every network."""
RIDGE = 1e-6
"""Added to the diagonal of a covariance, in units of its mean, so that it has an inverse."""
NUM_BINS, NUM_ROC_POINTS = 40, 120
NUM_SHOWN = 16
"""Outliers on the sheet, of every set."""

Score = Callable[[ImageSplit], Tensor]
"""A split's scores, float32 `[len(split)]`, equal on every worker."""


@dataclass(frozen=True)
class OutlierSet:
    """Images that are not from the distribution."""

    name: str
    title: str
    images: ImageSplit
    content_hash: str
    """Empty for a negative, which is made from the scored images."""

    @property
    def protocol(self) -> dict[str, Any]:
        return {"outliers": self.title, "outliers_hash": self.content_hash, "num_outliers": len(self.images)}


def prepare_outliers(config: OutlierEvaluation, preparation: Preparation) -> None:
    """Loads every set of outliers. `UserError` for sets that are missing or damaged, that hold an image
    of the data set, and for negatives that do not fit its images."""
    data: ImageData = preparation.data
    for negative in config.negatives:
        check(negative, data.image_shape)
    known = set(digests(data))
    for outliers in config.outliers:
        found = _load(outliers, data, preparation.device)
        shared = sum(digest in known for digest in digests(found))
        if shared:
            raise UserError(
                f"{config.name}: {shared} images of {found.name} are also in the data set {data.name}; "
                "outliers must be other images"
            )


def measure_anomaly(config: AnomalyConfig, subject: GeneratorSubject, *, test: bool) -> Evaluated:
    """Rates by the discriminator's logit; with `test` also the files `anomaly.json` and `outliers.png`."""

    def score(split: ImageSplit) -> Tensor:
        def logits(rows: Tensor) -> Tensor:
            batches = split.batches(rows.split(BATCH_SIZE))
            return torch.cat([class_score(subject, images, config.label_rule) for images, _ in batches])

        return in_shares(len(split), logits, subject.workers)

    return _measure(config, subject.data, score, subject.workers, subject.shared.clock, test=test)


def class_score(subject: GeneratorSubject, images: Tensor, rule: LabelRule) -> Tensor:
    """The logits `[N]` of uint8 images `[N, C, H, W]`, over all classes by `rule`."""
    floats = to_float(images)
    labels = torch.zeros(len(images), dtype=torch.int64, device=images.device)
    logits = torch.stack([subject.logit(floats, labels + number) for number in range(subject.num_classes)])
    match rule:
        case "max":
            return logits.amax(0)
        case "mean":
            return logits.mean(0)
        case "logsumexp":
            return logits.logsumexp(0)


def measure_feature_anomaly(
    config: FeatureAnomalyConfig, subject: ImageEncoderSubject, *, test: bool
) -> Evaluated:
    """Rates by distances in the encoder's features; with `test` also `anomaly.json` and `outliers.png`."""
    fitted = subject.examples("train")
    if config.distance == "knn":
        neighbours = min(config.neighbours, len(fitted.features))

        def distance(features: Tensor) -> Tensor:
            return knn_distance(features, fitted.features, neighbours)
    else:
        distance = Mahalanobis(fitted.features, fitted.labels)

    def score(split: ImageSplit) -> Tensor:
        return -distance(backbone_features(subject.encoder, split, subject.workers))

    return _measure(config, subject.data, score, subject.workers, subject.shared.clock, test=test)


def knn_distance(features: Tensor, bank: Tensor, neighbours: int) -> Tensor:
    """The distance of normalised features `[m, d]` to the k-th nearest of `[n, d]`: `[m]` in [0, 2]."""
    similarities, _ = nearest(features, bank, neighbours)
    return (2 - 2 * similarities[:, -1]).clamp(min=0).sqrt()


class Mahalanobis:
    """The squared distance to the nearest class mean, with one covariance for all classes."""

    def __init__(self, features: Tensor, labels: Tensor) -> None:
        """`features` `[n, d]` and `labels` `[n]` of the training images; the sums are taken in float64."""
        features = features.double()
        present, classes = labels.unique(return_inverse=True)
        counts = classes.bincount(minlength=len(present)).unsqueeze(1)
        sums = torch.zeros(len(present), features.shape[1], dtype=torch.float64, device=features.device)
        self.means = sums.index_add_(0, classes, features) / counts
        centred = features - self.means[classes]
        covariance = centred.T @ centred / len(features)
        ridge = RIDGE * covariance.diagonal().mean().clamp(min=1e-12)
        covariance.diagonal().add_(ridge)
        self.factor = torch.linalg.cholesky(covariance)

    def __call__(self, features: Tensor) -> Tensor:
        """`[m, d] -> [m]`, float64."""

        def whitened(rows: Tensor) -> Tensor:
            return torch.linalg.solve_triangular(self.factor, rows.T, upper=False).T

        return torch.cdist(whitened(features.double()), whitened(self.means)).amin(1).square()


def _measure(
    config: OutlierEvaluation,
    data: ImageData,
    score: Score,
    workers: Workers,
    clock: Callable[[], float],
    *,
    test: bool,
) -> Evaluated:
    splits: tuple[MeasuredSplit, ...] = ("validation", "test") if test else ("validation",)
    measurements: list[Measurement] = []
    files: dict[str, bytes] = {}
    for split in splits:
        start = clock()
        inside = _some(getattr(data, split), config.images_per_set)
        with torch.no_grad():
            inside_scores = _scores(config, score, inside, f"the {split} split of {data.name}")
            sets = list(_outlier_sets(config, data, inside, split, workers.device))
            scores = [_scores(config, score, one.images, one.title) for one in sets]
        counts = [ScoreCounts.of(inside_scores, found) for found in scores]
        measurements += _measurements(config, data, split, len(inside), sets, counts, clock() - start)
        if split == "test" and workers.is_main:
            found = zip(sets, counts, scores, strict=True)
            content = [_details(*one, inside_scores, config.num_resamples) for one in found]
            files = {
                "anomaly.json": json.dumps({"sets": content}).encode(),
                "outliers.png": outlier_sheet([one.images for one in sets], scores),
            }
    return Evaluated(by_name(measurements), files)


def _scores(
    config: OutlierEvaluation, score: Score, images: ImageSplit, described: str
) -> np.ndarray[Any, np.dtype[np.float64]]:
    found = score(images).double().cpu().numpy()
    if not np.isfinite(found).all():
        count = (~np.isfinite(found)).sum()
        raise UserError(f"{config.name}: {count} of {len(found)} scores of {described} are not finite")
    return found


def _measurements(
    config: OutlierEvaluation,
    data: ImageData,
    split: MeasuredSplit,
    num_inside: int,
    sets: Sequence[OutlierSet],
    counts: Sequence[ScoreCounts],
    seconds: float,
) -> list[Measurement]:
    """The means of all rates over the sets, then the AUROC of each set, in percent."""
    shared = {
        "metric": config.name,
        **config.score,
        "orientation": "higher is in-distribution",
        "ties": "midranks",
        "network": "eval mode, float32",
        "data": data.name,
        "data_hash": data.content_hash,
        "split": split,
        "num_inside": num_inside,
    }
    resize = f"{data.image_shape[2]}×{data.image_shape[1]}, the centred square, bilinear, antialiased"
    found = {one.name: rates(count) for one, count in zip(sets, counts, strict=True)}
    averaged = [one for one in sets if one.name in config.averaged]
    mean = {rate: float(np.mean([found[one.name][rate] for one in averaged])) for rate in RATES}
    protocols = {one.name: {**shared, **one.protocol, "resize": resize} for one in sets}
    everything = {**shared, "mean_over": [one.protocol for one in averaged], "resize": resize}
    rows = [(rate, "", mean[rate], everything) for rate in RATES] + [
        ("auroc", one.name, float(found[one.name]["auroc"]), protocols[one.name]) for one in sets
    ]
    return [
        Measurement(
            100 * value,
            better="lower" if rate == "fpr95" else "higher",
            unit="%",
            protocol={**protocol, "rate": rate},
            seconds=seconds / len(rows),
            kind="metric",
            metric=metric_of(config.name, rate, name),
            split=split,
        )
        for rate, name, value, protocol in rows
    ]


def _outlier_sets(
    config: OutlierEvaluation,
    data: ImageData,
    inside: ImageSplit,
    split: MeasuredSplit,
    device: torch.device,
) -> Iterator[OutlierSet]:
    for outliers in config.outliers:
        found = _load(outliers, data, device)
        if split == "validation":
            images = found.validation
        elif "test" in decode_once(_like(outliers, data)).splits:
            images = found.test
        else:  # a pool, of which all but the validation part is for the test
            images = ConcatImages(found.train, found.test)
        chosen = _some(images, config.images_per_set)
        yield OutlierSet(slug(outliers.title), found.name, chosen, found.content_hash)
    names = config.set_names[len(config.outliers) :]
    for name, negative in zip(names, config.negatives, strict=True):
        yield OutlierSet(name, negative.label, _changed(inside, negative, device), "")


def _like(outliers: ImageConfig, data: ImageData) -> ImageConfig:
    """The configuration of outliers of the data set's size and number of channels."""
    channels, height, width = data.image_shape
    if height != width:
        raise UserError(
            f"anomaly: images of {data.name} are {width}×{height}; give data.image_size, since outliers are "
            "brought to the same square"
        )
    return outliers.model_copy(update={"image_size": height, "channels": channels})


def _load(outliers: ImageConfig, data: ImageData, device: torch.device) -> ImageData:
    return load_data(_like(outliers, data), device)


def _some(split: ImageSplit, count: int | None) -> ImageSplit:
    """At most `count` images of a split, at equal distances."""
    if count is None or count >= len(split):
        return split
    return _Rows(split, torch.linspace(0, len(split) - 1, count).round().long())


@dataclass(frozen=True)
class _Rows:
    """Some rows of a split."""

    whole: ImageSplit
    rows: Tensor

    @property
    def labels(self) -> Tensor:
        return self.whole.labels[self.rows]

    def __len__(self) -> int:
        return len(self.rows)

    def batches(self, index_batches: Any) -> Iterator[tuple[Tensor, Tensor]]:
        return self.whole.batches(self.rows[index] for index in index_batches)


def _changed(split: ImageSplit, negative: Negative, device: torch.device) -> ImageSplit:
    """Every image of a split after the negative, in batches that do not depend on the number of workers."""
    change, generator = negative.build(), torch.Generator(device).manual_seed(SEED)
    batches = split.batches(torch.arange(len(split)).split(BATCH_SIZE))
    images = torch.cat([change(images, generator=generator) for images, _ in batches])
    return ResidentSplit(images, split.labels, torch.arange(len(images)))


def _details(
    outliers: OutlierSet,
    counts: ScoreCounts,
    scores: np.ndarray[Any, np.dtype[np.float64]],
    inside: np.ndarray[Any, np.dtype[np.float64]],
    num_resamples: int,
) -> dict[str, Any]:
    """The rates of a set with their intervals, its histogram and its ROC curve, as plain data."""
    found = rates(counts)
    intervals = bootstrap_intervals(counts, num_resamples=num_resamples, seed=SEED)
    edges = np.histogram_bin_edges(np.concatenate([inside, scores]), NUM_BINS)
    false, true = roc_curve(counts, NUM_ROC_POINTS)
    return {
        "name": outliers.name,
        "title": outliers.title,
        "num_inside": len(inside),
        "num_outliers": len(scores),
        "rates": {rate: [float(found[rate]), *intervals[rate]] for rate in RATES},
        "histogram": {
            "edges": edges.tolist(),
            "inside": (np.histogram(inside, edges)[0] / len(inside)).tolist(),
            "outliers": (np.histogram(scores, edges)[0] / len(scores)).tolist(),
        },
        "roc": {"false_positive_rate": false.tolist(), "true_positive_rate": true.tolist()},
    }


def outlier_sheet(
    splits: Sequence[ImageSplit], scores: Sequence[np.ndarray[Any, np.dtype[np.float64]]]
) -> bytes:
    """A PNG file: of each set the outliers that look most like the distribution, the best first, in a row."""
    rows = []
    for split, found in zip(splits, scores, strict=True):
        best = torch.from_numpy(np.argsort(-found, kind="stable")[:NUM_SHOWN].copy())
        [(images, _)] = split.batches([best])
        missing = NUM_SHOWN - len(images)
        rows.append(F.pad(images, (0, 0, 0, 0, 0, 0, 0, missing)))
    return sheet(torch.cat(rows), columns=NUM_SHOWN)
