"""Contestants timed in turns in one process, so that all see the same load."""

import contextlib
import os
import platform
import random
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from rich import box
from rich.console import Console
from rich.table import Table

from ndabench.data.feeding import ResidentSplit
from ndabench.data.images import ImageData
from ndabench.tasks.trainer import Trainer

Steps = Callable[[], None]
"""Takes a fixed number of training steps."""


def race_of_steps(
    console: Console,
    builders: Mapping[str, Callable[[], Steps]],
    *,
    rival: str,
    rounds: int,
    steps: int,
    num_examples: int,
    device: torch.device,
    sizes: str,
    unit: str = "images",
) -> None:
    """Times the contestants that can be built and prints a table; `num_examples` are those of a step."""
    contestants = {}
    for name, build in builders.items():
        try:
            contestants[name] = build()
        except RuntimeError as error:
            console.print(f"left out: {name} ({error})")
    seconds = race(contestants, rounds, device)
    console.print(
        f"{hardware(device)}, Python {platform.python_version()}, torch {torch.__version__}; "
        f"{time.strftime('%Y-%m-%d')}; {sizes}, medians of {rounds} rounds"
    )
    show(console, seconds, rival, steps=steps, num_images=steps * num_examples, unit=unit)


def steps_of(trainer: Trainer) -> Steps:
    """From one pause of a task to the next; `RuntimeError` where it was to compile and could not."""
    run = trainer.run()
    first = next(run)  # step 0, with its sheets, and torch.compile's attempt
    compiled = first.metrics.get("compiled")
    if compiled is not None and not compiled.value:
        raise RuntimeError(compiled.protocol["failure"])

    def take() -> None:
        next(run)

    return take


def random_images(device: torch.device) -> ImageData:
    """A thousand 32×32 pictures on the device, so that no reading is timed."""
    images = torch.randint(
        0, 256, (1024, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    ).to(device)
    split = ResidentSplit(images, torch.zeros(1024, dtype=torch.long), torch.arange(1024))
    return ImageData("random", "", ("all",), (3, 32, 32), split, split, split)


def race(contestants: dict[str, Steps], rounds: int, device: torch.device) -> dict[str, list[float]]:
    """Seconds of every round of every contestant, after one that is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    order = random.Random(0)
    for counted in [False] + [True] * rounds:
        for name in order.sample(list(contestants), len(contestants)):
            _wait_for(device)
            start = time.perf_counter()
            contestants[name]()
            _wait_for(device)
            if counted:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def hardware(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    model = "CPU"
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), model)
    return f"{torch.get_num_threads()} threads of {os.cpu_count()} cores of {model}"


def show(
    console: Console,
    seconds: dict[str, list[float]],
    rival: str,
    *,
    steps: int,
    num_images: int,
    unit: str = "images",
) -> None:
    """Prints medians and quartiles; `num_images` (of `unit`) are those of a round of `steps`."""
    rivals = statistics.median(seconds[rival]) if rival in seconds else None
    table = Table(box=box.SIMPLE)
    for column in ("", "seconds a step (quartiles)", f"{unit}/s", f"× {rival}"):
        table.add_column(column, justify="right" if column else "left", no_wrap=True)
    for name, samples in seconds.items():
        median = statistics.median(samples)
        low, _, high = statistics.quantiles(samples, n=4) if len(samples) > 1 else samples * 3
        table.add_row(
            name,
            f"{median / steps:.3f} ({low / steps:.3f} to {high / steps:.3f})",
            f"{num_images / median:.1f}",
            f"{rivals / median:.2f}" if rivals else "",
        )
    console.print(table)
