"""The command line: `ndabench sweep|train|report|preview`, each also a module of its own."""

import sys
from collections.abc import Callable

import typer

from ndabench.errors import UserError

HELP = "Which negative helps which task, at which λ, by how much, and is that more than noise?"


def run(*commands: Callable[..., None]) -> None:
    """Runs the commands as a program: a `UserError` is one line on stderr and exit code 2, never a traceback."""
    app = typer.Typer(
        help=HELP, add_completion=False, no_args_is_help=len(commands) > 1, pretty_exceptions_enable=False
    )
    for command in commands:
        app.command()(command)
    try:
        app()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)


def main() -> None:
    """The console script."""
    from ndabench.preview import preview
    from ndabench.report import report
    from ndabench.sweep import sweep
    from ndabench.train import train

    run(sweep, train, report, preview)


if __name__ == "__main__":
    main()
