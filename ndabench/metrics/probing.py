"""What all probes of an encoder share: which images they learn from, which they are scored on, and how that
is written down. Probes of videos do alike, but for fine-tuning, which learns once, unless told otherwise.

While settings are chosen, a probe learns from the training images and is scored on the validation images.
The test value is that of a probe that learned from both, as published probes use the whole training set.
"""

from collections.abc import Callable, Mapping, Sequence, Sized
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import Any, ClassVar, Protocol, TypeVar

from pydantic import Field
from torch import Tensor

from ndabench.data.config import SplitName
from ndabench.errors import UserError
from ndabench.measurement import Better, Measurement
from ndabench.metrics.named import NamedEvaluation

Features = TypeVar("Features")


class Labelled(Protocol):
    """What a probe's protocol tells of a data set, be it of images or of videos."""

    @property
    def name(self) -> str: ...

    @property
    def content_hash(self) -> str: ...

    @property
    def class_names(self) -> tuple[str, ...]: ...

    @property
    def train(self) -> Sized: ...

    @property
    def validation(self) -> Sized: ...

    @property
    def test(self) -> Sized: ...


class ProbeConfig(NamedEvaluation):
    """The keys that all probes share."""

    better: ClassVar[Better] = "higher"

    name: str
    every: int | None = Field(None, ge=1)
    """Steps from one measurement during training to the next, from 0 on; None: only after training."""

    @property
    def measures(self) -> tuple[str, ...]:
        return (self.name,)

    def check(self, data: Labelled) -> None:
        """Raises `UserError` where `data` do not allow this measure."""
        check_labelled(self.name, data)


@dataclass(frozen=True)
class Scoring:
    """One use of a probe."""

    prefix: str
    """Before the metric's name."""
    fitted: tuple[SplitName, ...]
    scored: SplitName


VALIDATING = Scoring("val_", ("train",), "validation")
TESTING = Scoring("", ("train", "validation"), "test")


def scorings(*, test: bool) -> tuple[Scoring, ...]:
    return (VALIDATING, TESTING) if test else (VALIDATING,)


@dataclass(frozen=True)
class Evaluated:
    """What evaluations of an encoder came to."""

    measurements: dict[str, Measurement]
    """By name, alike on every worker."""
    artifacts: dict[str, bytes] = field(default_factory=dict)
    """File names to files (PNG pictures, JSON), on the main worker only."""

    def named(self, evaluation: NamedEvaluation) -> "Evaluated":
        """The same under the names that `evaluation` gives."""
        files = {}
        for name, data in self.artifacts.items():
            kind, dot, ending = name.rpartition(".")
            files[evaluation.called(kind) + dot + ending] = data
        return Evaluated(evaluation.named(self.measurements), files)

    def longer_by(self, seconds: float) -> "Evaluated":
        """The same with `seconds` more, in equal parts for every measurement."""
        part = seconds / max(1, len(self.measurements))
        longer = {name: replace(one, seconds=one.seconds + part) for name, one in self.measurements.items()}
        return replace(self, measurements=longer)


def together(parts: Sequence[Evaluated]) -> Evaluated:
    """All that several measurements came to."""
    return Evaluated(
        {name: one for part in parts for name, one in part.measurements.items()},
        {name: one for part in parts for name, one in part.artifacts.items()},
    )


def evaluate_all(
    evaluations: Sequence[Any],
    sharing: tuple[type, ...],
    *,
    extract: Callable[[SplitName], Features],
    measure: Callable[[Any, Mapping[SplitName, Features]], Evaluated],
    test: bool,
) -> Evaluated:
    """What `measure` makes of every evaluation and of the features that `extract` finds in each split.

    Those of the kinds `sharing` look at the features, and each takes an equal part of the seconds of their
    extraction; where there are none of them, nothing is extracted.
    """
    num_sharing = sum(isinstance(evaluation, sharing) for evaluation in evaluations)
    splits: tuple[SplitName, ...] = ("train", "validation", "test") if test else ("train", "validation")
    start = perf_counter()
    features = {split: extract(split) for split in splits if num_sharing}
    seconds = perf_counter() - start
    parts = []
    for evaluation in evaluations:
        found = measure(evaluation, features).named(evaluation)
        parts.append(found.longer_by(seconds / num_sharing) if isinstance(evaluation, sharing) else found)
    return together(parts)


def accuracy(predicted: Tensor, labels: Tensor) -> float:
    """Share of the labels `[n]` that were predicted, in percent."""
    return 100.0 * int((predicted == labels).sum()) / len(labels)


def probe_measurement(
    name: str,
    percent: float,
    scoring: Scoring,
    data: Labelled,
    settings: Mapping[str, Any],
    *,
    seconds: float,
) -> Measurement:
    """An accuracy under the protocol `name` with `settings`, which are plain data.

    Nothing that is found out in the course of a measurement may be among the settings, nor anything that
    belongs to the encoder: two encoders measured in the same way must have the same protocol.
    """
    protocol = {
        "protocol": name,
        "features": "backbone",
        "encoder": "frozen, eval mode, float32",
        "data": data.name,
        "data_hash": data.content_hash,
        "fitted_on": "+".join(scoring.fitted),
        "num_fitted": sum(len(getattr(data, split)) for split in scoring.fitted),
        "split": scoring.scored,
        "num_evaluated": len(getattr(data, scoring.scored)),
        **settings,
    }
    return Measurement(percent, better="higher", unit="%", protocol=protocol, seconds=seconds)


def check_labelled(name: str, data: Labelled) -> None:
    """`UserError` where there are no two classes to tell apart."""
    if len(data.class_names) < 2:
        raise UserError(f"{name}: {data.name} has no labels to predict; take a data set with classes")
