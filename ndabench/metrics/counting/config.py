"""The configuration of `count`. Nothing here imports torch.

evaluate:
- {name: count, counter: {name: dots, count: [0, 1, 2, 3, 4, 5, 6], seed: 7}}
"""

from collections.abc import Hashable
from typing import ClassVar, Literal

from pydantic import Field

from ndabench.data.registry import ImageDataConfig
from ndabench.errors import UserError
from ndabench.measurement import Better
from ndabench.metrics.evaluation import DataFacts, Evaluation


class CountConfig(Evaluation):
    """`count`: the share of generated images with a number of objects that no real one has.

    See `measuring.py`.
    """

    name: Literal["count"] = "count"
    num_samples: int = Field(2000, ge=1, le=10**6)
    """Generated images."""
    counter: ImageDataConfig | None = None
    """The images, with their numbers of objects as classes, that a second counter is trained on; they need
    other numbers than those of the training data. None: no second counter."""

    better: ClassVar[Better] = "lower"

    @property
    def measures(self) -> tuple[str, ...]:
        trained = ("count_wrong_trained",) if self.counter is not None else ()
        return ("count_wrong", "count_wrong_clear", "count_unclear", *trained)

    @property
    def shares(self) -> tuple[Hashable, ...]:
        return ("samples",)

    def check(self, data: DataFacts) -> None:
        numbers_of(data)


def numbers_of(data: DataFacts) -> tuple[int, ...]:
    """The number that each class stands for; `UserError` where a class's name is no number."""
    for name in data.class_names:
        if not (name.isascii() and name.isdigit()):
            raise UserError(
                f"count: the classes of {data.name} must be numbers of objects, such as those of dots; "
                f"got {name!r}"
            )
    return tuple(map(int, data.class_names))
