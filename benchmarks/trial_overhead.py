"""What a trial costs in a sweep beyond its training: sweeps of tiny trials beside the same trials run bare.

    python benchmarks/trial_overhead.py [--trials 8] [--rounds 3]

Bare is `run_trial` in this process, records and checkpoints included. The sweep is everything after Ray has
started: Tune, actors, callbacks, and with two workers Ray Train. Rounds are interleaved.
"""

import argparse
import os
import platform
import statistics
import tempfile
import time
from datetime import date
from typing import Any

import ray
import torch
from rich.console import Console
from rich.table import Table

from ndabench.config import parse
from ndabench.distributed import Workers
from ndabench.orchestration.cluster import connect
from ndabench.orchestration.run import run_sweep
from ndabench.orchestration.status_file import StatusFile
from ndabench.planning.sweep_file import SweepConfig
from ndabench.records import RecordStore
from ndabench.trials.config import Provenance
from ndabench.trials.run import run_trial


def sweep(trials: int, workers: int) -> SweepConfig:
    """`trials` tiny digit GANs, one at a time."""
    description: dict[str, Any] = {
        "name": "overhead",
        "task": {"name": "gan", "width": 2, "latent_dim": 8, "batch_size": 8, "num_steps": 20},
        "data": {"name": "digits"},
        "arms": ["jigsaw"],
        "search": {"lambda": [0.25]},
        "seeds": list(range(trials)),
        "resources": {"workers": workers, "cpus_per_worker": 1, "max_concurrent": 1},
    }
    return parse(SweepConfig, description, "benchmark")


def bare_seconds(config: SweepConfig, folder: str) -> float:
    store = RecordStore(folder)
    start = time.perf_counter()
    for trial in config.grid_trials():
        list(run_trial(trial, store, Provenance(config.name), Workers()))
    return time.perf_counter() - start


def sweep_seconds(config: SweepConfig, folder: str) -> float:
    start = time.perf_counter()
    store, console = RecordStore(folder), Console(quiet=True)
    with StatusFile(store, config.name) as status:
        result = run_sweep(config, store, status, resume=False, local=True, console=console)
    assert result.statuses == {"finished": len(config.seeds)}, result
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=8)
    parser.add_argument("--nested-trials", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)

    table = Table(title=f"Overhead of a trial in a sweep, seconds ({options.rounds} interleaved rounds)")
    for column in (
        "workers",
        "trials",
        "bare run of all",
        "sweep of all",
        "overhead a trial",
        "range",
        "aim",
    ):
        table.add_column(column, justify="right")
    bare_seconds(sweep(1, 1), tempfile.mkdtemp())  # first use of everything
    with connect(None):
        for workers, trials, aim in ((1, options.trials, "≤ 2"), (2, options.nested_trials, "≤ 12")):
            config = sweep(trials, workers)
            bare, swept = [], []
            for _ in range(options.rounds):
                bare.append(bare_seconds(config, tempfile.mkdtemp()))
                swept.append(sweep_seconds(config, tempfile.mkdtemp()))
            overheads = [(s - b) / trials for s, b in zip(swept, bare, strict=True)]
            table.add_row(
                str(workers),
                str(trials),
                f"{statistics.median(bare):.1f}",
                f"{statistics.median(swept):.1f}",
                f"{statistics.median(overheads):.2f}",
                f"{min(overheads):.2f} to {max(overheads):.2f}",
                aim,
            )
    console = Console(width=110)
    console.print(table)
    versions = f"Python {platform.python_version()}, torch {torch.__version__}, ray {ray.__version__}"
    console.print(f"{date.today()}, {os.cpu_count()} cores, {versions}")


if __name__ == "__main__":
    main()
