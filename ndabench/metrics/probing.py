"""What all probes of an encoder share: the images they learn from, the images they are scored on, and the
record of both. Probes of videos do the same, except for fine-tuning, which learns once by default.

While settings are chosen, a probe learns from the training images and is scored on the validation images.
The test value is that of a probe that learned from both, as published probes use the whole training set.
"""

import json
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, Protocol, TypeVar

from torch import Tensor

from ndabench.data.config import SplitName
from ndabench.measurement import Measurement
from ndabench.metrics.evaluation import DataFacts
from ndabench.metrics.results import Evaluated, EvaluationProgress, merge
from ndabench.models.weight_files import safetensors_of


@dataclass(frozen=True)
class Scoring:
    """One use of a probe: the splits that it is fitted on, and the split that it is scored on."""

    fitted: tuple[SplitName, ...]
    scored: Literal["validation", "test"]


VALIDATING = Scoring(("train",), "validation")
TESTING = Scoring(("train", "validation"), "test")


def scorings(*, test: bool) -> tuple[Scoring, ...]:
    """The uses of a probe; only the last one uses the test split."""
    return (VALIDATING, TESTING) if test else (VALIDATING,)


def accuracy(predicted: Tensor, labels: Tensor) -> float:
    """Share of the labels `[n]` that were predicted, in percent."""
    return 100.0 * int((predicted == labels).sum()) / len(labels)


def probe_measurement(
    name: str,
    percent: float,
    scoring: Scoring,
    data: DataFacts,
    settings: Mapping[str, Any],
    *,
    seconds: float,
    metric: str = "",
) -> Measurement:
    """A percentage under the protocol `name`, which is also the metric unless that is given.

    `settings` are plain data. They must not hold results of the measurement or properties of the encoder: two
    encoders measured in the same way must have the same protocol.
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
    return Measurement(
        percent,
        better="higher",
        unit="%",
        protocol=protocol,
        seconds=seconds,
        kind="metric",
        metric=metric or name,
        split=scoring.scored,
    )


def probe_file(name: str, state: Mapping[str, Tensor], class_names: Sequence[str]) -> dict[str, bytes]:
    """A file, by its name, with what the probe of the evaluation `name` learned, for others to use."""
    return {f"{name}.safetensors": safetensors_of(state, classes=json.dumps(class_names))}


def chosen_setting(name: str, value: float) -> Measurement:
    """A setting that an evaluation chose on the validation split. It is not part of a protocol, because
    values are compared only under equal protocols."""
    return Measurement(value, metric=name)


STEPS_BETWEEN_PAUSES = 200
"""A pause may cost a checkpoint, which takes longer than a few steps of a small probe."""


def units_between_pauses(steps_per_unit: int) -> int:
    """The number of units (epochs, or steps) after which a training pauses; it also pauses after the last."""
    return -(-STEPS_BETWEEN_PAUSES // steps_per_unit)


class ProbeTraining(Protocol):
    """The training of a probe, which can resume from any of its pauses."""

    @property
    def num_units(self) -> int:
        """The units (epochs, or steps) of the whole training."""
        ...

    def run(self) -> Iterator[int]:
        """Trains to the end, and yields the number of units done so far; never inside `torch.no_grad()`."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Tensors and plain data, which are valid until `run` continues."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None: ...


Training = TypeVar("Training", bound=ProbeTraining)


@dataclass(frozen=True)
class Stage(Generic[Training]):
    """A training and the scores of what it trained."""

    build: Callable[[], Training]
    score: Callable[[Training, float], Evaluated]
    """Takes the finished training, and the reading of the clock when the stage began."""


def train_in_stages(
    stages: Sequence[Stage[Training]], *, clock: Callable[[], float], state: Mapping[str, Any] | None
) -> Generator[EvaluationProgress, None, Evaluated]:
    """Yields the progress of all stages in turn, and returns their results.

    With the `state` of an earlier progress it continues there: finished stages are not trained again.
    """
    finished = [Evaluated.from_plain(part) for part in state["finished"]] if state else []
    resumed = len(finished)
    for number, stage in enumerate(stages[resumed:], resumed):
        start, training = clock(), stage.build()
        if state is not None and number == resumed:
            training.load_state_dict(state["training"])
            start -= state["seconds"]
        for units in training.run():
            here = {
                "finished": [part.to_plain() for part in finished],
                "training": training.state_dict(),
                "seconds": clock() - start,
            }
            num_units = training.num_units
            yield EvaluationProgress(number * num_units + units, len(stages) * num_units, here)
        finished.append(stage.score(training, start))
    return merge(finished)
