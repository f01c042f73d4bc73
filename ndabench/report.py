"""`python -m ndabench.report DIR`: writes tables and HTML again from the Parquet records of a sweep."""

if __name__ == "__main__":  # first: the imports below take long enough for a Ctrl-C
    from ndabench.interruption import leave_when_interrupted

    leave_when_interrupted()

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from ndabench.command_line import print_table, run, show
from ndabench.errors import UserError

if TYPE_CHECKING:
    from ndabench.records import RecordStore

FOLDER = typer.Argument(help="The folder of a sweep (or its filesystem URI), e.g. reports/quickstart.")
WATCH = typer.Option("--watch", help="Keep the report current until the sweep ends; Ctrl-C stops watching.")
EVERY = typer.Option(min=1, metavar="SECONDS", help="How often --watch looks for new records.")

ALL_SEEDS = typer.Option("--all-seeds", help="Count in finished seeds that the sweep file no longer names.")
SEEDS_FOR = typer.Option(
    metavar="DIFFERENCE",
    help="Print how many seeds would show this difference in the primary measure, given the spread here.",
)


def report(
    folder: Annotated[str, FOLDER] = "reports/quickstart",
    watch: Annotated[bool, WATCH] = False,
    every: Annotated[float, EVERY] = 10,
    seeds_for: Annotated[float | None, SEEDS_FOR] = None,
    all_seeds: Annotated[bool, ALL_SEEDS] = False,
) -> None:
    """Write the report of a sweep again, from its records."""
    from ndabench.records import RecordStore  # late: --help must not wait for pyarrow

    store, console = RecordStore(folder), Console()
    if watch and not _watched_to_the_end(store, every, console):
        return
    if not store.without_retry().list("trials"):
        raise UserError(f"{folder}: no records here; give the folder of a sweep, e.g. reports/quickstart")
    if seeds_for is not None:
        _print_seeds(store, seeds_for, console)
        return
    show(store, console, all_seeds=all_seeds)


def _print_seeds(store: "RecordStore", difference: float, console: Console) -> None:
    from ndabench.reporting.seeds import seeds_tables  # late: --help must not wait for pandas

    for spec in seeds_tables(store, difference):
        print_table(spec, console)
        for note in spec.notes:
            console.print(note, highlight=False, soft_wrap=True, markup=False)


def _watched_to_the_end(store: "RecordStore", every: float, console: Console) -> bool:
    """Watches until the sweep ends; False if Ctrl-C ended the watching."""
    from ndabench.reporting.watch import watch  # late: --help must not wait for pandas

    try:
        for line in watch(store, every):
            console.print(f"{datetime.now():%H:%M:%S}  {line}", highlight=False, soft_wrap=True, markup=False)
    except KeyboardInterrupt:
        return False
    return True


if __name__ == "__main__":
    run(report)
