"""A trial in this process, alone or under torchrun: what `ndabench train` and `rerun` share."""

import contextlib
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from ndabench.errors import UserError

if TYPE_CHECKING:
    from ndabench.distributed import Workers
    from ndabench.planning.sweep_file import SweepConfig
    from ndabench.records import RecordStore
    from ndabench.tasks.task import DivergedError
    from ndabench.trials.config import Provenance, TrialConfig


def take(
    trial: "TrialConfig",
    store: "RecordStore",
    config: "SweepConfig",
    workers: "Workers",
    *,
    resume: bool,
    data_hash: str | None = None,
) -> None:
    """Prepares the trial and takes the folder, which may hold other trials of the same sweep.

    `UserError` where the trial cannot run, has ended, or has begun and shall not `resume`, where the folder
    is another sweep's, or where `data_hash` is given and the data are others.
    """
    # late: --help must not wait for torch
    from ndabench.ownership import check_ownership, take_ownership
    from ndabench.planning.outcomes import reopen
    from ndabench.trials.run import prepare

    check_ownership(store, config, resume=resume, adds=True)
    now = store.without_retry()
    row, unmeasured = now.read_trial(trial.trial_id), now.without_metrics(now.read_trials())
    if row is not None and row.status in ("finished", "diverged") and trial.trial_id not in unmeasured:
        raise UserError(f"{store.root}: {trial.label} is {row.status} already; choose another --out")
    if row is not None and not resume:
        raise UserError(
            f"{store.root}: {trial.label} has begun: continue it with --resume, or choose another --out"
        )
    prepared = prepare([trial], workers.device, workers.world_size)
    print(prepared.counts)
    if data_hash not in (None, prepared.data_hash):
        raise UserError(
            f"data: {trial.data.title} are not those of the pack (content hash {str(data_hash)[:10]}, here "
            f"{prepared.data_hash[:10]}); say where they are, e.g. --set data.path=DIR"
        )
    take_ownership(
        store,
        config,
        resume=resume,
        adds=True,
        data_hash=prepared.data_hash,
        negative_data=prepared.negative_data,
    )
    if trial.trial_id in unmeasured:
        reopen(store, trial.trial_id)


def start_workers() -> "Workers":
    """This process among those of torchrun, or alone; on a GPU where there is one.

    Of several processes only the main one prints from now on; the others still log what is wrong.
    """
    # late: --help must not wait for torch
    import torch

    from ndabench.distributed import Workers

    gpu = torch.cuda.is_available()
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0"))) if gpu else torch.device("cpu")
    if gpu:
        torch.cuda.set_device(device)
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        torch.distributed.init_process_group("nccl" if gpu else "gloo")
    workers = Workers.current(device)
    if not workers.is_main:
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - until the process ends
        logging.getLogger("ndabench").setLevel(logging.WARNING)
    return workers


def say_diverged(error: "DivergedError", workers: "Workers") -> None:
    """Prints on stderr why the training ended; it ends so in all processes at once."""
    if workers.is_main:
        print(f"diverged: {error}", file=sys.stderr)


def train_and_show(
    trial: "TrialConfig",
    store: "RecordStore",
    provenance: "Provenance",
    workers: "Workers",
    on_progress: Callable[[], None] = lambda: None,
    samples: int = 0,
) -> None:
    """Runs the trial to its end and prints what it measures; calls `on_progress` when that is recorded.

    `samples` is that of `run_trial`.
    """
    from ndabench.trials.run import run_trial  # late: --help must not wait for torch

    console = Console()
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bars:
        bar = bars.add_task(trial.label, total=None)
        # Closed: a trial that is interrupted here, and not in a step, closes its row now.
        with contextlib.closing(run_trial(trial, store, provenance, workers, samples=samples)) as run:
            for progress in run:
                on_progress()
                bars.update(bar, completed=progress.step, total=progress.num_steps)
                values = ", ".join(f"{name} {m.value:.4g}" for name, m in progress.metrics.items())
                if values:
                    line = f"{trial.label}: step {progress.step}/{progress.num_steps} {values}"
                    bars.console.print(line, highlight=False, soft_wrap=True, markup=False)
