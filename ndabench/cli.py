"""The console script: `ndabench sweep|train|report|preview`; each command is also a module to run."""

from ndabench.command_line import run
from ndabench.preview import preview
from ndabench.report import report
from ndabench.sweep import sweep
from ndabench.train import train


def main() -> None:
    run(sweep, train, report, preview)


if __name__ == "__main__":
    main()
