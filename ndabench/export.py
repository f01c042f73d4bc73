"""`python -m ndabench.export DIR…`: the numbers of a report for a paper, a notebook or another program."""

if __name__ == "__main__":  # first: the imports below take long enough for a Ctrl-C
    from ndabench.interruption import leave_when_interrupted

    leave_when_interrupted()

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ndabench.command_line import run, write_text
from ndabench.errors import UserError, unknown

if TYPE_CHECKING:
    from ndabench.reporting.comparison import Comparison

FOLDERS = typer.Argument(metavar="DIR…", help="The folder of a sweep, or of several: all their arms.")
FORMAT = typer.Option("--format", metavar="csv|md|latex|json", help="csv and json have every number.")
METRIC = typer.Option(metavar="NAME", help="Only this measure; may be repeated, and orders the columns.")
SPLITS = ("test", "validation")


def export(
    folders: Annotated[list[str], FOLDERS],
    format_: Annotated[str, FORMAT] = "md",
    metric: Annotated[list[str] | None, METRIC] = None,
    split: Annotated[str, typer.Option(metavar="test|validation", help="Which values.")] = "test",
    out: Annotated[Path | None, typer.Option(help="A file instead of the standard output.")] = None,
) -> None:
    """Write the tables of a report as CSV, Markdown, LaTeX or JSON."""
    # late: --help must not wait for pandas
    from ndabench.records import RecordStore
    from ndabench.reporting.comparison import comparisons
    from ndabench.reporting.formats import FORMATS
    from ndabench.reporting.frames import load
    from ndabench.reporting.several import read_sweeps, require_records

    if format_ not in FORMATS:
        raise UserError(f"--format: {unknown('format', format_, FORMATS)}")
    if split not in SPLITS:
        raise UserError(f"--split: {unknown('split', split, SPLITS)}")
    stores = [RecordStore(folder) for folder in folders]
    require_records(stores)
    frames = load(stores[0]) if len(stores) == 1 else read_sweeps(stores).all_arms
    text = FORMATS[format_](_chosen(comparisons(frames), metric or [], split))
    if out is None:
        print(text, end="")
    else:
        write_text(out, text)


def _chosen(found: "list[Comparison]", metrics: list[str], split: str) -> "list[Comparison]":
    """The comparisons on a split; of these metrics, in this order, where any are named."""
    from ndabench.measurement import displayed_name  # late: --help need not wait for it

    on_split = [one for one in found if one.split == split]
    if not on_split:
        raise UserError(f"no finished trial has measured anything on the {split} split")
    names = dict.fromkeys(one.name for one in on_split)
    wanted = [name if name in names else displayed_name(name, split) for name in metrics]
    for given, name in zip(metrics, wanted, strict=True):
        if name not in names:
            raise UserError(f"--metric: {unknown('metric', given, names)}")
    return [one for name in wanted or names for one in on_split if one.name == name]


if __name__ == "__main__":
    run(export)
