"""The console script `ndabench`, also `python -m ndabench`; most of its commands are also modules to run."""

import sys
from pathlib import Path

from ndabench.interruption import leave_when_interrupted


def main() -> None:
    leave_when_interrupted()
    sys.path.append(str(Path.cwd()))  # a plugin may be a file here; `python -m` looks here by itself
    # late: a Ctrl-C while they are imported ends with a line, too
    from ndabench.clean import clean
    from ndabench.command_line import run
    from ndabench.compare import compare
    from ndabench.doctor import doctor
    from ndabench.evaluate import evaluate
    from ndabench.export import export
    from ndabench.export_networks import export_networks
    from ndabench.import_records import import_records
    from ndabench.init import init
    from ndabench.measure import COMMANDS
    from ndabench.pack import pack
    from ndabench.paper import paper
    from ndabench.preview import preview
    from ndabench.reference.commands import explain, list_
    from ndabench.report import report
    from ndabench.rerun import rerun
    from ndabench.samples import samples
    from ndabench.serve import serve
    from ndabench.sweep import sweep
    from ndabench.train import train

    run(
        init,
        doctor,
        sweep,
        train,
        evaluate,
        report,
        serve,
        compare,
        export,
        pack,
        rerun,
        clean,
        preview,
        samples,
        export_networks,
        list_,
        explain,
        paper,
        import_records,
        measure=COMMANDS,
    )


if __name__ == "__main__":
    main()
