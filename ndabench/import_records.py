"""`python -m ndabench.import_records FILE...`: what `benchmarks/gpu` measured on a card, as records and a
report."""

if __name__ == "__main__":  # first: the imports below take long enough for a Ctrl-C
    from ndabench.interruption import leave_when_interrupted

    leave_when_interrupted()

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ndabench.command_line import run

FILES = typer.Argument(help="The results.jsonl of benchmarks/gpu, one for each run.")
OUT = typer.Option(help="A folder for these records and their report alone.")


def import_records(files: Annotated[list[Path], FILES], out: Annotated[str, OUT] = "reports/gpu") -> None:
    """Write what benchmarks/gpu measured as records, and a report of it."""
    # late: --help must not wait for pydantic, pyarrow and pandas
    from ndabench.command_line import results_folder
    from ndabench.records import RecordStore
    from ndabench.records.checks_import import import_checks
    from ndabench.reporting import write_report

    store = RecordStore(results_folder(out, "gpu"))
    count = import_checks(files, store)
    for line in (f"records  {store.root} ({count} measurements)", f"report   {write_report(store)}"):
        Console().print(line, highlight=False, soft_wrap=True, markup=False)


if __name__ == "__main__":
    run(import_records)
