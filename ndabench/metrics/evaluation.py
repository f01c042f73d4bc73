"""The base of every evaluation in a sweep file's `evaluate` list. Nothing here imports torch.

An evaluation from outside derives from `Evaluation`, says what its values are called, and is registered
together with the function that measures it (see `ndabench.metrics.registry`):

    class BrightnessConfig(Evaluation):
        name: Literal["brightness"] = "brightness"
        num_samples: int = Field(1000, ge=1)  # how many images a generator is asked for

        @property
        def measures(self) -> tuple[str, ...]:
            return ("brightness",)
"""

from collections.abc import Hashable
from typing import ClassVar, Protocol

from pydantic import Field

from ndabench.config import Config, SomeSteps
from ndabench.errors import UserError
from ndabench.measurement import Better


class SplitSize(Protocol):
    """A split of a data set, of which only the length matters."""

    def __len__(self) -> int: ...


class DataFacts(Protocol):
    """The facts about a data set of images or videos that an evaluation can use before any training."""

    @property
    def name(self) -> str: ...

    @property
    def content_hash(self) -> str: ...

    @property
    def class_names(self) -> tuple[str, ...]: ...

    @property
    def train(self) -> SplitSize: ...

    @property
    def validation(self) -> SplitSize: ...

    @property
    def test(self) -> SplitSize: ...


class Evaluation(Config):
    """The keys that all evaluations share."""

    name: str
    every: SomeSteps | None = None
    """Steps between two measurements during training; None: only at the last step (a GAN is also measured
    at step 0)."""
    as_: str | None = Field(None, alias="as", pattern="^[a-z0-9_]{1,40}$")
    """A label that is appended to the names of the values: `dpc_finetune` as `hmdb51` gives
    `dpc_finetune_hmdb51`. The protocols also hold it."""

    better: ClassVar[Better] = "neither"

    @property
    def measures(self) -> tuple[str, ...]:
        """The names of the values without the label and without `val_`."""
        raise NotImplementedError

    @property
    def diagnostics(self) -> tuple[str, ...]:
        """The names of further values, which explain the others and are no objective, without the label."""
        return ()

    @property
    def metrics(self) -> tuple[str, ...]:
        """The names of the values that may be an objective."""
        return tuple(map(self.rename, self.measures))

    @property
    def reported(self) -> tuple[str, ...]:
        """The names of all values, which no other evaluation of a sweep file may have."""
        return (*self.metrics, *map(self.rename, self.diagnostics))

    @property
    def key(self) -> str:
        """The name of the first value: it identifies the evaluation in its sweep file."""
        return self.metrics[0]

    @property
    def shares(self) -> tuple[Hashable, ...]:
        """The pieces of work (samples, features) that evaluations of one subject compute only once.

        Evaluations that list the same piece each account for an equal part of its seconds.
        """
        return ()

    def rename(self, name: str) -> str:
        """The name of a value or of a file, with the label where there is one."""
        return f"{name}_{self.as_}" if self.as_ else name

    def check(self, data: DataFacts) -> None:
        """Raises `UserError` where the data that the task learns from do not allow this evaluation."""


class ProbeConfig(Evaluation):
    """The keys that all evaluations by the classes of a data set share."""

    better: ClassVar[Better] = "higher"

    @property
    def measures(self) -> tuple[str, ...]:
        return (self.name,)

    def check(self, data: DataFacts) -> None:
        self.check_classes(data)

    def check_classes(self, data: DataFacts) -> None:
        """`UserError` where `data` have fewer than two classes to tell apart."""
        if len(data.class_names) < 2:
            raise UserError(
                f"{self.name}: {data.name} has no labels to predict; take a data set with classes"
            )
