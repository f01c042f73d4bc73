"""Two sweeps on a cluster whose processes and nodes are killed at random moments, compared with undisturbed
ones.

    PYTHONPATH=. python benchmarks/faults/soak.py [--seed 0] [--kills 12] [--steps 600]

Five simulated nodes on this machine. Ten trials of one worker and four of two are trained, first as they are,
then while something is killed or stopped every few seconds, so many `--kills` in each of the two sweeps. The
sweep's own driver may be killed too; `--resume` then continues the sweep. Prints every kill and a verdict:
all trials finished, no record missing or doubled, all metrics equal to the bit. Exit code 1 where not.
"""

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from ndabench.records import RecordStore
from tests.end_to_end import driving
from tests.end_to_end.driving import Bench, Command, metrics, statuses, wait_until
from tests.end_to_end.nodes import Nodes

DRIVERS, WORKERS = {"safe": 1.0}, {"work": 1.0}
PAUSES = (0.5, 10.0)
"""Seconds before a kill."""
BLINDLY = 0.25
"""The share of kills that come whenever they come; the others wait first until a trial has got further, or
most would befall trials that are only just beginning."""
PATIENCE = 3600
TRIAL, WORKER = "ray::ImplicitFunc", "ray::RayTrainWorker"
SWEEPS: Mapping[str, dict[str, Any]] = {
    "one worker": {"seeds": [0, 1, 2, 3, 4], "resources": {"custom_per_worker": {"work": 0.1}}},
    "two workers": {"seeds": [0, 1], "resources": {"workers": 2, "drivers_on": "safe"}},
}


@dataclass
class Soak:
    """A cluster, and what was done to it."""

    bench: Bench
    nodes: Nodes
    chance: random.Random
    places: dict[str, list[Command]] = field(default_factory=lambda: {"drivers": [], "workers": []})
    kills: list[tuple[str, float, str]] = field(default_factory=list)

    def begin(self) -> None:
        self.nodes.add(cpus=0)
        for place in ("drivers", "drivers", "workers", "workers"):
            self.add(place)

    def add(self, place: str) -> None:
        drives = place == "drivers"
        self.places[place].append(self.nodes.add(0 if drives else 1, DRIVERS if drives else WORKERS))

    def sweep(self, file: str, out: Path, *options: str) -> Command:
        return self.bench.start("ndabench.sweep", file, "--out", str(out), *options)

    def suffer(self, name: str, file: str, out: Path, kills: int) -> str:
        """Runs the sweep to its end while kills go on; returns what it printed last."""
        began, done = time.monotonic(), 0
        command = self.sweep(file, out)
        try:
            while time.monotonic() - began < PATIENCE:
                self.pause(command, out)
                if not command.running:
                    break
                what = self.kill_something(command, nested=name == "two workers") if done < kills else ""
                if what:
                    done += 1
                    self.kills.append((name, time.monotonic() - began, what))
                if what == "the sweep's driver":
                    command = self.sweep(file, out, "--resume")
            ended = command.ended()
        finally:
            command.kill()
        return (
            f"after {done} kills and {time.monotonic() - began:.0f} s, exit code {ended.code}: "
            + ((ended.stdout + ended.stderr).strip().splitlines()[-1])
        )

    def pause(self, sweep: Command, out: Path) -> None:
        if self.chance.random() > BLINDLY:
            before = checkpoints(out)
            wait_until(
                lambda: not sweep.running or bool(checkpoints(out) - before), "a trial gets further", 0.2
            )
        time.sleep(self.chance.uniform(*PAUSES))

    def kill_something(self, sweep: Command, nested: bool) -> str:
        """What was killed; empty where there was nothing of the kind."""
        kinds = ["a trial's process", "all trials' processes", "a trial's process stopped"]
        weights = [4, 1, 2]
        if nested:
            kinds += ["a worker", "all workers", "a worker stopped", "a node of drivers"]
            weights += [4, 2, 2, 1]
        kinds += ["a node of workers", "the sweep's driver"]
        weights += [1, 1]
        (what,) = self.chance.choices(kinds, weights)
        if what == "the sweep's driver":
            sweep.kill()
        elif what.startswith("a node"):
            self.lose_node(what.split()[-1])
        else:
            found = [
                pid
                for nodes in self.places.values()
                for node in nodes
                for pid in node.titled(WORKER if "worker" in what else TRIAL)
            ]
            chosen = found if what.startswith("all") else self.chance.sample(found, min(1, len(found)))
            for pid in chosen:
                os.kill(pid, signal.SIGSTOP if "stopped" in what else signal.SIGKILL)
            return what if chosen else ""
        return what

    def lose_node(self, place: str) -> None:
        """All processes of a node at once; another node joins after a while."""
        node = self.places[place].pop(self.chance.randrange(len(self.places[place])))
        node.kill()
        time.sleep(self.chance.uniform(0, PAUSES[1]))
        self.add(place)


def checkpoints(out: Path) -> set[Path]:
    return set(out.glob("checkpoints/*/*.pt"))


def verdict(out: Path, undisturbed: Path, trials: int) -> str:
    """What is wrong with the records; empty where nothing is."""
    known = statuses(out)
    if sorted(known.values()) != ["finished"] * trials:
        return f"{sum(status != 'finished' for status in known.values())} of {len(known)} trials not finished"
    measured, expected = metrics(out), metrics(undisturbed)
    if measured.keys() != expected.keys():
        missing, added = expected.keys() - measured.keys(), measured.keys() - expected.keys()
        return f"{len(missing)} records missing, {len(added)} too many"
    different = sum(value != expected[key] for key, value in measured.items())
    return f"{different} of {len(measured)} metrics differ" if different else ""


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kills", type=int, default=12, help="of each of the two sweeps, at least")
    parser.add_argument("--steps", type=int, default=600)
    options = parser.parse_args()
    console = Console(width=110)
    environment = {
        key: value for key, value in os.environ.items() if not key.startswith(("RAY_", "NDABENCH_"))
    }
    environment |= {"OMP_NUM_THREADS": "1", "COLUMNS": "160"}
    driving.PATIENCE = PATIENCE
    problems = []
    with tempfile.TemporaryDirectory(prefix="ndabench-soak-") as name:
        folder = Path(name)
        environment["NDABENCH_CACHE"] = str(folder / "cache")
        with Nodes(environment) as nodes:
            bench = Bench(folder, nodes.environment)
            soak = Soak(bench, nodes, random.Random(options.seed))
            soak.begin()
            for sweep, changes in SWEEPS.items():
                problems += one_sweep(soak, sweep, changes, options, console)
    table = Table("", "sweep", "second", "killed")
    for i, (sweep, second, what) in enumerate(soak.kills, 1):
        table.add_row(str(i), sweep, f"{second:.0f}", what)
    console.print(table)
    kills = f"{date.today()}, seed {options.seed}, {len(soak.kills)} kills"
    console.print(f"{kills}, {options.steps} steps a trial of one worker, {steps_of(2, options)} of two")
    console.print("; ".join(problems) or "all records are those of undisturbed sweeps, to the bit")
    return 1 if problems or len(soak.kills) < 20 else 0


def steps_of(workers: int, options: Any) -> int:
    """The steps of a trial; several workers take longer over each."""
    return options.steps // workers**2


def one_sweep(soak: Soak, name: str, changes: Mapping[str, Any], options: Any, console: Console) -> list[str]:
    """Runs the sweep undisturbed and disturbed; returns what is wrong."""
    steps = steps_of(changes["resources"].get("workers", 1), options)
    resources = {"max_concurrent": 2, "max_silence_seconds": 20, "max_restarts": 5, **changes["resources"]}
    task = {"num_steps": steps, "checkpoint_every": 10, "log_every": 10}
    evaluate = [{"name": "fd", "num_samples": 64, "every": steps // 3}]
    file = soak.bench.file(task=task, evaluate=evaluate, seeds=changes["seeds"], resources=resources)
    trials = 2 * len(changes["seeds"])
    whole, out = soak.bench.folder / f"{name} whole", soak.bench.folder / name
    console.print(f"{name}: {trials} trials, undisturbed …")
    began, first = time.monotonic(), soak.sweep(file, whole)
    try:
        ended = first.ended()
    finally:
        first.kill()
    console.print(f"{time.monotonic() - began:.0f} s, exit code {ended.code}; now with kills …")
    console.print(soak.suffer(name, file, out, options.kills))
    attempts = [row["attempts"] for row in RecordStore(str(out)).read_trials().to_pylist()]
    console.print(f"attempts at each trial: {attempts}")
    wrong = verdict(out, whole, trials)
    return [f"{name}: {wrong}"] if wrong else []


if __name__ == "__main__":
    sys.exit(main())
