"""Images/s of every negative, compared with a clone of the batch and, given a checkout, with the released
code.

    python benchmarks/negatives.py [--released PATH] [--device cuda] [--dtype uint8]

All contestants take turns in one process: a round times each of them once, in a new order and next to a clone
of the batch, so that a machine that slows down slows all. Figures are medians over the rounds with their
quartiles; the ratio to the clone is the median of the ratios within a round. "At best" compares the fastest
rounds, which is what a machine shared with others still tells. Eager, nothing compiled.
"""

import platform
import random
import statistics
import sys
import time
import types
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Annotated, Any

import numpy
import torch
import typer
from rich import box
from rich.console import Console
from rich.table import Table
from torch import Tensor

from ndabench.augmentations.registry import implementations

NEGATIVES = implementations("corrected")
RELEASED = implementations("released")

THEIR_NAMES = {
    "jigsaw": "jigsaw_k",
    "stitch": "stitch",
    "mixup": "mixup",
    "cutout": "cutout",
    "cutmix": "cut_mix",
    "rotate": "rotate",
    "shift": "shifted",
}
SECONDS_PER_SAMPLE = 0.003
WARM_UP_CALLS = 3


@dataclass
class Contestant:
    """One transform: what it runs, and the seconds it took in each round."""

    run: Callable[[], Tensor]
    failure: str = ""
    calls: int = 1
    seconds: list[float] = field(default_factory=list)
    ratios: list[float] = field(default_factory=list)

    def images_per_second(self, batch_size: int) -> str:
        if self.failure:
            return f"fails: {self.failure}"
        low, middle, high = (batch_size / s for s in reversed(statistics.quantiles(self.seconds, n=4)))
        return f"{middle:,.0f} ({low:,.0f} to {high:,.0f})"

    def ratio(self) -> str:
        low, middle, high = statistics.quantiles(self.ratios, n=4)
        return f"{middle:.1f} ({low:.1f} to {high:.1f})"


def released_transforms(path: Path) -> types.ModuleType:
    """The module of the checkout that holds the transforms.

    Its own `utils` and `losses` pull in data-set readers and are not used by the transforms: empty modules
    stand in for them. On a machine without a GPU, `.cuda()` (which `rotate` calls) returns the tensor as is.
    """
    spec = spec_from_file_location("train_fns_aug", path / "train_fns_aug.py")
    if spec is None or spec.loader is None or not (path / "train_fns_aug.py").is_file():
        raise typer.BadParameter(f"{path} holds no train_fns_aug.py")
    sys.modules |= {name: types.ModuleType(name) for name in ("utils", "losses")}
    if not torch.cuda.is_available():
        torch.Tensor.cuda = lambda self, *_: self  # type: ignore[method-assign]  # on a machine without a GPU
    module = module_from_spec(spec)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        spec.loader.exec_module(module)
    return module


def seconds_per_call(contestant: Contestant, device: torch.device) -> float:
    def synchronise() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize()

    synchronise()
    start = time.perf_counter()
    for _ in range(contestant.calls):
        contestant.run()
    synchronise()
    return (time.perf_counter() - start) / contestant.calls


def warm_up(contestant: Contestant, device: torch.device) -> None:
    """Finds out whether it runs at all, and how many calls make a sample."""
    try:
        for _ in range(WARM_UP_CALLS):
            contestant.run()
    except (AttributeError, TypeError, RuntimeError) as error:
        contestant.failure = str(error).splitlines()[0].split(".\n")[0][:60]
        return
    contestant.calls = max(round(SECONDS_PER_SAMPLE / seconds_per_call(contestant, device)), 1)


def compete(contestants: list[Contestant], clone: Contestant, rounds: int, device: torch.device) -> None:
    for contestant in [clone, *contestants]:
        warm_up(contestant, device)
    running = [contestant for contestant in contestants if not contestant.failure]
    order = random.Random(0)
    for _ in range(rounds):
        for contestant in order.sample(running, len(running)):
            copy, own = seconds_per_call(clone, device), seconds_per_call(contestant, device)
            clone.seconds.append(copy)
            contestant.seconds.append(own)
            contestant.ratios.append(own / copy)


def render(entries: dict[str, dict[str, Contestant]], clone: Contestant, batch_size: int) -> Table:
    table = Table("negative", "images/s", "× a clone's time", "at best", box=box.MARKDOWN)
    beside = any("theirs" in row for row in entries.values())
    if beside:
        table.add_column("released rule here, images/s")
        table.add_column("released code, images/s")
        table.add_column("times as fast")
        table.add_column("at best")
    table.add_row("(clone)", clone.images_per_second(batch_size), "1", "1")
    for name, row in entries.items():
        ours = row["ours"]
        best = f"{min(ours.seconds) / min(clone.seconds):.1f}"
        cells = [name, ours.images_per_second(batch_size), ours.ratio(), best]
        if beside and "theirs" in row:
            theirs = row["theirs"]
            cells += [row["rule"].images_per_second(batch_size), theirs.images_per_second(batch_size)]
            if not theirs.failure:
                cells += [f"{of(theirs.seconds) / of(ours.seconds):.1f}" for of in (statistics.median, min)]
        table.add_row(*cells)
    return table


def describe(device: torch.device) -> str:
    name = torch.cuda.get_device_name() if device.type == "cuda" else cpu_name()
    return (
        f"{time.strftime('%Y-%m-%d')}; {name}, {torch.get_num_threads()} CPU threads; "
        f"Python {platform.python_version()}, torch {torch.__version__}, NumPy {numpy.__version__}"
    )


def cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "CPU")


def main(
    released: Annotated[Path | None, typer.Option(help="a checkout of the released code")] = None,
    device: str = "cpu",
    dtype: Annotated[
        str, typer.Option(help="float32 or uint8 (the released code knows only float)")
    ] = "float32",
    batch_size: int = 256,
    size: int = 32,
    rounds: int = 40,
    threads: int = 2,
) -> None:
    """Compare the negatives' speed with a clone of the batch and with the released transforms."""
    torch.set_num_threads(threads)
    on = torch.device(device)
    generator = torch.Generator(on).manual_seed(0)
    images = torch.rand(batch_size, 3, size, size, generator=generator, device=on) * 2 - 1
    batch: Any = images if dtype == "float32" else images.add(1).mul(127.5).byte()
    module = released_transforms(released) if released else None

    entries: dict[str, dict[str, Contestant]] = {}
    for name, function in NEGATIVES.items():
        entries[name] = {"ours": Contestant(partial(function, batch, generator=generator))}
        if module is not None and name in THEIR_NAMES:
            entries[name]["rule"] = Contestant(partial(RELEASED[name], batch, generator=generator))
            entries[name]["theirs"] = Contestant(partial(getattr(module, THEIR_NAMES[name]), images))
    clone = Contestant(batch.clone)
    compete([c for row in entries.values() for c in row.values()], clone, rounds, on)

    console = Console(width=200)
    console.print(describe(on))
    console.print(f"{batch_size}×3×{size}×{size} {dtype}, n = {rounds} rounds, median (quartiles)")
    console.print(render(entries, clone, batch_size))


if __name__ == "__main__":
    typer.run(main)
