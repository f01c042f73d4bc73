"""Measuring a generator against one split of its data set, as a sweep file's `evaluate` list says.

Images are drawn once per call and go through each extractor once, however many measures share them. Where a
trial has several workers, each draws and extracts its share; sums are all-reduced, features gathered, and
all workers end with the same values. A measure with another extractor has another name: `fid`, `kid` and
`inception_score` are those of Inception-v3; with the classifier they are `fd_classifier`, `kid_classifier`
and `inception_score_classifier`.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field, model_validator
from torch import Generator, Tensor

from ndabench.data.config import FullPath
from ndabench.data.images import ImageData
from ndabench.distributed import Workers
from ndabench.errors import UserError
from ndabench.measurement import Better, Measurement
from ndabench.metrics.classifier import open_classifier
from ndabench.metrics.extractor import BATCH_SIZE, Extractor, extract
from ndabench.metrics.frechet import frechet_distance, frechet_distance_of_features, moments_of
from ndabench.metrics.inception import open_inception
from ndabench.metrics.inception_score import inception_score
from ndabench.metrics.kernel import kernel_distance
from ndabench.metrics.named import NamedEvaluation
from ndabench.metrics.reference import Reference, SplitName, load_reference

SHUFFLE_SEED = 0
"""Of the draws that a measure makes itself (subsets, splits): the same for every generator measured."""


@dataclass(frozen=True)
class Extracted:
    """This worker's share of the drawn images, as one extractor sees them: `[share, d]` and `[share, k]`.

    All shares are equally long; one after the other, in rank order, they make up the whole.
    """

    features: Tensor
    logits: Tensor
    workers: Workers

    def own_features(self, num_samples: int) -> Tensor:
        """Those of this worker that are among the first `num_samples` of the whole; possibly none."""
        return self.features[: max(0, num_samples - self.workers.rank * len(self.features))]

    def all_features(self, num_samples: int) -> Tensor:
        return self.workers.all_gather(self.features)[:num_samples]

    def all_logits(self, num_samples: int) -> Tensor:
        return self.workers.all_gather(self.logits)[:num_samples]


class _GenerativeConfig(NamedEvaluation):
    """The keys that all generative measures share."""

    name: str
    num_samples: int = Field(10_000, ge=2)
    """Generated images; they are compared with the whole split."""
    every: int | None = Field(None, ge=1)
    """Steps from one measurement during training to the next; None: only before training and after it."""
    extractor: Literal["classifier", "inception"] = "classifier"
    weights: FullPath | None = None
    """File with the Inception weights; without it, the environment or an earlier download has to do."""
    download: bool = False
    """Whether the Inception weights may be downloaded."""

    better: ClassVar[Better] = "lower"
    uses_reference: ClassVar[bool] = True

    @model_validator(mode="after")
    def _weights_are_inceptions(self) -> "_GenerativeConfig":
        if self.extractor != "inception" and (self.weights is not None or self.download):
            raise ValueError("weights and download go with extractor: inception only")
        return self

    @property
    def metric(self) -> str:
        """The name of the value, but for what `as` adds."""
        if self.extractor == "inception":
            return "fid" if self.name == "fd" else self.name
        return f"{self.name}_{self.extractor}"

    @property
    def measures(self) -> tuple[str, ...]:
        return (self.metric,)

    @property
    def settings(self) -> dict[str, Any]:
        """What the measure itself adds to the protocol."""
        return {}

    def check(self, data: ImageData) -> None:
        """Raises `UserError` where the splits of `data` do not allow this measure."""


class FrechetConfig(_GenerativeConfig):
    """Fréchet distance: `fid`, or `fd_classifier`."""

    name: Literal["fd"] = "fd"

    def measure(self, drawn: Extracted, reference: Callable[[], Reference]) -> float:
        frechet = reference().frechet
        if self.num_samples < drawn.features.shape[1]:
            return frechet_distance_of_features(frechet, drawn.all_features(self.num_samples))
        moments = moments_of(drawn.own_features(self.num_samples))
        moments.all_reduce(drawn.workers)
        return frechet_distance(frechet, moments.gaussian())


class KernelConfig(_GenerativeConfig):
    """Kernel distance: `kid`, or `kid_classifier`."""

    name: Literal["kid"] = "kid"
    num_subsets: int = Field(100, ge=1)
    subset_size: int = Field(1_000, ge=2)

    @model_validator(mode="after")
    def _subsets_fit(self) -> "KernelConfig":
        if self.subset_size > self.num_samples:
            raise ValueError(f"subset_size {self.subset_size} must not exceed num_samples {self.num_samples}")
        return self

    @property
    def settings(self) -> dict[str, Any]:
        return {
            "num_subsets": self.num_subsets,
            "subset_size": self.subset_size,
            "subset_seed": SHUFFLE_SEED,
            "kernel": "(x·y / d + 1)³",
        }

    def check(self, data: ImageData) -> None:
        for split, images in (("validation", data.validation), ("test", data.test)):
            if len(images) < self.subset_size:
                raise UserError(
                    f"{self.metric}: subset_size {self.subset_size} must not exceed the {len(images)} images "
                    f"of the {split} split of {data.name}"
                )

    def measure(self, drawn: Extracted, reference: Callable[[], Reference]) -> float:
        mean, _ = kernel_distance(
            reference().features,
            drawn.all_features(self.num_samples),
            num_subsets=self.num_subsets,
            subset_size=self.subset_size,
            generator=Generator().manual_seed(SHUFFLE_SEED),
        )
        return mean


class InceptionScoreConfig(_GenerativeConfig):
    """Inception Score: `inception_score`, or `inception_score_classifier`. It looks at no real image."""

    name: Literal["inception_score"] = "inception_score"
    num_splits: int = Field(10, ge=1)

    better: ClassVar[Better] = "higher"
    uses_reference: ClassVar[bool] = False

    @model_validator(mode="after")
    def _splits_fit(self) -> "InceptionScoreConfig":
        if self.num_splits > self.num_samples:
            raise ValueError(f"num_splits {self.num_splits} must not exceed num_samples {self.num_samples}")
        return self

    @property
    def settings(self) -> dict[str, Any]:
        return {"num_splits": self.num_splits, "shuffle_seed": SHUFFLE_SEED}

    def measure(self, drawn: Extracted, reference: Callable[[], Reference]) -> float:
        mean, _ = inception_score(
            drawn.all_logits(self.num_samples),
            num_splits=self.num_splits,
            generator=Generator().manual_seed(SHUFFLE_SEED),
        )
        return mean


GenerativeEvaluation = Annotated[
    FrechetConfig | KernelConfig | InceptionScoreConfig, Field(discriminator="name")
]


def prepare(evaluations: Sequence[GenerativeEvaluation], data: ImageData, *, device: torch.device) -> None:
    """Sees to everything that could stop a measurement later, before any training.

    Trains the data set's classifier where it is asked for and not cached yet, and loads the Inception
    weights. Raises `UserError` for missing weights, and for a measure that the data are too few for.
    """
    for evaluation in evaluations:
        evaluation.check(data)
    for evaluation in evaluations:
        _open_extractor(evaluation, data, device)


def evaluate_generator(
    evaluations: Sequence[GenerativeEvaluation],
    sample: Callable[[int], Tensor],
    data: ImageData,
    split: SplitName,
    *,
    workers: Workers,
    sampling: Mapping[str, Any],
) -> dict[str, Measurement]:
    """Every evaluation's measurement by its metric's name, alike on every worker of the trial.

    `sample(n)` gives this worker's share of n generated images, uint8 `[n / world_size, C, H, W]` on its
    device; it is called once, with n a multiple of the world size. `sampling` says how the generator draws
    them and goes into every protocol. Seconds include an equal part of the work that measures share.
    """
    if not evaluations:
        return {}
    start = perf_counter()
    share = -(-max(evaluation.num_samples for evaluation in evaluations) // workers.world_size)
    with torch.no_grad():
        images = sample(share * workers.world_size)
    assert images.shape == (share, *data.image_shape), images.shape
    assert images.dtype == torch.uint8, images.dtype
    drawing_seconds = (perf_counter() - start) / len(evaluations)

    measured: dict[str, Measurement] = {}
    for extractor, group in _by_extractor(evaluations, data, workers.device):
        start = perf_counter()
        workers.require_equal(extractor.weights_sha256, "extractors", "let their nodes share NDABENCH_CACHE")
        drawn = Extracted(*extract(extractor, images.split(BATCH_SIZE)), workers)
        shared_seconds = drawing_seconds + (perf_counter() - start) / len(group)
        for evaluation in group:
            start = perf_counter()
            value = evaluation.measure(drawn, partial(load_reference, data, split, extractor, workers.device))
            measurement = Measurement(
                value,
                better=evaluation.better,
                protocol={**_protocol(evaluation, extractor, data, split), **sampling},
                seconds=shared_seconds + perf_counter() - start,
                kind="metric",
                metric=evaluation.metric,
                split=split if split != "train" else "",
            )
            measured |= evaluation.named({evaluation.metric: measurement})
    return measured


def _by_extractor(
    evaluations: Sequence[GenerativeEvaluation], data: ImageData, device: torch.device
) -> Iterable[tuple[Extractor, list[GenerativeEvaluation]]]:
    groups: dict[str, tuple[Extractor, list[GenerativeEvaluation]]] = {}
    for evaluation in evaluations:
        extractor = _open_extractor(evaluation, data, device)
        groups.setdefault(extractor.weights_sha256, (extractor, []))[1].append(evaluation)
    return groups.values()


def _open_extractor(evaluation: GenerativeEvaluation, data: ImageData, device: torch.device) -> Extractor:
    if evaluation.extractor == "inception":
        return open_inception(evaluation.weights, download=evaluation.download, device=device)
    return open_classifier(data, device=device)


def _protocol(
    evaluation: GenerativeEvaluation, extractor: Extractor, data: ImageData, split: SplitName
) -> dict[str, Any]:
    compared = {"reference_split": split, "reference_size": len(getattr(data, split))}
    return {
        "metric": evaluation.metric,
        "num_samples": evaluation.num_samples,
        "data": data.name,
        "data_hash": data.content_hash,
        **(compared if evaluation.uses_reference else {"reference_split": None, "reference_size": None}),
        "extractor": extractor.name,
        "weights_sha256": extractor.weights_sha256,
        "feature_dimension": extractor.dimension,
        **extractor.details,
        "resize": extractor.resize,
        "quantisation": "uint8, rounded",
        **evaluation.settings,
    }


GENERATIVE: dict[str, type[FrechetConfig] | type[KernelConfig] | type[InceptionScoreConfig]] = {
    "fd": FrechetConfig,
    "kid": KernelConfig,
    "inception_score": InceptionScoreConfig,
}
