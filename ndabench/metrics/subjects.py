"""What evaluations look at, and what is known of it before it is trained. Nothing here imports torch.

A task builds a subject for one round of evaluations and hands it to `evaluate`. ndabench has five: a
generator of images with its discriminator (`generators/subject.py`), one of points (`points/subject.py`), a
translator of paired pictures (`translators/subject.py`), an image encoder (`image_encoders/subject.py`) and a
clip encoder (`clip_encoders/subject.py`). Samples and features are computed once for each subject, extractor,
split and data set, and shared by the evaluations of the round. Evaluations leave the networks as they were,
bit for bit.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from ndabench.data.videos.clip_sampling import ClipSampling
from ndabench.metrics.evaluation import Evaluation

if TYPE_CHECKING:
    import torch

Result = TypeVar("Result")

GENERATOR, TRANSLATOR, POINT_GENERATOR = "generator", "translator", "point_generator"
IMAGE_ENCODER, CLIP_ENCODER = "image_encoder", "clip_encoder"
"""The kinds of subjects that ndabench itself has."""


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
    """What a task hands over to be measured; it serves one round of evaluations."""

    @property
    def kind(self) -> str:
        """The kind that entries of `EVALUATIONS` name."""
        ...

    @property
    def shared(self) -> SharedWork: ...

    def plan(self, evaluations: Sequence[Evaluation]) -> None:
        """Called first, with all evaluations of the round, those that are done already included."""
        ...


@dataclass(frozen=True)
class Preparation:
    """What is known, before any training, about the coming measurements."""

    data: Any
    """The data set that the task learns from: `ImageData`, `ClipData` or a plugin's own."""
    device: "torch.device"
    """Where the subject will be."""
    num_workers: int = 1
    """Workers of a trial."""
    sampling: ClipSampling | None = None
    """How a clip encoder sees videos, where that is known."""
    say: Callable[[str], None] = lambda line: None
    """Tells the user, before any training, a line about what was found."""
