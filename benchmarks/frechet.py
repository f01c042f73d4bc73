"""The Fréchet distance's two costs, moments and trace term, compared with those of scipy and torchmetrics.

    python benchmarks/frechet.py [--dim 2048] [--rounds 5] [--device cuda] [--skip "torchmetrics eigvals"]

Features are random with a decaying spectrum, as those of real extractors have. All contestants take turns in
one process: a round times each of them once, in a new order. Figures are medians over the rounds with their
quartiles. The last column shows how far a value lies, relatively, from that of the first contestant in its
table.
"""

import platform
import random
import statistics
import time
import warnings
from collections.abc import Callable
from typing import Annotated

import numpy
import scipy
import torch
import torchmetrics
import typer
from rich import box
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torchmetrics.image.fid import FrechetInceptionDistance, _compute_fid

from ndabench.metrics.generators.frechet import (
    FrechetReference,
    frechet_distance,
    frechet_distance_of_features,
    moments_of,
)

Contestants = dict[str, Callable[[], float]]


class Given(torch.nn.Module):
    """Lets torchmetrics measure features that are there already."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, features: Tensor) -> Tensor:
        return features


def random_features(num: int, dimension: int, seed: int, device: torch.device) -> Tensor:
    """float32 `[num, dimension]`, the scales of its directions falling as 1/√rank, rotated by the seed."""
    generator = torch.Generator().manual_seed(seed)
    scales = torch.arange(1, dimension + 1) ** -0.5
    rotation, _ = torch.linalg.qr(torch.randn(dimension, dimension, generator=generator))
    return ((torch.randn(num, dimension, generator=generator) * scales) @ rotation + 0.1 * seed).to(device)


def moments_contestants(features: Tensor) -> Contestants:
    """Each gives the trace of the covariance of features `[n, d]`."""
    given = Given(features.shape[1])

    def by_torchmetrics() -> float:
        metric = FrechetInceptionDistance(given).set_dtype(torch.float64).to(features.device)
        for chunk in features.split(4096):
            metric.update(chunk, real=True)
        total, products, count = metric.real_features_sum, metric.real_features_cov_sum, len(features)
        assert isinstance(total, Tensor)
        assert isinstance(products, Tensor)
        mean = total / count
        covariance = (products - count * mean.outer(mean)) / (count - 1)
        return covariance.trace().item()

    return {
        "ndabench, streamed": lambda: moments_of(features).gaussian().covariance.trace().item(),
        "torchmetrics, streamed": by_torchmetrics,
        "numpy cov": lambda: float(numpy.trace(numpy.cov(features.cpu().numpy(), rowvar=False, dtype="f8"))),
    }


def distance_contestants(real: Tensor, fake: Tensor) -> Contestants:
    """Each gives the distance, its moments being there already."""
    first, second = moments_of(real).gaussian(), moments_of(fake).gaussian()
    reference = FrechetReference.of(first)
    rank_deficient = {"ndabench, SVD (n < d)": lambda: frechet_distance_of_features(reference, fake)}

    def by_scipy() -> float:
        root = scipy.linalg.sqrtm((first.covariance @ second.covariance).cpu().numpy())
        traces = first.covariance.trace() + second.covariance.trace()
        difference = (first.mean - second.mean).square().sum()
        return (difference + traces).item() - 2 * float(numpy.trace(root).real)

    return {
        "scipy sqrtm": by_scipy,
        "torchmetrics eigvals": lambda: _compute_fid(
            first.mean, first.covariance, second.mean, second.covariance
        ).item(),
        "ndabench, root computed too": lambda: frechet_distance(FrechetReference.of(first), second),
        "ndabench, root cached": lambda: frechet_distance(reference, second),
        **(rank_deficient if len(fake) < fake.shape[1] else {}),
    }


def race(contestants: Contestants, rounds: int) -> tuple[dict[str, list[float]], dict[str, float]]:
    """Seconds of every round, and the value, of every contestant."""
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    values: dict[str, float] = {}
    order = random.Random(0)
    for _ in range(rounds):
        for name in order.sample(list(contestants), len(contestants)):
            start = time.perf_counter()
            values[name] = contestants[name]()  # a Python float, so that the device has finished
            seconds[name].append(time.perf_counter() - start)
    return seconds, values


def show(console: Console, title: str, contestants: Contestants, rounds: int) -> None:
    seconds, values = race(contestants, rounds)
    expected = values[next(iter(contestants))]
    slowest = max(statistics.median(samples) for samples in seconds.values())
    table = Table(title=title, box=box.SIMPLE, title_justify="left")
    for column in ("", "seconds (quartiles)", "× the slowest", "difference"):
        table.add_column(column, justify="left" if not column else "right", no_wrap=True)
    for name, samples in seconds.items():
        median = statistics.median(samples)
        low, _, high = statistics.quantiles(samples, n=4) if len(samples) > 1 else samples * 3
        difference = abs(values[name] - expected) / abs(expected)
        table.add_row(
            name, f"{median:.4f} ({low:.4f} to {high:.4f})", f"{slowest / median:.1f}", f"{difference:.0e}"
        )
    console.print(table)


def main(
    dim: Annotated[int, typer.Option(help="feature dimension; Inception has 2048", min=2)] = 256,
    num: Annotated[int, typer.Option(help="features on each side", min=2)] = 10_000,
    rounds: Annotated[int, typer.Option(min=1)] = 5,
    device: str = "cpu",
    skip: Annotated[list[str] | None, typer.Option(help="a contestant to leave out")] = None,
) -> None:
    """Times both parts of the distance, once with more samples than dimensions and once with fewer."""
    warnings.filterwarnings("ignore", category=UserWarning, module="torchmetrics")
    console, on = Console(width=100), torch.device(device)
    hardware = (
        torch.cuda.get_device_name(on) if on.type == "cuda" else f"{torch.get_num_threads()} CPU threads"
    )
    console.print(
        f"{hardware}, {platform.machine()}, Python {platform.python_version()}, torch {torch.__version__}, "
        f"scipy {scipy.__version__}, torchmetrics {torchmetrics.__version__}; {time.strftime('%Y-%m-%d')}; "
        f"d = {dim}, medians of {rounds} rounds"
    )
    real, fake = (random_features(num, dim, seed, on) for seed in (1, 2))
    races = {
        f"Moments of {num:,} features": moments_contestants(fake),
        f"Distance, n = {num:,}": distance_contestants(real, fake),
        f"Distance, n = {dim // 2:,}": distance_contestants(real, fake[: dim // 2]),
    }
    for title, contestants in races.items():
        left = {name: run for name, run in contestants.items() if name not in (skip or [])}
        if dim <= 512:  # beyond it, a first call's overhead no longer counts, and a round takes minutes
            race(left, 1)
        show(console, title, left, rounds)


if __name__ == "__main__":
    typer.run(main)
