"""`python -m ndabench.clean DIR`: deletes what a finished sweep no longer needs."""

if __name__ == "__main__":  # first: the imports below take long enough for a Ctrl-C
    from ndabench.interruption import leave_when_interrupted

    leave_when_interrupted()

from typing import Annotated

import typer

from ndabench.command_line import JSON, QUIET, console_of, print_json, run
from ndabench.errors import UserError, unknown

FOLDER = typer.Argument(help="The folder of a sweep, e.g. reports/quickstart.")
CHECKPOINTS = typer.Option(
    metavar="last|best|none", help="Those of ended trials that stay; see `explain keep`."
)
DRY_RUN = typer.Option("--dry-run", help="Say what would be deleted, and delete nothing.")
KEPT = ("last", "best", "none")


def clean(
    folder: Annotated[str, FOLDER],
    checkpoints: Annotated[str, CHECKPOINTS] = "last",
    dry_run: Annotated[bool, DRY_RUN] = False,
    quiet: Annotated[bool, QUIET] = False,
    json_: Annotated[bool, JSON] = False,
) -> None:
    """Delete checkpoints of trials that have ended, and say what takes how much room. Records always stay."""
    # late: --help must not wait for pydantic and pyarrow
    from ndabench.ownership import recorded_sweep, sole_driver
    from ndabench.planning.retention import surplus
    from ndabench.records import RECORDED, RecordStore
    from ndabench.reporting.formatting import mebibytes

    if checkpoints not in KEPT:
        raise UserError(f"--checkpoints: {unknown('choice', checkpoints, KEPT)}")
    store, console = RecordStore(folder), console_of(quiet=quiet or json_)
    config = recorded_sweep(store)
    with sole_driver(store):
        sizes = {part: store.sizes(part) for part in RECORDED}
        paths = surplus(store, config, checkpoints)  # type: ignore[arg-type] # it is one of KEPT
        for part, files in sizes.items():
            if files:
                size = f"{mebibytes(sum(files.values()))} in {len(files):,} files"
                console.print(f"{part:<12} {size}", highlight=False, markup=False)
        freed = sum(sizes["checkpoints"].get(path, 0) for path in paths)
        what = f"{len(paths):,} of {len(sizes['checkpoints']):,} checkpoints, {mebibytes(freed)}"
        if not dry_run:
            store.delete_all(paths)
            store.delete_unfinished()
    console.print(f"{'would delete' if dry_run else 'deleted'} {what}", highlight=False, markup=False)
    if json_:
        bytes_of = {part: sum(files.values()) for part, files in sizes.items()}
        print_json({"bytes": bytes_of, "checkpoints": paths, "freed": freed, "deleted": not dry_run})


if __name__ == "__main__":
    run(clean)
