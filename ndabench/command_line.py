"""What every command shares: running as a program, and the options that several commands have."""

import functools
import io
import json
import logging
import os
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ndabench.errors import UserError
from ndabench.foreign_text import acting_character, escaped, shown, without_secrets
from ndabench.interruption import EXIT_CODE, interruptible
from ndabench.log_level import logged, terminal_handler
from ndabench.version import __version__

if TYPE_CHECKING:
    from ndabench.records import RecordStore
    from ndabench.reporting.specs import TableSpec

FILE = typer.Argument(help="The sweep file, or the name of one of ndabench's own, e.g. quickstart_video.")
SET = typer.Option("--set", metavar="KEY=VALUE", help="Change one key of the file, e.g. task.num_steps=500.")
TRIAL = typer.Argument(
    help="The folder of a sweep and a trial's id, e.g. reports/quickstart/jigsaw-0123456789."
)
OUT = typer.Option(help="The folder of the results; default reports/<name>.")
QUIET = typer.Option("--quiet", "-q", help="Print nothing but errors.")
JSON = typer.Option("--json", help="Print the result as one JSON object, and nothing else.")
ADDRESS = typer.Option(help="Address of a running Ray cluster; default: start Ray on this machine.")


def results_folder(out: str | None, sweep: str) -> str:
    """Where the results of a sweep go: `--out`, or `reports/<name>` here.

    Ray deletes the folder into which it unpacks a submitted job, so a job's default is below the home folder.
    """
    if out is not None and (not out or out.startswith("-") or acting_character(out) is not None):
        raise UserError(f"--out: needs a folder or a URI, got {shown(out)}")
    here = Path.cwd()
    base = Path.home() / "ndabench" if "runtime_resources" in here.parts else here
    return out or str(base / "reports" / sweep)


def trial_of(text: str) -> "tuple[RecordStore, str]":
    """The records and the id of the trial that `TRIAL` names; `UserError` where it names only one of them."""
    # late: --help must not wait for pyarrow
    from ndabench.records import RecordStore

    folder, _, trial_id = text.rstrip("/").rpartition("/")
    if not folder:
        raise UserError(f"{text}: give the folder of the sweep, too, e.g. reports/quickstart/{trial_id}")
    return RecordStore(folder), trial_id


def run(*commands: Callable[..., None], **groups: Sequence[Callable[..., None]]) -> None:
    """Runs the commands as a program: a `UserError` is one line on stderr and exit code 2, no traceback.

    Ctrl-C or `kill` is a line, too, and exit code 130. The commands of a group follow its name.
    """
    several = len(commands) > 1  # the program `ndabench`, whose words a shell can complete
    app = typer.Typer(add_completion=several, no_args_is_help=several, pretty_exceptions_enable=False)
    if several:
        app.callback()(_about)
    for command in commands:
        app.command(command.__name__.rstrip("_").replace("_", "-"))(_told_when_interrupted(command))
    for name, members in groups.items():
        group = typer.Typer(no_args_is_help=True, help=sys.modules[members[0].__module__].__doc__)
        for command in members:
            group.command()(_told_when_interrupted(command))
        app.add_typer(group, name=name)
    _print_what_the_terminal_can()
    try:
        with interruptible(), logged(logging.INFO, terminal_handler()):  # long work is heard
            app()
    except UserError as error:
        print(f"error: {escaped(without_secrets(str(error)))}", file=sys.stderr)
        sys.exit(2)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"ndabench {__version__}")
        raise typer.Exit


def _about(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Which negative helps which task, at which λ, by how much, and is that more than noise?"""


def _told_when_interrupted(command: Callable[..., None]) -> Callable[..., None]:
    """The command, ending as `run` promises: typer itself would exit without a line."""

    @functools.wraps(command)
    def told(*arguments: Any, **options: Any) -> None:
        try:
            command(*arguments, **options)
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            sys.exit(EXIT_CODE)

    return told


def continuation(module: str, file: Path, options: Mapping[str, Any], assignments: list[str]) -> str:
    """The command that continues what was started with these options; those that are None were not given."""
    words = ["python", "-m", f"ndabench.{module}", str(file)]
    for assignment in assignments:
        words += ["--set", assignment]
    for option, value in options.items():
        words += [f"--{option}", str(value)] if value is not None else []
    return shlex.join([*words, "--resume"])


def _print_what_the_terminal_can() -> None:
    """λ and … become ? where the terminal's encoding does not have them, instead of a UnicodeEncodeError."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a notebook has others
            stream.reconfigure(errors="replace")


def console_of(*, quiet: bool) -> Console:
    """A command's console. If it is `quiet`, it prints nothing, and the log only what is wrong."""
    if quiet:
        logging.getLogger("ndabench").setLevel(logging.WARNING)
    return Console(quiet=quiet)


def print_json(facts: Mapping[str, Any]) -> None:
    """Prints the result of a command for a program: one object on one line."""
    print(json.dumps(facts, ensure_ascii=False))


def say_start(address: str | None, data: str, console: Console) -> None:
    """Says what comes first: importing Ray and PyTorch takes seconds."""
    here = not (address or os.environ.get("RAY_ADDRESS"))
    line = f"starting Ray on this machine, importing PyTorch, reading {data} …"
    console.print(line if here else "connecting to the Ray cluster …", highlight=False, markup=False)


def write_text(path: Path, text: str) -> None:
    """Writes a file, whole or not at all; `UserError` where it cannot be written."""
    unfinished = path.with_name(f".{path.name}.unfinished")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished.write_text(text, encoding="utf-8")
        unfinished.replace(path)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror or error})") from error


def print_table(spec: "TableSpec", console: Console) -> None:
    """Prints a table of the report."""
    console.print(Text(spec.title, style="bold"), soft_wrap=True)  # a Table would break it
    table = Table()
    for column in spec.columns:
        table.add_column(Text(column.name), justify="right" if column.numeric else "left")
    for row in spec.rows:
        table.add_row(*(Text(cell.text) for cell in row))
    console.print(table)


def show(store: "RecordStore", console: Console, *, all_seeds: bool = False) -> None:
    """Prints the tables of results, writes the report, and prints where the files are."""
    # late: --help must not wait for pandas
    from ndabench.reporting import summary, write_report

    tables, lines = summary(store, all_seeds=all_seeds)
    for spec in tables:
        print_table(spec, console)
    for line in lines:
        console.print(line, highlight=False, soft_wrap=True, markup=False)
    console.print(
        f"records  {store.root} (trials, metrics, artifacts)", highlight=False, soft_wrap=True, markup=False
    )
    written = write_report(store, all_seeds=all_seeds)
    console.print(f"report   {written}", highlight=False, soft_wrap=True, markup=False)
