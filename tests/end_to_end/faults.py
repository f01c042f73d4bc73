"""Faults on order: told to the trials of a sweep beforehand, waited for, and looked for in what it prints."""

import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.end_to_end.driving import Bench, Command, wait_until

SABOTAGE = Path(__file__).parent / "sabotage"


def sabotaged(bench: Bench, faults: Sequence[Mapping[str, Any]]) -> Bench:
    """The same folder; in its sweeps these faults happen, each once or so many `times`.

    Each names its `trial` (`none 0`, `negative 1`: the seed, and whether there is a negative), its `step`
    (or `evaluation`), the `ranks` that it befalls (all), and `what` it is: one of
    `sabotage/sitecustomize.py`.
    """
    folder = bench.folder / "faults"
    folder.mkdir()
    (folder / "faults.json").write_text(json.dumps(list(faults)))
    path = os.pathsep.join(filter(None, [str(SABOTAGE), bench.environment.get("PYTHONPATH", "")]))
    return Bench(bench.folder, {**bench.environment, "PYTHONPATH": path, "NDABENCH_TEST_FAULTS": str(folder)})


def process_of(bench: Bench, fault: str, time: int = 1) -> int | None:
    """The process in which a fault (`wait of none 0 at 16`) happened for the `time`th time; None before."""
    for file in (bench.folder / "faults").glob(f"{fault}, rank *, {time}"):
        if pid := file.read_text():
            return int(pid)
    return None


def let_go_on(bench: Bench, place: str) -> None:
    """Ends the wait of a trial at a step (`none 0 at 16`), in whichever processes."""
    (bench.folder / "faults" / f"go on, {place}").touch()


def until(command: Command, condition: Callable[[], Any], what: str) -> None:
    """Waits while the command runs; fails with what it printed if it ends first."""
    wait_until(lambda: not command.running or condition(), what)
    assert condition(), command.ended()


def losses(printed: str) -> list[str]:
    """The lines of lost trials, without what depends on chance: how many restarts led no further before."""
    pattern = r" in \d+ s, restart \d+ of \d+ without progress$"
    lines = [re.sub(r"\.py:\d+", ".py", line) for line in printed.splitlines()]
    return [re.sub(pattern, "", line) for line in lines if re.search(pattern, line)]
