"""What every task is: a resumable iterator of progress. It prints nothing and knows no Ray."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from ndabench.measurement import Measurement


@dataclass(frozen=True)
class Progress:
    """What a task says when it pauses: where it stands, what it measured, what is worth keeping.

    A task yields between steps, never inside `torch.no_grad()` (its caller would inherit the mode), and may
    be dropped or check-pointed at any yield. Every worker of a trial yields equally often.
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


class DivergedError(RuntimeError):
    """Training left the finite numbers; the message says at which step and which value."""


class Task(Protocol):
    """A training with its evaluations: `list(task.run())` is the whole of it.

    `run` goes on from wherever the state stands: on a fresh task from step 0, after `load_state_dict` from
    the step of that state, with results equal to those of a run that was never interrupted (bit for bit on
    a CPU). Raises `DivergedError` when a loss or a weight is no longer finite.
    """

    def run(self) -> Iterator[Progress]: ...

    def state_dict(self) -> dict[str, Any]:
        """Tensors, numbers, strings, lists and dicts only: it is read with `weights_only=True`."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None: ...
