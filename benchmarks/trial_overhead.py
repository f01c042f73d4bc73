"""What a trial costs in a sweep beyond its own seconds, and what planning costs, against another checkout.

    python benchmarks/trial_overhead.py [--against CHECKOUT] [--rounds 3]

The overhead is the slope of whole `python -m ndabench.sweep` runs over their number of trials, one trial at a
time, less the seconds that the trials themselves record: what one more trial costs, Ray's start and the
preparation of the sweep left out. CPU seconds are those of `--help` and of a dry run. Rounds are interleaved.
"""

import argparse
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import date
from importlib.metadata import version
from pathlib import Path

import pandas as pd
import yaml
from rich.console import Console
from rich.table import Table

HERE = Path(__file__).parents[1]
TRIALS = {1: (2, 10), 2: (1, 3)}
"""Numbers of trials in the shorter and the longer sweep, by the workers of a trial."""
TARGETS = {1: "≤ 0.67 s", 2: "≤ 10 s"}


def sweep_file(folder: Path, trials: int, workers: int) -> Path:
    """`trials` tiny digit GANs, one at a time."""
    description = {
        "name": "overhead",
        "task": {"name": "gan", "width": 2, "latent_dim": 8, "batch_size": 8, "num_steps": 20},
        "data": {"name": "digits"},
        "arms": ["jigsaw"],
        "search": {"lambda": [0.25]},
        "seeds": list(range(trials)),
        "resources": {"workers": workers, "cpus_per_worker": 1, "max_concurrent": 1},
    }
    file = folder / "overhead.yaml"
    file.write_text(yaml.safe_dump(description))
    return file


def run(checkout: Path, *arguments: str) -> float:
    """The wall seconds of a command with the code of `checkout`."""
    environment = {**os.environ, "PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"}
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", *arguments],
        env=environment,
        cwd=checkout,  # comes before PYTHONPATH
        check=True,
        capture_output=True,
        timeout=900,
    )
    return time.perf_counter() - start


def cpu_seconds(checkout: Path, *arguments: str) -> float:
    """The CPU seconds of a command with the code of `checkout`."""

    def spent() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    before = spent()
    run(checkout, *arguments)
    return spent() - before


def overhead(checkout: Path, workers: int) -> float:
    """Seconds that one more trial adds to a sweep, less those that it trains and measures."""
    beyond = []
    for trials in TRIALS[workers]:
        with tempfile.TemporaryDirectory() as name:
            file = sweep_file(Path(name), trials, workers)
            wall = run(checkout, "ndabench.sweep", str(file), "--out", f"{name}/out")
            rows = pd.read_parquet(f"{name}/out/trials")
            assert set(rows.status) == {"finished"}, rows[["trial_id", "status", "error"]]
            beyond.append(wall - float(rows.seconds.sum()))
    fewer, more = TRIALS[workers]
    return (beyond[1] - beyond[0]) / (more - fewer)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--against", type=Path, help="another checkout, such as the one before a change")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    checkouts = {"here": HERE} | ({"against": options.against.absolute()} if options.against else {})
    largest = max((HERE / "sweeps").rglob("*.yaml"), key=lambda file: file.stat().st_size)
    os.environ.setdefault("NDABENCH_DATA", "/nowhere")  # planning opens no data
    measures = {
        "overhead of a trial, one worker, s": lambda checkout: overhead(checkout, 1),
        "overhead of a trial, two workers, s": lambda checkout: overhead(checkout, 2),
        "--help, CPU s": lambda checkout: cpu_seconds(checkout, "ndabench.sweep", "--help"),
        "quickstart --dry-run, CPU s": lambda checkout: cpu_seconds(
            checkout, "ndabench.sweep", str(checkout / "sweeps/quickstart.yaml"), "--dry-run"
        ),
        f"{largest.name} --dry-run, CPU s": lambda checkout: cpu_seconds(
            checkout, "ndabench.sweep", str(checkout / largest.relative_to(HERE)), "--dry-run"
        ),
    }
    targets = [TARGETS[1], TARGETS[2], "≤ 0.5", "≤ 2.5", "≤ 2.5"]
    table = Table(title=f"medians of {options.rounds} interleaved rounds (smallest to largest)")
    for column in ("", *checkouts, "aim"):
        table.add_column(column, justify="right")
    for (name, measure), target in zip(measures.items(), targets, strict=True):
        found: dict[str, list[float]] = {checkout: [] for checkout in checkouts}
        for _ in range(options.rounds):
            for checkout, folder in checkouts.items():
                found[checkout].append(measure(folder))
        cells = [f"{statistics.median(v):.2f} ({min(v):.2f} to {max(v):.2f})" for v in found.values()]
        table.add_row(name, *cells, target)
    console = Console(width=120)
    console.print(table)
    versions = f"Python {platform.python_version()}, torch {version('torch')}, ray {version('ray')}"
    console.print(f"{date.today()}, {os.cpu_count()} cores, {versions}")


if __name__ == "__main__":
    main()
