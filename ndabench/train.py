"""`python -m ndabench.train FILE`: one trial of a sweep file without Ray, alone or under torchrun.

It writes the same records as a sweep does, so a later `--resume` of the sweep finds the trial done.
"""

if __name__ == "__main__":  # first: the imports below take long enough for a Ctrl-C
    from ndabench.interruption import leave_when_interrupted

    leave_when_interrupted()

import contextlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from ndabench.command_line import FILE, OUT, SET, continuation, results_folder, run
from ndabench.errors import UserError, nearest
from ndabench.interruption import EXIT_CODE

if TYPE_CHECKING:
    from ndabench.distributed import Workers
    from ndabench.planning.sweep_file import SweepConfig
    from ndabench.records import RecordStore
    from ndabench.tracking.mirror import Mirror
    from ndabench.trials.config import Provenance, TrialConfig


def train(
    file: Annotated[Path, FILE] = Path("sweeps/quickstart.yaml"),
    set_: Annotated[list[str] | None, SET] = None,
    arm: Annotated[str | None, typer.Option(help="The arm to train; default: the file's first.")] = None,
    lambda_: Annotated[float | None, typer.Option("--lambda", help="λ; default: the first searched.")] = None,
    seed: Annotated[int | None, typer.Option(help="The seed; default: the file's first.")] = None,
    out: Annotated[str | None, OUT] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Resume from the newest checkpoint.")] = False,
) -> None:
    """Train one arm of a sweep file at one setting and one seed, without Ray."""
    # late: --help must not wait for torch
    import torch

    from ndabench.planning.sweep_file import read_sweep
    from ndabench.records import RecordStore
    from ndabench.tasks.task import DivergedError
    from ndabench.tracking.mirror import Mirror
    from ndabench.tracking.registry import make_trackers
    from ndabench.trials.config import Provenance, git_commit

    config = read_sweep(file, set_ or [])
    trial = choose(config, arm, lambda_, seed)
    workers = start_workers()
    for caution in trial.task.cautions if workers.is_main else ():
        print(f"caution: {caution}")
    torch.set_num_threads(max(1, int(config.resources.cpus_per_worker)))  # as in a sweep, to the same bits
    store = RecordStore(results_folder(out, config.name))
    mirror = Mirror(store, make_trackers(config.track, config.name, store) if workers.is_main else [])
    options = {"arm": arm, "lambda": lambda_, "seed": seed, "out": out}
    again = continuation("train", file, options, set_ or [])
    try:
        if workers.is_main:
            _take(trial, store, config, resume, workers)
        workers.barrier()
        with mirror:
            _show(trial, store, Provenance(config.name, git_commit()), mirror, workers)
    except DivergedError as error:
        print(f"diverged: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        if workers.is_main:
            print(f"interrupted: {trial.label}")
            print(f"continue with: {again if workers.world_size == 1 else 'the same command and --resume'}")
        sys.exit(EXIT_CODE)
    if workers.is_main:
        print(f"records  {store.root}   ({trial.trial_id})")


def _take(
    trial: "TrialConfig", store: "RecordStore", config: "SweepConfig", resume: bool, workers: "Workers"
) -> None:
    """Prepares the trial and takes the folder; `UserError` where the trial cannot run, or has ended."""
    # late: --help must not wait for torch
    from ndabench.ownership import take_ownership
    from ndabench.planning.outcomes import reopen
    from ndabench.trials.run import prepare

    now = store.without_retry()
    row, unmeasured = now.read_trial(trial.trial_id), now.without_metrics(now.read_trials())
    if row is not None and row.status in ("finished", "diverged") and trial.trial_id not in unmeasured:
        raise UserError(f"{store.root}: {trial.label} is {row.status} already; choose another --out")
    prepared = prepare([trial], workers.device, workers.world_size)
    print(prepared.counts)
    take_ownership(
        store, config, resume=resume, data_hash=prepared.data_hash, negative_data=prepared.negative_data
    )
    if trial.trial_id in unmeasured:
        reopen(store, trial.trial_id)


def choose(config: "SweepConfig", arm: str | None, lambda_: float | None, seed: int | None) -> "TrialConfig":
    """The trial of a sweep that the options mean; searched values without an option take their first."""
    # late: --help must not wait for pydantic
    from ndabench.planning.search_space import LAMBDA
    from ndabench.tasks.registry import TASKS

    names = [one.name for one in config.arms]
    if arm is not None and arm not in names:
        raise UserError(f"--arm: unknown arm {arm!r}{nearest(arm, names)} (known: {', '.join(names)})")
    chosen = config.arms[names.index(arm) if arm is not None else 0]
    setting = next(config.boundary_settings(chosen))
    if lambda_ is not None:
        if chosen.negative is None:
            weighs = TASKS[config.task.name].lambda_rule.weighs
            raise UserError(f"--lambda: it {weighs}, and arm {chosen.name!r} has none")
        setting[LAMBDA] = lambda_
    return config.trial(chosen, setting, config.seeds[0] if seed is None else seed)


def start_workers() -> "Workers":
    """This process among those of torchrun, or alone; on a GPU where there is one."""
    # late: --help must not wait for torch
    import torch

    from ndabench.distributed import Workers

    gpu = torch.cuda.is_available()
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0"))) if gpu else torch.device("cpu")
    if gpu:
        torch.cuda.set_device(device)
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        torch.distributed.init_process_group("nccl" if gpu else "gloo")
    return Workers.current(device)


def _show(
    trial: "TrialConfig", store: "RecordStore", provenance: "Provenance", mirror: "Mirror", workers: "Workers"
) -> None:
    from ndabench.trials.run import run_trial  # late: --help must not wait for torch

    console = Console(quiet=not workers.is_main)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bars:
        bar = bars.add_task(trial.label, total=None)
        # Closed: a trial that is interrupted here, and not in a step, closes its row now.
        with contextlib.closing(run_trial(trial, store, provenance, workers)) as run:
            for progress in run:
                mirror.changed(trial.trial_id)
                bars.update(bar, completed=progress.step, total=progress.num_steps)
                values = ", ".join(f"{name} {m.value:.4g}" for name, m in progress.metrics.items())
                if values:
                    line = f"{trial.label}: step {progress.step}/{progress.num_steps} {values}"
                    bars.console.print(line, highlight=False, soft_wrap=True, markup=False)


if __name__ == "__main__":
    run(train)
