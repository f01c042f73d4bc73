"""`python -m ndabench.evaluate DIR --set evaluate=…`: more measures on the finished trials of a sweep."""

if __name__ == "__main__":  # first: the imports below take long enough for a Ctrl-C
    from ndabench.interruption import leave_when_interrupted

    leave_when_interrupted()

import sys
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from ndabench.command_line import ADDRESS, JSON, QUIET, console_of, print_json, run, say_start, show
from ndabench.interruption import EXIT_CODE

if TYPE_CHECKING:
    from ndabench.planning.later_evaluations import Asked
    from ndabench.records import RecordStore

FOLDER = typer.Argument(help="The folder of a sweep, e.g. reports/quickstart.")
SET = typer.Option(
    "--set", metavar="KEY=VALUE", help="What to measure, e.g. 'evaluate=[kid]'; also resources.KEY."
)
TRIAL = typer.Option(metavar="ID", help="Measure this trial only; may be repeated.")
AGAIN = typer.Option("--again", help="Repeat the measurements that `evaluate` has made before.")
DRY_RUN = typer.Option("--dry-run", help="Say what would be measured, and measure nothing.")


def evaluate(
    folder: Annotated[str, FOLDER],
    set_: Annotated[list[str] | None, SET] = None,
    trial: Annotated[list[str] | None, TRIAL] = None,
    again: Annotated[bool, AGAIN] = False,
    dry_run: Annotated[bool, DRY_RUN] = False,
    address: Annotated[str | None, ADDRESS] = None,
    quiet: Annotated[bool, QUIET] = False,
    json_: Annotated[bool, JSON] = False,
) -> None:
    """Measure finished trials by more evaluations, from their checkpoints, and write the report."""
    # late: --help must not wait for pydantic and pyarrow
    from ndabench.errors import first_of
    from ndabench.ownership import check_ownership, recorded_sweep
    from ndabench.planning.later_evaluations import asked
    from ndabench.records import RecordStore

    store, console = RecordStore(folder), console_of(quiet=quiet or json_)
    config = recorded_sweep(store)
    check_ownership(store, config, resume=True)
    found = asked(config, store, set_ or [], trial or (), again=again)
    if found.gone:
        line = f"left out: neither checkpoints nor weights are left of {first_of(found.gone)}"
        console.print(line, highlight=False, soft_wrap=True, markup=False)
    facts = {"trials": len(found.jobs), "have": found.have, "left_out": list(found.gone), "failed": 0}
    if not found.jobs or dry_run:
        _print_jobs(found, console)
    else:
        try:
            facts["failed"] = _measure(found, store, address, console)
        except KeyboardInterrupt:
            console.print("interrupted; the same command continues with the trials that are left")
            sys.exit(EXIT_CODE)
        show(store, console)
    if json_:
        print_json({**facts, "records": store.root, "report": store.local_path("report.html")})
    if facts["failed"]:
        sys.exit(1)


def _print_jobs(found: "Asked", console: Console) -> None:
    """What would be measured."""
    for job in found.jobs:
        keys = ", ".join(one.key for one in job.evaluations)
        console.print(f"{job.trial.label}: {keys}", highlight=False, soft_wrap=True, markup=False)
    if found.jobs:
        console.print(f"{len(found.jobs)} trials, each {found.config.resources}", highlight=False)
    else:
        console.print(f"nothing to measure: {found.have} finished trials have these values", highlight=False)


def _measure(found: "Asked", store: "RecordStore", address: str | None, console: Console) -> int:
    """Measures all that is asked for; returns on how many trials that failed."""
    say_start(address, found.config.data.title, console)
    # late: planning must not wait for them
    from ndabench.orchestration.local_preparation import preparing
    from ndabench.planning.sweep_state import SweepState

    config, state = found.config, SweepState(len(found.jobs), {})
    with preparing(config, address, check=False, quiet=console.quiet) as begun:
        # late: importing Ray takes seconds, in which the preparation goes on
        from ndabench.orchestration.cluster import connect
        from ndabench.orchestration.head_watchdog import head_watchdog
        from ndabench.orchestration.measuring import measure_trials
        from ndabench.orchestration.run import check_sweep
        from ndabench.orchestration.terminal_view import TerminalView
        from ndabench.ownership import require_same_data, sole_driver
        from ndabench.planning.later_evaluations import write_later

        with connect(address, config.plugins) as local, head_watchdog(lambda message: None):
            prepared = check_sweep(config, begun, local=local, check=False, console=console)
            require_same_data(store, config, prepared.data_hash)
            with sole_driver(store), TerminalView(console, state, None) as view:
                state.subscribe("the terminal", view.observe)
                write_later(store, found.later)
                measure_trials(found.jobs, config.resources, store, state)
    return state.counts()["failed"]


if __name__ == "__main__":
    run(evaluate)
