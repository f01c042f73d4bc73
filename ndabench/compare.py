"""`python -m ndabench.compare DIR DIR…`: several sweeps next to each other, as tables and as a report."""

if __name__ == "__main__":  # first: the imports below take long enough for a Ctrl-C
    from ndabench.interruption import leave_when_interrupted

    leave_when_interrupted()

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ndabench.command_line import print_table, run, write_text
from ndabench.errors import UserError

FOLDERS = typer.Argument(
    metavar="DIR DIR…", help="The folders of two or more sweeps; the first is the reference."
)
OUT = typer.Option(metavar="FILE.html", help="Where the report goes.")


def compare(
    folders: Annotated[list[str], FOLDERS],
    out: Annotated[Path, OUT] = Path("reports/comparison.html"),
) -> None:
    """Compare sweeps: what differs, each arm from sweep to sweep, and all arms in one table."""
    # late: --help must not wait for pandas
    from ndabench.records import RecordStore
    from ndabench.reporting.page import render
    from ndabench.reporting.several import read_sweeps
    from ndabench.reporting.several_page import several_spec, several_tables

    if len(folders) < 2:
        raise UserError("compare: needs the folders of two sweeps; `ndabench report` shows one")
    sweeps, console = read_sweeps([RecordStore(folder) for folder in folders]), Console()
    for table in several_tables(sweeps):
        if table.rows:
            print_table(table, console)
        else:
            console.print(*table.notes, highlight=False, soft_wrap=True, markup=False)
    spec = several_spec(sweeps)
    for sentence in spec.headline:
        console.print(sentence, highlight=False, soft_wrap=True, markup=False)
    write_text(out, render(spec))
    console.print(f"report   {out}", highlight=False, soft_wrap=True, markup=False)


if __name__ == "__main__":
    run(compare)
