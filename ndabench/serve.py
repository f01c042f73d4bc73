"""`python -m ndabench.serve DIR`: the reports of all sweeps in a folder in a browser, kept current."""

if __name__ == "__main__":  # first: the imports below take long enough for a Ctrl-C
    from ndabench.interruption import leave_when_interrupted

    leave_when_interrupted()

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ndabench.command_line import run
from ndabench.errors import UserError

FOLDER = typer.Argument(metavar="DIR", help="A folder of sweeps, or the folder (or URI) of one.")
HOST = typer.Option(help="The address to listen on. Anyone who can reach it can read the reports.")
PORT = typer.Option(min=0, max=65535, help="0: any that is free.")
EVERY = typer.Option(min=1, metavar="SECONDS", help="How often an open page of a running sweep loads again.")


def serve(
    folder: Annotated[str, FOLDER] = "reports",
    host: Annotated[str, HOST] = "127.0.0.1",
    port: Annotated[int, PORT] = 8484,
    every: Annotated[float, EVERY] = 10,
) -> None:
    """Show the reports of sweeps in a browser, kept current; Ctrl-C ends it."""
    from ndabench.reporting.serving import Server, Sweeps, serving  # late: --help must not wait for pandas

    if "://" not in folder and not Path(folder).is_dir():
        raise UserError(f"{folder}: no such folder; give the one that your sweeps write to, e.g. reports")
    sweeps = Sweeps(folder, every)
    with Server(sweeps, host, port) as server:
        line = f"{serving(sweeps)} at {server.url} (Ctrl-C ends it)"
        Console().print(line, highlight=False, soft_wrap=True, markup=False)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            return


if __name__ == "__main__":
    run(serve)
