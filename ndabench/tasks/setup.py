"""The inputs from which a task is built: one trial's settings, data, augmentations and random streams."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from ndabench.augmentations.compose import Augmentation
from ndabench.distributed import Workers
from ndabench.errors import UserError
from ndabench.random_streams import random_stream
from ndabench.registry import load
from ndabench.tasks.definition import TaskDefinition


@dataclass(frozen=True)
class TrialSetup:
    """Everything that decides a training.

    Raises `UserError` for a λ outside the task's range, or one that weighs a negative where there is none.
    """

    config: Any
    """The task's configuration, an instance of its definition's `config`."""
    data: Any
    """The data set, loaded: `ImageData` or `ClipData`."""
    negative: Augmentation | None = None
    """T as the trial names it. If λ gives T no weight, T is not even drawn: see `weighted_negative`."""
    negative_data: tuple[str, ...] = ()
    """The content hashes of the data sets that T is drawn from."""
    positive: Augmentation | None = None
    """Changes the real samples themselves (PDA)."""
    lambda_: float = None  # type: ignore[assignment]  # None stands for the plain one until __post_init__
    """The paper's λ; its meaning depends on the task. By default the plain one, which weighs no negative."""
    seed: int = 0
    horizontal_flip: bool = False
    """Whether real images are mirrored at random."""
    evaluations: Sequence[Any] = ()
    workers: Workers = field(default_factory=Workers)

    def __post_init__(self) -> None:
        rule = self.definition.lambda_rule
        if self.lambda_ is None:
            object.__setattr__(self, "lambda_", rule.baseline)
        rule.check(self.lambda_)
        self.definition.check(self.config, self.evaluations)
        if self.negative is None and self.lambda_ != rule.baseline:
            raise UserError(f"lambda {self.lambda_} {rule.weighs}, but there is none")

    @property
    def definition(self) -> TaskDefinition:
        # By name: the registry knows every task's settings, and the tasks build on this module.
        definition: TaskDefinition = load("ndabench.tasks.registry:TASKS")[self.config.name]
        return definition

    @property
    def weighted_negative(self) -> Augmentation | None:
        """T, or None where λ gives it no weight: such a training equals the plain one, bit for bit."""
        return self.negative if self.lambda_ != self.definition.lambda_rule.baseline else None

    def stream(self, name: str, device: torch.device | None = None) -> torch.Generator:
        """A generator at the beginning of the trial's random stream `name`, on the CPU by default."""
        return random_stream(self.seed, name, device)


def check_batch(setup: TrialSetup, things: str) -> None:
    """`UserError` where the batch, the number of training `things` and the workers do not go together."""
    config, num_examples, workers = setup.config, len(setup.data.train), setup.workers
    if config.num_steps == 0:
        return
    if config.batch_size > num_examples:
        raise UserError(
            f"batch_size {config.batch_size} exceeds the number of training {things}, {num_examples}"
        )
    if config.batch_size % workers.world_size:
        raise UserError(
            f"batch_size {config.batch_size} cannot be shared equally by {workers.world_size} workers"
        )
