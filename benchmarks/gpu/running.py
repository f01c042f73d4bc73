"""Runs the checks one after the other, each in its own process and within its own time.

A hang, a crash or a full memory costs the check that caused it its own time and nothing else. The parent
never touches CUDA, so that its forked children may; they share what it has imported.
"""

import contextlib
import ctypes
import multiprocessing
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch._dynamo  # optimisers import it late, and it takes seconds: once here instead of in every child
from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.gpu.results import LOG, SUMMARY, Bench, append, read

RESERVE_SECONDS = 5.0
"""Kept for the summary."""
LEAST_SECONDS = 8.0
"""A check with less time than this does not start, unless its own limit is lower."""


@dataclass(frozen=True)
class Check:
    """A function that measures or proves something, and what is known of it beforehand."""

    name: str
    run: Callable[[Bench], None]
    seconds: float
    """After this time it is ended."""
    needs_card: bool = False
    """It has nothing that a CPU could run, so that a rehearsal passes over it."""


def run_checks(checks: Sequence[Check], bench: Bench, *, deadline: float) -> None:
    """Runs `checks` in their order until `deadline` (`time.monotonic()`); every one leaves a line."""
    for check in checks:
        mine = replace(bench, check=check.name, started=time.monotonic())
        if check.needs_card and bench.rehearse:
            _note(mine, "needs a card", "nothing of it runs on a CPU")
            continue
        left = deadline - RESERVE_SECONDS - time.monotonic()
        if left < min(check.seconds, LEAST_SECONDS):
            _note(mine, "not reached", f"{max(0, left):.0f} s were left")
            continue
        _in_a_child(check, replace(mine, seconds=min(check.seconds, left)))


def _note(bench: Bench, status: Any, note: str) -> None:
    """A line from the parent, which must not ask CUDA for the card's name."""
    line = {"check": bench.check, "name": bench.check, "status": status, "note": note}
    append(bench.folder, {**line, "rehearsal": bench.rehearse, "device": bench.device.type})


def _in_a_child(check: Check, bench: Bench) -> None:
    before = len(read(bench.folder))
    process = multiprocessing.get_context("fork").Process(target=_child, args=(check, bench))
    process.start()
    process.join(bench.seconds)
    late = process.is_alive()
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid or 0, signal.SIGKILL)  # whatever the child itself has started, too
    process.join()
    if late:
        _note(bench, "out of time", f"ended after {bench.seconds:.0f} s")
    elif process.exitcode and process.exitcode != FAILED:
        _note(bench, "failed", f"the process ended with code {process.exitcode}; see {LOG}")
    elif len(read(bench.folder)) == before:
        _note(bench, "failed", "it measured nothing")


FAILED = 3
"""The exit code of a child that has written itself why it failed."""
PR_SET_PDEATHSIG = 1


def _child(check: Check, bench: Bench) -> None:
    os.setpgid(0, 0)
    with contextlib.suppress(OSError, AttributeError):  # a parent that is killed takes its children along
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    log = os.open(bench.folder / LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    print(f"== {check.name}", flush=True)
    try:
        torch.manual_seed(0)
        check.run(bench)
    except BaseException as error:
        traceback.print_exc()
        sys.stderr.flush()
        reason = str(error).strip().partition("\n")[0][:300]
        with contextlib.suppress(Exception):  # the card may be gone; the parent then says so
            bench.write(check.name, "failed", f"{type(error).__name__}: {reason}")
            os._exit(FAILED)
        os._exit(1)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # no exit handlers: they belong to the parent


def summarise(folder: Path, console: Console) -> bool:
    """Prints every line, keeps the table as text, and says whether nothing failed or was missed."""
    lines = read(folder)
    table = Table(box=box.SIMPLE, title=_heading(lines), title_justify="left")
    for column in ("check", "value", "spread", "n", "target", "", "note"):
        table.add_column(column, justify="right" if column in ("value", "n") else "left", overflow="fold")
    for line in lines:
        table.add_row(*_row(line))
    text = Console(file=(folder / SUMMARY).open("w"), width=160)
    for one in (console, text):
        one.print(table)
        one.print(_ending(lines))
    text.file.close()
    return not any(_bad(line) for line in lines)


def _bad(line: dict[str, Any]) -> bool:
    return line["status"] in ("failed", "out of time") or line.get("passed") is False


def _heading(lines: list[dict[str, Any]]) -> str:
    known = next((line for line in lines if line.get("card")), None)
    if known is None:
        return "nothing was measured"
    kind = "REHEARSAL with tiny sizes on " if known["rehearsal"] else ""
    versions = ", ".join(f"{name} {version}" for name, version in known["versions"].items())
    return f"{kind}{known['card']}; {versions}; commit {known['commit'] or 'unknown'}; {known['time'][:10]}"


def _row(line: dict[str, Any]) -> list[str]:
    name = line["check"] if line["name"] == line["check"] else f"{line['check']}: {line['name']}"
    if line["status"] != "measured":
        return [name, "", "", "", "", line["status"].upper(), line["note"]]
    target = line["target"]
    bounds = [f"≥ {target['at_least']:g}" if target["at_least"] is not None else ""]
    bounds += [f"≤ {target['at_most']:g}" if target["at_most"] is not None else ""]
    spread = "{:.4g} to {:.4g}".format(*line["spread"]) if line["spread"] else ""
    value = "not finite" if line["value"] is None else f"{line['value']:.4g} {line['unit']}".strip()
    mark = {True: "ok", False: "MISSED", None: ""}[line["passed"]]
    return [name, value, spread, str(line["n"]), " ".join(filter(None, bounds)), mark, line["note"]]


def _ending(lines: list[dict[str, Any]]) -> str:
    measured = [line for line in lines if line["status"] == "measured"]
    missed = [line for line in measured if line["passed"] is False]
    parts = [f"{len(measured)} measurements, {len(missed)} missed their target"]
    for status in ("failed", "out of time", "needs a card", "not reached"):
        names = dict.fromkeys(line["check"] for line in lines if line["status"] == status)
        if names:
            parts.append(f"{status}: {', '.join(names)}")
    return "; ".join(parts)
