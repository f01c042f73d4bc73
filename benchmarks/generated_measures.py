"""What the measures of generated images cost: seconds, and memory beyond the features.

    python benchmarks/generated_measures.py --num 50000 --dim 2048 [--only kid]

Features are random, float32, `num` real and `num` generated ones; each measure runs in a process of its own,
so that its peak of resident memory is its own.
"""

import multiprocessing
import platform
import resource
import time
from collections.abc import Callable
from typing import Annotated

import torch
import typer
from torch import Generator, Tensor

from ndabench.metrics.generators.cmmd import cmmd
from ndabench.metrics.generators.fd_infinity import fd_infinity
from ndabench.metrics.generators.frechet import FrechetReference, frechet_distance, moments_of
from ndabench.metrics.generators.kid import kernel_distance
from ndabench.metrics.generators.manifolds import density_coverage, precision_recall
from ndabench.metrics.generators.memorization import memorization


def reference_of(real: Tensor) -> FrechetReference:
    return FrechetReference.of(moments_of(real).gaussian())


def generator() -> Generator:
    return Generator().manual_seed(0)


MEASURES: dict[str, Callable[[Tensor, Tensor], object]] = {
    "fd": lambda real, fake: frechet_distance(reference_of(real), moments_of(fake).gaussian()),
    "kid": lambda real, fake: kernel_distance(
        real, fake, num_subsets=100, subset_size=min(1000, len(real)), generator=generator()
    ),
    "fd_infinity": lambda real, fake: fd_infinity(
        reference_of(real), fake, smallest=len(fake) // 10, num_points=15, generator=generator()
    ),
    "precision_recall": lambda real, fake: precision_recall(real, fake, k=3),
    "density_coverage": lambda real, fake: density_coverage(real, fake, k=5),
    "cmmd": lambda real, fake: cmmd(real, fake, sigma=10.0),
    "memorization": lambda real, fake: memorization(real, real[: len(real) // 5], fake),
}


def peak() -> float:
    """The largest resident memory of this process so far, MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def run(name: str, num: int, dim: int) -> tuple[float, float]:
    """Seconds, and MiB beyond the features."""
    real, fake = (torch.randn(num, dim, generator=generator().manual_seed(seed)) for seed in (0, 1))
    before, start = peak(), time.perf_counter()
    MEASURES[name](real, fake)
    return time.perf_counter() - start, peak() - before


def main(
    num: Annotated[int, typer.Option(help="features on each side", min=10)] = 50_000,
    dim: Annotated[int, typer.Option(min=1)] = 2048,
    only: Annotated[list[str] | None, typer.Option(help="a measure to time; default: all")] = None,
) -> None:
    """Prints a line for each measure."""
    threads = f"{torch.get_num_threads()} threads, torch {torch.__version__}"
    print(f"{platform.machine()}, {threads}, {time.strftime('%Y-%m-%d')}")
    print(f"{num:,} × {dim} on each side")
    for name in only or MEASURES:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            seconds, mebibytes = pool.apply(run, (name, num, dim))
        print(f"{name}: {seconds:.1f} s, {mebibytes:.0f} MiB", flush=True)


if __name__ == "__main__":
    typer.run(main)
