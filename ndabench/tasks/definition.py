"""What a task tells the rest of ndabench about itself, without importing torch.

The runner, the sweep file, the preview, the report and the docs know a task only by its `TaskDefinition` in
`registry.TASKS`. A task from outside registers one as well:

    class ToyConfig(TaskConfig):
        name: Literal["toy"] = "toy"
        num_steps: int = Field(10, ge=0)

    TASKS.register(
        "toy",
        TaskDefinition(
            config=ToyConfig,
            build="my_package.toy:ToyTask",
            learns_from="images",
            produces="image_encoder",
            lambda_rule=LambdaRule(baseline=0.0, default=1.0, ...),
        ),
    )

`build` names a function or class that makes a `task.Task` of a `setup.TrialSetup`.

    >>> from ndabench.tasks.registry import TASKS
    >>> rule = TASKS["gan"].lambda_rule
    >>> rule.baseline, rule.range  # the plain GAN, and where λ may lie
    (1.0, '(0, 1]')
    >>> rule.check(0, "search: ")
    Traceback (most recent call last):
    ndabench.errors.UserError: search: lambda must lie in (0, 1], got 0
"""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ndabench.config import BatchSize, Config, SomeSteps, Steps
from ndabench.data.registry import MODALITIES, Modality
from ndabench.errors import UserError
from ndabench.foreign_text import shown


@dataclass(frozen=True, kw_only=True)
class LambdaRule:
    """What λ means in a task, and which values it may have."""

    baseline: float
    """The λ at which a negative has no weight: that of every trial without one."""
    default: float
    """The λ of a trial with a negative where none is given."""
    low: float
    high: float
    low_open: bool = False
    """Whether `low` itself is excluded."""
    high_open: bool = False
    """Whether `high` itself is excluded."""
    weighs: str
    """A phrase for errors that says what λ does with a negative:
    `shares the fakes' weight with a negative`."""
    meaning: str
    """A phrase for tables and figures that says what λ is:
    `weight of the NDA keys, 0 being the plain loss`."""

    @property
    def range(self) -> str:
        """`(0, 1]`, for errors."""
        high = "∞" if math.isinf(self.high) else f"{self.high:g}"
        return f"{'(' if self.low_open else '['}{self.low:g}, {high}{')' if self.high_open else ']'}"

    def check(self, value: Any, where: str = "") -> None:
        """`UserError`, beginning with `where`, if `value` is no λ of this task."""
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if (
            not number
            or not self.low <= value <= self.high
            or (self.low_open and value == self.low)
            or (self.high_open and value == self.high)
        ):
            wanted = f"lie in {self.range}" if number else "be a number"
            raise UserError(f"{where}lambda must {wanted}, got {shown(value)}")


class TaskConfig(Config):
    """The keys that the configuration of every task has; a task sets other defaults and adds its own."""

    name: str
    num_steps: Steps = 1000
    """Training steps."""
    batch_size: BatchSize = 64
    """Images or clips in a step, over all workers."""
    log_every: SomeSteps = 50
    """Steps from one point of the training curves to the next."""
    checkpoint_every: SomeSteps = 500
    """Steps from one checkpoint to the next; there is always one at the last step."""
    compile: bool = False
    """Use torch.compile where it works; where it does not, the metric `compiled` says so and why."""
    tf32: bool = True
    """On a GPU, let float32 products round to TF32."""

    @property
    def images_per_step(self) -> int:
        """Real images or clips that a training step consumes, over all workers."""
        return self.batch_size

    @property
    def num_images(self) -> int:
        """Real images or clips that the whole training consumes."""
        return self.num_steps * self.images_per_step

    def judged_per_step(self, *, negative: bool) -> int | None:
        """Images, clips or parts of clips that the discriminator judges, or the encoders embed, in a training
        step over all workers, with or without a negative that has a weight.

        It is what `budget: compute` makes equal. None where the task does not say.
        """
        return None

    @property
    def released_negatives(self) -> bool:
        """Whether negatives that name no variant follow the rules of the released code where it has one."""
        return False

    @property
    def resolved(self) -> dict[str, Any]:
        """Keys with what they mean together with keys that may change on resume: a checkpoint must agree in
        it."""
        return {}

    @classmethod
    def making_way(cls, keys: Mapping[str, Any], searched: Collection[str]) -> dict[str, Any]:
        """`keys` of such a task without those that the `searched` keys (dotted) replace, since they set the
        same in other units."""
        return dict(keys)

    @property
    def cautions(self) -> tuple[str, ...]:
        """What may be a mistake in these settings, one line each; it stops nothing."""
        return ()

    def shown_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of what augmentations see, given that of the data set's images (C, H, W) or frames."""
        return shape


def no_rules(config: Any, evaluations: Sequence[Any]) -> None:
    """The `check` of a task whose settings and evaluations all go together."""


@dataclass(frozen=True)
class TaskDefinition:
    """A task, as everything but the trainer sees it."""

    config: type[TaskConfig]
    build: str
    """`package.module:attribute` of the class or function that makes the `Task` from a `TrialSetup`."""
    learns_from: Modality
    produces: str
    """The kind of subject that evaluations measure, such as `generator`; see `metrics.registry`."""
    lambda_rule: LambdaRule
    treatment: frozenset[str] = frozenset()
    """Keys that only say how a negative enters: an arm without a negative is not searched over them."""
    changeable_on_resume: frozenset[str] = frozenset({"log_every", "checkpoint_every", "compile"})
    """Keys in which a checkpoint may differ from the run that continues it."""
    check: Callable[[Any, Sequence[Any]], None] = no_rules
    """Raises `UserError` where a configuration and its evaluations do not go together."""

    @property
    def counted(self) -> str:
        """What `num_images` counts, as tables call it."""
        return MODALITIES[self.learns_from].counted
