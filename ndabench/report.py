"""`python -m ndabench.report DIR`: the tables and the HTML again, from the Parquet records of a sweep."""

from typing import TYPE_CHECKING, Annotated

import typer

from ndabench.errors import UserError

if TYPE_CHECKING:
    from rich.console import Console

    from ndabench.records import RecordStore

FOLDER = typer.Argument(help="The folder of a sweep (or its filesystem URI), e.g. reports/quickstart.")


def report(folder: Annotated[str, FOLDER] = "reports/quickstart") -> None:
    """Write the report of a sweep again, from its records."""
    from rich.console import Console

    from ndabench.records import RecordStore

    store = RecordStore(folder)
    if not store.list("trials"):
        raise UserError(f"{folder}: no records here; give the folder of a sweep, e.g. reports/quickstart")
    show(store, Console())


def show(store: "RecordStore", console: "Console") -> None:
    """Prints the tables of results, writes the report, and says where everything lies."""
    from rich.table import Table
    from rich.text import Text

    from ndabench.reporting import summary_tables, write_report

    for spec in summary_tables(store):
        table = Table(title=Text(spec.title), title_justify="left", caption_justify="left")
        for column in spec.columns:
            table.add_column(Text(column.name), justify="right" if column.numeric else "left")
        for row in spec.rows:
            table.add_row(*(Text(cell.text) for cell in row))
        console.print(table)
    console.print(f"records  {store.root} (trials, metrics, artifacts)", highlight=False, soft_wrap=True)
    console.print(f"report   {write_report(store)}", highlight=False, soft_wrap=True)


if __name__ == "__main__":
    from ndabench.cli import run

    run(report)
