"""`python -m ndabench.paper [TABLE]`: the paper's values, what is known of each, and the files to run."""

if __name__ == "__main__":  # first: the imports below take long enough for a Ctrl-C
    from ndabench.interruption import leave_when_interrupted

    leave_when_interrupted()

import re
from typing import Annotated

import typer
from rich.console import Console

from ndabench.command_line import print_table, run
from ndabench.errors import unknown

TABLE = typer.Argument(help="A table of the paper, A to J as in sweeps/paper/README.md; default: their list.")


def paper(table: Annotated[str, TABLE] = "") -> None:
    """Print a table of the paper (Sinha et al., ICLR 2021), and which sweep files run it."""
    # late: --help must not wait for pandas
    from ndabench.reporting.paper import STANDINGS, TABLES, values_table
    from ndabench.reporting.specs import Cell, Column, TableSpec

    files, console = files_by_table(), Console()
    letter = table.upper()
    if not letter:
        rows = [[Cell(one), Cell(title), Cell(", ".join(files[one]))] for one, title in TABLES.items()]
        columns = [Column("table"), Column("what"), Column("ndabench sweep …")]
        print_table(TableSpec("tables", "The paper's tables", columns, rows), console)
        return
    if letter not in TABLES:
        raise unknown("table", table, TABLES)
    spec = values_table(letter)
    print_table(spec, console)
    for line in (*spec.notes, STANDINGS, *(f"ndabench sweep {file}" for file in files[letter])):
        console.print(line, highlight=False, soft_wrap=True, markup=False)


def files_by_table() -> dict[str, list[str]]:
    """The names of ndabench's own sweep files for each table, by the first line of each file."""
    # late: --help must not wait for pandas
    from ndabench.planning.bundled import FOLDER
    from ndabench.reporting.paper import TABLES

    files: dict[str, list[str]] = {letter: [] for letter in TABLES}
    for path in sorted((FOLDER / "paper").glob("*.yaml")):
        first = path.read_text("utf-8").partition("\n")[0]
        named = re.match(r"# Tables? ([A-J](?:(?:, | and )[A-J])*)", first)
        for letter in re.findall("[A-J]", named[1]) if named else ():
            files[letter].append(f"paper/{path.stem}")
    return files


if __name__ == "__main__":
    run(paper)
