"""The Fréchet distance of a GAN's moving averages of several lengths, and of its weights in training.

    python benchmarks/average.py [--sweep sweeps/quickstart.yaml] [--seeds 8] [--decay 0.9 --decay 0.99]

A run is one training with all averages at its side, so that they differ in their length alone; all start at
the step of the sweep's own. After the last step each is measured on the test split, with images from the same
noise. The last line says what it costs to measure the weights in training as well.
"""

import itertools
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean, median, stdev
from typing import Annotated, Any

import torch
import typer
from rich import box
from rich.console import Console
from rich.table import Table
from torch import nn

from benchmarks.racing import hardware
from ndabench.data.registry import load_data
from ndabench.metrics.evaluating import evaluate, prepare
from ndabench.metrics.generators.config import FrechetConfig
from ndabench.metrics.results import Evaluated
from ndabench.metrics.subjects import Preparation
from ndabench.models.ema import MovingAverage
from ndabench.planning.sweep_file import read_sweep
from ndabench.tasks.gan.task import GanTask
from ndabench.tasks.registry import build_negative, build_positive
from ndabench.tasks.setup import TrialSetup
from ndabench.trials.config import TrialConfig

DECAYS = (0.9, 0.95, 0.97, 0.99)
LIVE = "live"
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Run:
    """One training: the distance of each average, and CPU seconds."""

    distances: Mapping[str, float]
    seconds_of_training: float
    seconds_of_one_distance: float


def run(trial: TrialConfig, data: Any, decays: Sequence[float], num_samples: int) -> Run:
    """Trains with an average of every decay at the side, and measures them all."""
    torch.set_num_threads(1)
    task = GanTask(
        TrialSetup(
            trial.task,
            data,
            negative=build_negative(trial.task, trial.negative, data),
            positive=build_positive(trial.task, trial.positive, data),
            lambda_=trial.lambda_,
            seed=trial.seed,
        )
    )
    start = task.average.start
    averages = {f"{decay:g}": MovingAverage(task.generator, decay=decay, start=start) for decay in decays}
    begun = time.process_time()
    for step, batch in enumerate(itertools.islice(task.batches(0), trial.task.num_steps), start=1):
        task.training_step(batch, step - 1)
        for average in averages.values():
            average.update(task.generator, step)
    trained = time.process_time()
    networks: dict[str, nn.Module] = {LIVE: task.generator}
    networks |= {name: average.network for name, average in averages.items()}
    distances = {name: distance(task, network, num_samples) for name, network in networks.items()}
    each = (time.process_time() - trained) / len(networks)
    return Run(distances, trained - begun, each)


def distance(task: GanTask, generator: nn.Module, num_samples: int) -> float:
    """The Fréchet distance of images from `generator` to the test split."""
    sampler = replace(task.sampler, generator=generator)
    subject = sampler.subject(task.data, step=task.config.num_steps)
    (found,) = evaluate([FrechetConfig(num_samples=num_samples)], subject, test=True)
    assert isinstance(found, Evaluated)
    return found.measurements["fd_classifier"].value


def show(console: Console, arm: str, runs: Sequence[Run], num_steps: int) -> None:
    """The table of one arm: the distances, and how often each is worse than the shortest average's."""
    table = Table(box=box.SIMPLE, title=f"{arm}, n = {len(runs)}", title_justify="left")
    for column in ("weights", "share of the run", "mean FD (sd)", "median", "range", "worse than the first"):
        table.add_column(column, justify="left" if column == "weights" else "right")
    shortest = list(runs[0].distances)[1]
    for name in runs[0].distances:
        values = [one.distances[name] for one in runs]
        worse = sum(one.distances[name] > one.distances[shortest] for one in runs)
        share = "" if name == LIVE else f"{100 / (1 - float(name)) / num_steps:.0f} %"
        spread = f" ({stdev(values):.2f})" if len(values) > 1 else ""
        table.add_row(
            name if name == LIVE else f"decay {name}",
            share,
            f"{mean(values):.2f}{spread}",
            f"{median(values):.2f}",
            f"{min(values):.2f} to {max(values):.2f}",
            "" if name == shortest else f"{worse} of {len(runs)}",
        )
    console.print(table)


def main(
    sweep: Path = Path("sweeps/quickstart.yaml"),
    seeds: Annotated[int, typer.Option(min=1)] = 8,
    decay: Annotated[list[float] | None, typer.Option(help="default: 0.9, 0.95, 0.97, 0.99")] = None,
    arm: Annotated[list[str] | None, typer.Option(help="default: none and jigsaw")] = None,
    num_samples: Annotated[int, typer.Option(min=2)] = 1000,
    set_: Annotated[list[str] | None, typer.Option("--set")] = None,
) -> None:
    """Trains every arm with every seed, and prints a table for each arm."""
    config, console = read_sweep(sweep, set_ or []), Console(width=110)
    data: Any = load_data(config.data, CPU)
    prepare([FrechetConfig(num_samples=num_samples)], Preparation(data, CPU))
    steps = config.task.num_steps
    console.print(
        f"{hardware(CPU)}, Python {platform.python_version()}, torch {torch.__version__}; "
        f"{time.strftime('%Y-%m-%d')}; {config.name}, {steps} steps, {num_samples} images"
    )
    runs: list[Run] = []
    for one in config.arms:
        if one.name not in (arm or ("none", "jigsaw")):
            continue
        setting = next(config.boundary_settings(one))
        trials = [config.trial(one, setting, seed) for seed in range(seeds)]
        found = [run(trial, data, decay or DECAYS, num_samples) for trial in trials]
        show(console, trials[0].label.rpartition(" seed")[0], found, steps)
        runs += found
    training, each = (
        median(getattr(one, name) for one in runs)
        for name in ("seconds_of_training", "seconds_of_one_distance")
    )
    console.print(
        f"CPU seconds: {training:.1f} of training, {each:.2f} for one measurement of the test split"
    )


if __name__ == "__main__":
    typer.run(main)
