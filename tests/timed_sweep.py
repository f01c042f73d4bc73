"""A sweep of twelve trials, a clock that a test sets, and what a trial reports."""

from ndabench.config import parse
from ndabench.planning.sweep_file import SweepConfig

SWEEP = parse(
    SweepConfig,
    {
        "name": "tiny",
        "task": {"name": "gan", "num_steps": 100},
        "data": {"name": "digits"},
        "arms": ["none", "jigsaw"],
        "search": {"lambda": [0.5]},
        "seeds": list(range(6)),
    },
    "test",
)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def result(step: int, **more: float) -> dict[str, float]:
    return {"step": step, "num_steps": 100, "num_images": step, **more}
