"""`python -m ndabench.sweep FILE`: every trial of a sweep file under Ray, recorded, compared, reported."""

if __name__ == "__main__":  # first: the imports below take long enough for a Ctrl-C
    from ndabench.interruption import leave_when_interrupted

    leave_when_interrupted()

import sys
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ndabench.command_line import (
    ADDRESS,
    FILE,
    JSON,
    OUT,
    QUIET,
    SET,
    console_of,
    continuation,
    print_json,
    results_folder,
    run,
    say_start,
    show,
)
from ndabench.errors import UserError
from ndabench.interruption import EXIT_CODE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ndabench.orchestration.run import SweepResult
    from ndabench.planning.sweep_file import SweepConfig
    from ndabench.records import RecordStore
    from ndabench.results import Results


MOST_UNASKED = 10_000
"""Trials that a sweep may have without a confirmation."""


def sweep(
    file: Annotated[Path, FILE] = Path("sweeps/quickstart.yaml"),
    set_: Annotated[list[str] | None, SET] = None,
    out: Annotated[str | None, OUT] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue a sweep that was stopped.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the trials and start nothing.")] = False,
    check_only: Annotated[
        bool,
        typer.Option("--check", help="Open the data, build the networks, try two steps; record nothing."),
    ] = False,
    time_: Annotated[
        bool, typer.Option("--time", help="With --check: time the steps, and say what the sweep will take.")
    ] = False,
    no_check: Annotated[
        bool, typer.Option("--no-check", help="Do not try two steps before the sweep starts.")
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", help=f"Do not ask before more than {MOST_UNASKED:,} trials.")
    ] = False,
    address: Annotated[str | None, ADDRESS] = None,
    quiet: Annotated[bool, QUIET] = False,
    json_: Annotated[bool, JSON] = False,
) -> None:
    """Run every trial of a sweep file, record the results and write the report."""
    # late: --help must not wait for pydantic and pyarrow
    from ndabench.ownership import check_ownership
    from ndabench.planning.outcomes import count_statuses
    from ndabench.planning.sweep_file import read_sweep
    from ndabench.records import RecordStore

    if time_ and not check_only:
        raise UserError("--time: goes with --check")
    if json_ and check_only:
        raise UserError("--json: goes with a whole sweep or with --dry-run")
    config = read_sweep(file, set_ or [])
    confirm_size(config, file, confirmed=yes)
    results = results_folder(out, config.name)
    console = console_of(quiet=quiet or json_)
    if dry_run:
        print_plan(config, results, console)
        if json_:
            print_json(plan_facts(config, results))
        return

    if check_only:
        print_cautions(config, results, console)
        say_start(address, config.data.title, console)
        from ndabench.orchestration.local_preparation import preparing  # late: as above

        with preparing(config, address, check=True, timed=time_, quiet=console.quiet) as begun:
            # late: only now is there time for it
            from ndabench.orchestration.cluster import connect
            from ndabench.orchestration.run import check_sweep

            with connect(address, config.plugins) as local:
                check_sweep(config, begun, local=local, timed=time_, console=console)
        return
    store = RecordStore(results)
    check_ownership(store, config, resume=resume)
    print_cautions(config, results, console)
    again = continuation("sweep", file, {"out": out, "address": address}, set_ or [])
    try:
        result = _run_and_report(config, store, resume, not no_check, address, console)
        ending, statuses, starting = result.ending, result.statuses, result.starting
        code = result.exit_code
    except KeyboardInterrupt:  # before the first trial, or while the report was written
        ending, statuses, starting = "interrupted", count_statuses(store.without_retry()), 0
        code = EXIT_CODE
    console.print(f"{ending}: {trial_counts(statuses, starting)}", highlight=False, markup=False)
    if ending != "complete":
        console.print(f"continue with: {again}", highlight=False, soft_wrap=True, markup=False)
    if json_:
        print_json(
            {"sweep": config.name, "ending": ending, "exit_code": code, "trials": dict(statuses)}
            | {"records": store.root, "report": store.local_path("report.html")}
        )
    if code:
        sys.exit(code)


def trial_counts(statuses: Mapping[str, int], starting: int) -> str:
    """`3 finished, 1 stopped, 2 starting`: the trials by recorded status, and those without a record."""
    counts = [f"{count} {name}" for name, count in sorted(statuses.items())]
    counts += [f"{starting} starting"] if starting else []
    return ", ".join(counts) or "no trial has begun"


def run_sweep(
    sweep: "str | PathLike[str] | Mapping[str, Any] | SweepConfig",
    *,
    change: Mapping[str, Any] = MappingProxyType({}),
    out: str | PathLike[str] | None = None,
    resume: bool = False,
    check: bool = True,
    address: str | None = None,
    quiet: bool = False,
) -> "Results":
    """Runs every trial of a sweep, records it and writes the report, as the command does.

    `sweep` is a file, the name of one of ndabench's own, a mapping with the keys of a file, or a
    `SweepConfig`. `change` sets keys of it for this run, `{"task.num_steps": 500}`. The other options are
    those of the command; `quiet` prints nothing.

    Trials that fail or diverge are in the results, with the reason. Raises `UserError` for a mistake, before
    anything is written, and `KeyboardInterrupt` at Ctrl-C, once everything is in order: `resume=True` then
    continues. If Ray is lost, the process ends, as Ray itself would end it.
    """
    # late: the command's --help must not wait for them
    from ndabench.ownership import check_ownership
    from ndabench.planning.sweep_file import sweep_from
    from ndabench.records import RecordStore
    from ndabench.results import load

    config = sweep_from(sweep, change)
    store = RecordStore(results_folder(None if out is None else str(out), config.name))
    check_ownership(store, config, resume=resume)
    console = Console(quiet=quiet)
    print_cautions(config, store.root, console)
    if _run_and_report(config, store, resume, check, address, console).ending == "interrupted":
        raise KeyboardInterrupt
    return load(store.root)


def _run_and_report(
    config: "SweepConfig",
    store: "RecordStore",
    resume: bool,
    check: bool,
    address: str | None,
    console: Console,
) -> "SweepResult":
    say_start(address, config.data.title, console)
    from ndabench.orchestration.local_preparation import preparing  # late: planning must not wait for it

    with preparing(config, address, check=check, quiet=console.quiet) as begun:
        # late: importing Ray takes seconds, in which the preparation goes on
        from ndabench.orchestration.cluster import connect
        from ndabench.orchestration.head_watchdog import head_watchdog
        from ndabench.orchestration.run import run_sweep
        from ndabench.orchestration.status_file import StatusFile

        with StatusFile(store, config.name) as status:
            with connect(address, config.plugins) as local, head_watchdog(status.broken_off):
                result = run_sweep(
                    config, store, status, begun, resume=resume, local=local, check=check, console=console
                )
            show(store, console)
    return result


def confirm_size(config: "SweepConfig", file: Path, *, confirmed: bool) -> None:
    """Asks on a terminal before a sweep of very many trials; `UserError` where there is no terminal to
    answer."""
    count = config.trial_count()
    if confirmed or count <= MOST_UNASKED:
        return
    question = f"{file}: {count:,} trials"
    if not sys.stdin.isatty():
        raise UserError(f"{question}; say --yes if you mean that many")
    typer.confirm(f"{question}. Continue?", abort=True)


def print_plan(config: "SweepConfig", results: str, console: Console) -> None:
    """Prints the dry run: the trials of every arm, the resources a trial requests, and the number of images
    or clips."""
    from ndabench.tasks.registry import TASKS  # late: --help must not wait for it

    unit = TASKS[config.task.name].counted
    table = Table(title=f"{config.name}: {config.trial_count()} trials", title_justify="left")
    for column in ("trials", "arm", "λ", "parameters", "seeds", f"{unit} each"):
        justify: Literal["left", "right"] = "right" if column.startswith(unit) else "left"
        table.add_column(column, justify=justify, overflow="fold")
    work = 0
    for count, how, *cells, each in _plan_lines(config):
        table.add_row(*map(Text, (f"{count} {how}".strip(), *cells, f"{each:,}")))
        work += count * each
    console.print(table)
    console.print(f"each trial requests {config.resources}", highlight=False, markup=False)
    console.print(f"total work: {work:,} {unit}", highlight=False, markup=False)
    print_cautions(config, results, console)


def plan_facts(config: "SweepConfig", results: str) -> dict[str, Any]:
    """The dry run for a program."""
    # late: --help must not wait for them
    from ndabench.planning.cautions import cautions
    from ndabench.tasks.registry import TASKS

    lines = list(_plan_lines(config))
    return {
        "sweep": config.name,
        "trials": config.trial_count(),
        "arms": [arm.name for arm in config.arms],
        "unit": TASKS[config.task.name].counted,
        "total_work": sum(count * each for count, *_, each in lines),
        "each_requests": config.resources.worker_bundle,
        "workers": config.resources.workers,
        "cautions": cautions(config, results),
    }


def print_cautions(config: "SweepConfig", results: str, console: Console) -> None:
    """Prints a line for each setting that may be a mistake."""
    from ndabench.planning.cautions import cautions  # late: --help must not wait for pydantic

    for caution in cautions(config, results):
        console.print(f"caution: {caution}", highlight=False, soft_wrap=True, markup=False)


def _plan_lines(config: "SweepConfig") -> "Iterator[tuple[int, str, str, str, str, str, int]]":
    """For each arm: how many trials, how they are chosen, their λ, parameters and seeds, and the images or
    clips of each."""
    search, repeats = config.search, len(config.seeds)
    seeds = ", ".join(map(str, config.seeds))
    for arm in config.arms:
        if search.is_grid:
            for setting in config.settings_of(arm):
                trial = config.trial(arm, setting, config.seeds[0])
                parameters = ", ".join(f"{key}={value}" for key, value in trial.parameters.items())
                lambda_ = f"{trial.lambda_:g}" if arm.negative is not None else ""
                yield repeats, "", arm.name, lambda_, parameters, seeds, trial.task.num_images
            continue
        each = config.task_of(arm).num_images
        if dimensions := config.dimensions_of(arm):
            how = f"× {search.sampler.name}"
            yield search.trials_per_arm, how, arm.name, "", ", ".join(dimensions), str(search.seed), each
        most = config.most_repeated(arm)
        how = f"× the Pareto set, {most} settings at most" if most > 1 else "× the best"
        yield repeats * most, how, arm.name, "", "", seeds, each


if __name__ == "__main__":
    run(sweep)
