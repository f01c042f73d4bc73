"""A tiny sweep on real digits, trained and recorded in this process, without Ray."""

from pathlib import Path
from typing import Any

from ndabench.config import parse
from ndabench.distributed import Workers
from ndabench.ownership import take_ownership
from ndabench.planning.sweep_file import SweepConfig
from ndabench.records import RecordStore
from ndabench.trials.config import Provenance
from ndabench.trials.run import prepare, run_trial
from tests.command_lines import TINY

MEASURED: dict[str, Any] = {
    **TINY,
    "name": "quickstart",
    "task": {**TINY["task"], "num_steps": 4, "log_every": 2},
    "search": {"lambda": [0.5]},
    "seeds": [0, 1],
    "evaluate": [{"name": "fd", "num_samples": 40}],
    "objective": {"metric": "fd_classifier"},
}
"""Two arms at two seeds."""


def record(folder: Path, sweep: dict[str, Any]) -> RecordStore:
    """Trains every trial of a grid, and records it into `folder` as a sweep does."""
    config = parse(SweepConfig, sweep, "sweep")
    store, workers = RecordStore(str(folder)), Workers()
    prepared = prepare(config.grid_trials(), workers.device)
    take_ownership(store, config, resume=False, data_hash=prepared.data_hash)
    for trial in config.grid_trials():
        for _ in run_trial(trial, store, Provenance(config.name), workers):
            pass
    return store
