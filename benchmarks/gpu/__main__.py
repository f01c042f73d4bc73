"""Proves correctness and measures speed on one card, within a number of minutes; see `run.sh`.

    benchmarks/gpu/run.sh 9 OUT                      # everything, in order of value
    benchmarks/gpu/run.sh 9 OUT --only gan_speed     # some checks
    benchmarks/gpu/run.sh 2 OUT --rehearse           # tiny sizes on a CPU

Each measurement is one line of OUT/results.jsonl; `ndabench import-records` makes records of them.
"""

import os
import time
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console

from benchmarks.gpu.checks import CHECKS
from benchmarks.gpu.results import Bench
from benchmarks.gpu.running import run_checks, summarise
from ndabench.trials.config import git_commit

CPU_THREADS = 1
"""In a rehearsal: it shares its machine with other tests."""


def main(
    minutes: Annotated[float, typer.Argument(help="it ends within this time, whatever happens", min=0.1)],
    out: Annotated[Path, typer.Argument(help="a folder for the results")],
    only: Annotated[list[str] | None, typer.Option(help="a check to run; default: all")] = None,
    skip: Annotated[list[str] | None, typer.Option(help="a check to leave out")] = None,
    rehearse: Annotated[bool, typer.Option("--rehearse", help="tiny sizes on a CPU")] = False,
    list_: Annotated[bool, typer.Option("--list", help="name the checks, run nothing")] = False,
) -> None:
    """Run the checks in order of value; exit code 1 where one failed or missed its target."""
    deadline = time.monotonic() + 60 * minutes - float(os.environ.get("NDABENCH_GPU_STARTED_AGO", "0"))
    console = Console(width=160)
    if list_:
        for check in CHECKS:
            console.print(
                f"{check.name}: {(check.run.__doc__ or '').splitlines()[0]} (≤ {check.seconds:.0f} s)"
            )
        return
    known = {check.name for check in CHECKS}
    for name in [*(only or []), *(skip or [])]:
        if name not in known:
            raise typer.BadParameter(f"no check {name!r}; there are {', '.join(sorted(known))}")
    chosen = [check for check in CHECKS if check.name in (only or known) and check.name not in (skip or [])]
    out.mkdir(parents=True, exist_ok=True)
    if rehearse:
        torch.set_num_threads(CPU_THREADS)
    bench = Bench(
        check="",
        device=torch.device("cpu") if rehearse else torch.device("cuda", 0),
        rehearse=rehearse,
        folder=out.absolute(),
        seconds=0,
        commit=os.environ.get("NDABENCH_GPU_COMMIT") or git_commit(),
    )
    run_checks(chosen, bench, deadline=deadline)
    if not summarise(out, console):
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
