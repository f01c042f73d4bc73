"""What every task is: a resumable iterator of progress. It prints nothing and knows no Ray."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from ndabench.errors import UserError
from ndabench.measurement import Measurement


@dataclass(frozen=True)
class LambdaRule:
    """What λ may be in a task; its configuration class holds one as `LAMBDA`."""

    plain: float
    """Where a negative has no say: the λ of every trial without one."""
    default: float
    """Of a trial with a negative, where none is given."""
    range: str
    """In words, for errors: `(0, 1]`."""
    low: float
    """Excluded where `range` begins with a round bracket."""
    high: float

    def check(self, value: Any, where: str = "") -> None:
        """`UserError`, beginning with `where`, if `value` is no λ of this task."""
        number = isinstance(value, int | float) and not isinstance(value, bool)
        low_is_out = self.range.startswith("(")
        if (
            not number
            or not self.low <= value <= self.high
            or (low_is_out and value == self.low)
            or (math.isinf(value))
        ):
            raise UserError(f"{where}lambda must lie in {self.range}, got {value!r}")


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
