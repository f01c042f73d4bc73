"""The protocol of a task: the part of a training that differs from task to task. The rest is in
`trainer.Trainer`."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from ndabench.measurement import Measurement

if TYPE_CHECKING:
    import torch
    from torch import nn

    from ndabench.metrics.subjects import Subject
    from ndabench.tasks.curves import Curves


@dataclass(frozen=True)
class Progress:
    """What a training reports at a pause: how far it is, what it measured, what is worth keeping.

    A trainer yields it between steps, never inside `torch.no_grad()` (its caller would inherit the mode). The
    caller may stop there, or save a checkpoint. Every worker of a trial yields equally often.
    """

    step: int
    """Training steps done so far."""
    num_steps: int
    """Steps of the whole run."""
    num_images: int
    """Real images (or clips) consumed so far, over all workers."""
    metrics: Mapping[str, Measurement] = field(default_factory=dict)
    checkpoint_due: bool = False
    artifacts: Mapping[str, bytes] = field(default_factory=dict)
    """File name (`samples.png`) to its bytes; filled on the main worker only."""
    notes: tuple[str, ...] = ()
    """What a reader of the metrics must know, one sentence each; kept with the trial."""
    evaluated: tuple[int, int] = (0, 0)
    """How many evaluations of this step are done, and how many units of the one that runs."""
    num_judged: int | None = None
    """What the discriminator judged, or the encoders embedded, so far; see `TaskConfig.judged_per_step`."""


class DivergedError(RuntimeError):
    """A loss or a weight is no longer finite; the message names the step and the value."""


class Stateful(Protocol):
    """A network, an optimiser, or anything else that can be saved and restored."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state_dict: Any) -> Any: ...


class Task(Protocol):
    """Networks, optimisers and random streams, and how they take one training step.

    `Trainer` calls these methods on every worker of a trial. A task is built at step 0 from a `TrialSetup`;
    it raises `UserError` then for settings that do not fit together.
    """

    @property
    def curves(self) -> "Curves":
        """Where `training_step` adds the values that are logged; the trainer reads and clears it."""
        ...

    @property
    def streams(self) -> "Mapping[str, torch.Generator]":
        """The random streams that training draws from; saved and restored with the rest."""
        ...

    @property
    def picture_every(self) -> int | None:
        """Steps from one call of `artifacts` to the next; the first and last step call it in any case."""
        ...

    @property
    def evaluates_untrained(self) -> bool:
        """Whether an evaluation without `every` also measures step 0."""
        ...

    def batches(self, start: int) -> Iterator[Any]:
        """What `training_step` takes, without end, from that of step `start` on."""
        ...

    def training_step(self, batch: Any, step: int) -> None:
        """One step on a global batch; `step` counts from 0."""
        ...

    def networks(self) -> "Mapping[str, nn.Module]":
        """The trained networks by name, whose weights must stay finite."""
        ...

    def compile(self) -> str:
        """Compiles the part that takes most of a step; returns why that failed, or an empty string."""
        ...

    def synchronise(self) -> None:
        """Makes the workers' states equal where training lets them differ; called at every pause."""
        ...

    def subject(self, step: int) -> "Subject":
        """What evaluations look at after `step` steps; see `metrics.subjects`."""
        ...

    def artifacts(self, step: int, *, last: bool) -> dict[str, bytes]:
        """Files by name that show the training at `step`, or that it exports at its last step."""
        ...

    def parts(self) -> Mapping[str, Stateful]:
        """Everything that the next step depends on, the streams aside: networks, optimisers, queues."""
        ...
