"""The L-BFGS linear probe compared with scikit-learn's logistic regression, on synthetic features.

    python benchmarks/probe.py [--num 50000] [--dim 512] [--penalty 1e-4] [--rounds 3] [--device cuda]

Features are those of overlapping Gaussian classes with a decaying spectrum, rotated and cut off at zero as a
network's are. Both contestants minimise one function: the same standardised float32 features, the penalty in
scikit-learn's terms C = 1 / (n · penalty), its default tolerance, iterations without a limit that counts.
They take turns in one process, a round each in a new order; a probe's seconds include the standardisation,
scikit-learn's do not. Seconds are medians with the range over the rounds; CPU seconds are the medians of what
all threads together took, which other work on the machine hardly moves. Accuracies are on fresh features, a
fifth as many as those learned from.
"""

import platform
import random
import statistics
import time
from collections.abc import Callable
from typing import Annotated, NamedTuple

import sklearn
import torch
import typer
from rich import box
from rich.console import Console
from rich.table import Table
from sklearn.linear_model import LogisticRegression

from ndabench.metrics.features import Examples
from ndabench.metrics.image_encoders.linear_probe_lbfgs import fit_logistic, standardisation
from ndabench.metrics.probing import accuracy

Contestants = dict[str, Callable[[float], float]]


class Run(NamedTuple):
    """One contestant's turn."""

    seconds: float
    cpu_seconds: float
    percent: float


def class_features(num: int, dimension: int, num_classes: int, seed: int, device: torch.device) -> Examples:
    """float32 `[num, dimension]` and labels; `seed` draws the sample, the classes are always the same."""
    fixed, drawn = torch.Generator().manual_seed(0), torch.Generator().manual_seed(seed)
    scales = torch.arange(1, dimension + 1) ** -0.5
    centres = 0.12 * (512 / dimension) ** 0.5 * torch.randn(num_classes, dimension, generator=fixed)
    rotation, _ = torch.linalg.qr(torch.randn(dimension, dimension, generator=fixed))
    labels = torch.randint(num_classes, (num,), generator=drawn)
    latent = (centres[labels] + torch.randn(num, dimension, generator=drawn)) * scales
    return Examples((5 * latent @ rotation + 0.1).relu().to(device), labels.to(device))


def contestants(fitted: Examples, scored: Examples, num_classes: int) -> Contestants:
    """Each fits with a penalty and gives the accuracy in percent."""
    mean, scale = standardisation(fitted.features)
    theirs, theirs_scored = (((e.features - mean) / scale).cpu().numpy() for e in (fitted, scored))
    labels, scored_labels = fitted.labels.cpu().numpy(), scored.labels.cpu().numpy()

    def by_scikit_learn(penalty: float) -> float:
        model = LogisticRegression(C=1 / (len(labels) * penalty), max_iter=10_000)
        return 100 * float(model.fit(theirs, labels).score(theirs_scored, scored_labels))

    def by_ndabench(penalty: float) -> float:
        classifier = fit_logistic(fitted, num_classes=num_classes, penalty=penalty)
        return accuracy(classifier.predict(scored.features), scored.labels)

    return {"ndabench": by_ndabench, "scikit-learn": by_scikit_learn}


def race(running: Contestants, penalty: float, rounds: int) -> dict[str, list[Run]]:
    """What every contestant took and reached in every round."""
    runs: dict[str, list[Run]] = {name: [] for name in running}
    order = random.Random(0)
    for _ in range(rounds):
        for name in order.sample(list(running), len(running)):
            start, cpu_start = time.perf_counter(), time.process_time()
            percent = running[name](penalty)  # a Python float, so that the device has finished
            runs[name].append(Run(time.perf_counter() - start, time.process_time() - cpu_start, percent))
    return runs


def main(
    num: Annotated[int, typer.Option(help="features to learn from", min=10)] = 50_000,
    dim: Annotated[int, typer.Option(help="feature dimension", min=2)] = 512,
    classes: Annotated[int, typer.Option(min=2)] = 10,
    penalty: Annotated[list[float] | None, typer.Option(help="may be given several times")] = None,
    rounds: Annotated[int, typer.Option(min=1)] = 3,
    device: str = "cpu",
) -> None:
    """Times one fit a penalty, and compares the accuracies."""
    console, on = Console(width=100), torch.device(device)
    hardware = torch.cuda.get_device_name(on) if on.type == "cuda" else "CPU"
    console.print(
        f"{hardware}, {torch.get_num_threads()} CPU threads, {platform.machine()}, "
        f"Python {platform.python_version()}, torch {torch.__version__}, "
        f"scikit-learn {sklearn.__version__}; {time.strftime('%Y-%m-%d')}; "
        f"{num:,} × {dim} × {classes}, medians (range) of {rounds} rounds"
    )
    fitted, scored = (class_features(n, dim, classes, s, on) for s, n in ((1, num), (2, max(num // 5, 1))))
    running = contestants(fitted, scored, classes)
    race(
        running, 1.0, 1
    )  # a first call starts threads and loads kernels; so strong a penalty needs few steps
    table = Table(box=box.SIMPLE)
    for column in ("penalty", "", "seconds", "CPU seconds", "accuracy in %", "difference"):
        table.add_column(column, justify="left" if not column else "right", no_wrap=True)
    for one in penalty or (1e-5, 1e-4, 1e-3, 1e-2, 1e-1):
        runs = race(running, one, rounds)
        expected = runs["scikit-learn"][-1].percent
        for name, own in runs.items():
            seconds, cpu_seconds, percent = zip(*own, strict=True)
            table.add_row(
                f"{one:g}",
                name,
                f"{statistics.median(seconds):.2f} ({min(seconds):.2f} to {max(seconds):.2f})",
                f"{statistics.median(cpu_seconds):.2f}",
                f"{percent[-1]:.2f}",
                f"{percent[-1] - expected:+.2f}",
            )
    console.print(table)


if __name__ == "__main__":
    typer.run(main)
