"""`python -m ndabench.sweep FILE`: every trial of a sweep file under Ray, recorded, compared, reported."""

import os
import shlex
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from ndabench.command_line import FILE, OUT, SET, results_folder, run, show

if TYPE_CHECKING:
    from ndabench.sweepfile import SweepConfig


def sweep(
    file: Annotated[Path, FILE] = Path("sweeps/quickstart.yaml"),
    set_: Annotated[list[str] | None, SET] = None,
    out: Annotated[str | None, OUT] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue a sweep that was stopped.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the trials and start nothing.")] = False,
    address: Annotated[str | None, typer.Option(help="A running Ray cluster; default: this machine.")] = None,
) -> None:
    """Run every trial of a sweep file, record the results and write the report."""
    from ndabench.claim import check_claim
    from ndabench.sweepfile import read_sweep

    config = read_sweep(file, set_ or [])
    console = Console()
    if dry_run:
        print_plan(config, console)
        return

    from ndabench.orchestration.cluster import connect
    from ndabench.orchestration.lifeline import lifelines
    from ndabench.orchestration.run import run_sweep
    from ndabench.orchestration.status_file import StatusFile
    from ndabench.records import RecordStore

    store = RecordStore(results_folder(out, config.name))
    check_claim(store, config, resume=resume)
    with StatusFile(store, config.name) as status:
        with connect(address) as local, lifelines(status.broken_off):
            # A job is stopped with it. Set here, because ray.init has a handler of its own.
            signal.signal(signal.SIGTERM, lambda *_: os.kill(os.getpid(), signal.SIGINT))
            result = run_sweep(config, store, status, resume=resume, local=local, console=console)
        status.end(result.ending, result.exit_code)
        show(store, console)
    counts = ", ".join(f"{count} {name}" for name, count in sorted(result.statuses.items()))
    console.print(f"{result.ending}: {counts}", highlight=False)
    if result.ending != "complete":
        again = _continuation(file, set_ or [], out, address)
        console.print(f"continue with: {again}", highlight=False, soft_wrap=True, markup=False)
    if result.exit_code:
        sys.exit(result.exit_code)


def _continuation(file: Path, assignments: list[str], out: str | None, address: str | None) -> str:
    """The command that goes on with a sweep that was started with these options."""
    words = ["python", "-m", "ndabench.sweep", str(file)]
    for assignment in assignments:
        words += ["--set", assignment]
    for option, value in (("--out", out), ("--address", address)):
        words += [option, value] if value is not None else []
    return shlex.join([*words, "--resume"])


def print_plan(config: "SweepConfig", console: Console) -> None:
    """The dry run: every trial, what it asks for, and the work in images or clips."""
    from rich.table import Table

    from ndabench.tasks.registry import counted

    unit = counted(config.task)
    search = config.search
    sampled = search.sampler != "grid"
    table = Table(title=f"{config.name}: {config.trial_count()} trials", title_justify="left")
    for column in ("trial", "arm", "λ", "parameters", "seed", unit):
        table.add_column(column, justify="right" if column == unit else "left", no_wrap=column == "trial")
    trials = [] if sampled else config.grid_trials()
    for trial in trials:
        parameters = ", ".join(f"{key}={value}" for key, value in trial.parameters.items())
        row = [trial.trial_id, trial.arm, f"{trial.lambda_:g}", parameters, str(trial.seed)]
        table.add_row(*row, f"{trial.task.num_images:,}")
    images = sum(trial.task.num_images for trial in trials)
    for arm in config.arms if sampled else ():
        dimensions = ", ".join(config.dimensions_of(arm))
        each = config.task_of(arm).num_images
        work = f"{each:,} each"
        images += each * ((search.trials_per_arm if dimensions else 0) + len(config.seeds))
        if dimensions:
            table.add_row(
                f"{search.trials_per_arm} × {search.sampler}",
                arm.name,
                "",
                dimensions,
                str(search.seed),
                work,
            )
        table.add_row(f"{len(config.seeds)} × the best", arm.name, "", "", str(list(config.seeds)), work)
    console.print(table)
    console.print(f"each trial asks for {config.resources}", highlight=False)
    console.print(f"work in all: {images:,} {unit}", highlight=False)


if __name__ == "__main__":
    run(sweep)
