"""Measuring a subject by a list of evaluations: the one entry point that every task uses.

    subject = ImageEncoderSubject(encoder, data, seed=seed, workers=workers)
    for news in evaluate(evaluations, subject, test=True, done=finished):
        if isinstance(news, Evaluated):
            finished.append(news.evaluation)  # and keep news.measurements

All workers of a trial iterate in step and get equal values; files are given on the main worker only. The
results of an evaluation are plain data (`Evaluated.to_plain`), so that a checkpoint can hold them and a
trial that was stopped between two evaluations does not measure the first one again.
"""

import inspect
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Generator, Hashable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from time import perf_counter
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from ndabench.measurement import Measurement, displayed_name
from ndabench.metrics.evaluation import Evaluation
from ndabench.metrics.registry import EVALUATIONS
from ndabench.registry import load

if TYPE_CHECKING:
    import torch

    from ndabench.metrics.clip_encoder_evaluations import ClipSampling

Result = TypeVar("Result")


@dataclass(frozen=True)
class Evaluated:
    """The results of one evaluation, or of several."""

    measurements: dict[str, Measurement]
    """By displayed name, equal on every worker."""
    artifacts: dict[str, bytes] = field(default_factory=dict)
    """File names to files (PNG pictures, JSON), on the main worker only."""
    evaluation: str = ""
    """The key of the evaluation; empty where there were several."""

    def renamed(self, evaluation: Evaluation) -> "Evaluated":
        """The same results with the label that `evaluation` gives to values, protocols and files."""
        if not evaluation.as_:
            return self
        measurements = [_labelled(one, evaluation.as_) for one in self.measurements.values()]
        files = {}
        for name, data in self.artifacts.items():
            kind, dot, ending = name.rpartition(".")
            files[evaluation.rename(kind) + dot + ending] = data
        return replace(self, measurements=by_name(measurements), artifacts=files)

    def longer_by(self, seconds: float) -> "Evaluated":
        """The same results with `seconds` added, in equal parts for every measurement."""
        part = seconds / max(1, len(self.measurements))
        longer = {name: replace(one, seconds=one.seconds + part) for name, one in self.measurements.items()}
        return replace(self, measurements=longer)

    def to_plain(self) -> dict[str, Any]:
        """The results as dicts, strings, numbers and bytes."""
        # A plugin may measure with numpy, whose numbers a checkpoint could not hold.
        measurements = {
            name: {
                **asdict(one),
                "value": float(one.value),
                "seconds": float(one.seconds),
                "protocol": json.loads(json.dumps(dict(one.protocol), default=float)),
            }
            for name, one in self.measurements.items()
        }
        return {"measurements": measurements, "artifacts": self.artifacts, "evaluation": self.evaluation}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> "Evaluated":
        """Undoes `to_plain`."""
        measurements = {name: Measurement(**one) for name, one in plain["measurements"].items()}
        return cls(measurements, dict(plain["artifacts"]), plain["evaluation"])


def by_name(measurements: Sequence[Measurement]) -> dict[str, Measurement]:
    """Measurements by their displayed names."""
    return {displayed_name(one.metric, one.split, one.label): one for one in measurements}


def merge(parts: Sequence[Evaluated]) -> Evaluated:
    """The results of several evaluations, or of the parts of one."""
    return Evaluated(
        {name: one for part in parts for name, one in part.measurements.items()},
        {name: one for part in parts for name, one in part.artifacts.items()},
    )


def _labelled(measurement: Measurement, label: str) -> Measurement:
    """The measurement with its label; where there is a protocol, it holds the label, too."""
    protocol = {**measurement.protocol, "as": label} if measurement.protocol else measurement.protocol
    return replace(measurement, label=label, protocol=protocol)


@dataclass(frozen=True)
class EvaluationProgress:
    """How far a long evaluation has come."""

    done: int
    """Units (steps, epochs) done so far."""
    total: int
    state: Mapping[str, Any]
    """What the evaluation resumes from: tensors and plain data, equal on every worker."""
    evaluation: str = ""
    """The key of the evaluation."""


class SharedWork:
    """What evaluations of one subject compute only once, and the seconds that this takes.

    A piece of work (`Evaluation.shares`) may have several results, such as the features of each split. Every
    evaluation that lists a piece accounts for an equal part of its seconds, whichever of them computed it.
    """

    def __init__(self) -> None:
        self._results: dict[Hashable, Any] = {}
        self._seconds: defaultdict[Hashable, float] = defaultdict(float)
        self._users: Counter[Hashable] = Counter()
        self._spent = 0.0

    def plan(self, evaluations: Sequence[Evaluation]) -> None:
        """Says which evaluations the pieces are for."""
        self._users = Counter(piece for evaluation in evaluations for piece in evaluation.shares)

    def get(self, piece: Hashable, key: Hashable, compute: Callable[[], Result]) -> Result:
        """The result `key`, computed at the first call; its seconds count for `piece`."""
        if key not in self._results:
            start, spent = perf_counter(), self._spent
            self._results[key] = compute()
            seconds = perf_counter() - start
            self._seconds[piece] += seconds - (self._spent - spent)  # without what it shares itself
            self._spent = spent + seconds
        result: Result = self._results[key]
        return result

    def clock(self) -> float:
        """A clock in seconds that stops during shared work: it times what an evaluation does alone."""
        return perf_counter() - self._spent

    def seconds_of(self, evaluation: Evaluation) -> float:
        """The part of the shared seconds that `evaluation` accounts for."""
        return sum(self._seconds[piece] / self._users[piece] for piece in evaluation.shares)


class Subject(Protocol):
    """What a task hands over to be measured; it serves one round of evaluations (see `subjects.py`)."""

    @property
    def kind(self) -> str:
        """The kind that entries of `EVALUATIONS` name."""
        ...

    @property
    def shared(self) -> SharedWork: ...

    def plan(self, evaluations: Sequence[Evaluation]) -> None:
        """Called first, with all evaluations of the round, those that are done already included."""
        ...


def evaluate(
    evaluations: Sequence[Evaluation],
    subject: Subject,
    *,
    test: bool,
    done: Sequence[str] = (),
    resume_from: EvaluationProgress | None = None,
) -> Iterator[Evaluated | EvaluationProgress]:
    """Yields the results of each evaluation in turn, and the progress of those that take long.

    Every evaluation gives `val_<metric>` from the validation split; `test` allows the test split to be
    looked at, and gives `<metric>`, too. Evaluations whose keys are in `done` are skipped, and the one that
    `resume_from` belongs to continues from its state, with results equal to those of one that was never
    stopped (bit for bit on a CPU). Seconds include an equal part of the work that evaluations share.
    """
    subject.shared.plan(evaluations)
    subject.plan(evaluations)
    for evaluation in evaluations:
        if evaluation.key in done:
            continue
        entry = EVALUATIONS[evaluation.name]
        assert entry.subject == subject.kind, f"{evaluation.name} measures a {entry.subject}"
        measure = load(entry.measure)
        if inspect.isgeneratorfunction(measure):
            here = resume_from is not None and resume_from.evaluation == evaluation.key
            state = resume_from.state if resume_from is not None and here else None
            found = yield from _named(evaluation.key, measure(evaluation, subject, test=test, state=state))
        else:
            found = measure(evaluation, subject, test=test)
        found = found.longer_by(subject.shared.seconds_of(evaluation)).renamed(evaluation)
        yield replace(found, evaluation=evaluation.key)


def _named(
    key: str, running: Generator[EvaluationProgress, None, Evaluated]
) -> Generator[EvaluationProgress, None, Evaluated]:
    """The same generator; its progress says which evaluation it belongs to."""
    while True:
        try:
            progress = next(running)
        except StopIteration as end:
            found: Evaluated = end.value
            return found
        yield replace(progress, evaluation=key)


def evaluate_all(evaluations: Sequence[Evaluation], subject: Subject, *, test: bool) -> Evaluated:
    """The results of all evaluations, for callers that never stop in between."""
    news = evaluate(evaluations, subject, test=test)
    return merge([one for one in news if isinstance(one, Evaluated)])


@dataclass(frozen=True)
class Preparation:
    """What is known, before any training, about the coming measurements."""

    data: Any
    """The data set that the task learns from: `ImageData`, `ClipData` or a plugin's own."""
    device: "torch.device"
    """Where the subject will be."""
    num_workers: int = 1
    """Workers of a trial."""
    sampling: "ClipSampling | None" = None
    """How a clip encoder sees videos, where that is known."""


def prepare(evaluations: Sequence[Evaluation], preparation: Preparation) -> None:
    """Fetches and fits what the evaluations need, and finds what could stop them later, before any training.

    Raises `UserError` for missing files or weights, and for evaluations that the data, the number of workers
    or the device do not allow. Slow work (training a classifier, a download) comes last.
    """
    for evaluation in evaluations:
        evaluation.check(preparation.data)
    for evaluation in evaluations:
        entry = EVALUATIONS[evaluation.name]
        if entry.prepare is not None:
            load(entry.prepare)(evaluation, preparation)
