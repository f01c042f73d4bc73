"""`python -m ndabench.report DIR`: the tables and the HTML again, from the Parquet records of a sweep."""

from typing import Annotated

import typer

from ndabench.command_line import run, show
from ndabench.errors import UserError

FOLDER = typer.Argument(help="The folder of a sweep (or its filesystem URI), e.g. reports/quickstart.")


def report(folder: Annotated[str, FOLDER] = "reports/quickstart") -> None:
    """Write the report of a sweep again, from its records."""
    from rich.console import Console

    from ndabench.records import RecordStore

    store = RecordStore(folder)
    if not store.at_once().list("trials"):
        raise UserError(f"{folder}: no records here; give the folder of a sweep, e.g. reports/quickstart")
    show(store, Console())


if __name__ == "__main__":
    run(report)
