"""What the benchmarks are timed with."""

import io
from collections.abc import Callable

import torch
from rich.console import Console

from benchmarks.racing import Steps, race_of_steps


def _builder(name: str, taken: list[str]) -> Callable[[], Steps]:
    return lambda: lambda: taken.append(name)


def _out_of_memory() -> Steps:
    raise RuntimeError("no room")


def test_all_that_can_be_built_run_equally_often_and_are_shown_with_the_rival() -> None:
    taken: list[str] = []
    printed = io.StringIO()
    console = Console(file=printed, width=300)
    builders = {name: _builder(name, taken) for name in ("theirs", "ours")} | {"large": _out_of_memory}
    race_of_steps(
        console,
        builders,
        rival="theirs",
        rounds=3,
        steps=1,
        num_examples=4,
        device=torch.device("cpu"),
        sizes="batch 4",
        unit="clips",
    )
    assert sorted(taken) == ["ours"] * 4 + ["theirs"] * 4, "a round to warm up, and three that count"
    text = printed.getvalue()
    assert "left out: large (no room)" in text
    assert all(part in text for part in ("× theirs", "clips/s", "batch 4, medians of 3 rounds"))
