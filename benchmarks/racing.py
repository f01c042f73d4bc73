"""Contestants timed in turns in one process, so that all see the same load."""

import contextlib
import os
import random
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from rich import box
from rich.console import Console
from rich.table import Table

Steps = Callable[[], None]
"""Takes a fixed number of training steps."""


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
