"""The script that proves and measures on a card, as far as a CPU can tell: it is rehearsed as a whole."""

import faulthandler
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from benchmarks.gpu.checks import CHECKS
from benchmarks.gpu.results import LOG, RESULTS, SUMMARY, Bench, read
from benchmarks.gpu.running import Check, run_checks, summarise
from ndabench.import_records import import_records
from ndabench.records import RecordStore
from ndabench.reporting.page import report_spec
from ndabench.reporting.specs import TableSpec
from tests.command_lines import CommandLine

ROOT = Path(__file__).parents[1]
THERE = [
    *("torch", "torchvision", "numpy", "PIL", "pyarrow", "timm", "typer", "rich", "filelock", "triton"),
    *("pydantic", "pydantic_core", "typing_extensions", "typing_inspection", "annotated_types", "yaml"),
    *("torch_fidelity", "scipy", "tqdm"),
]
"""What the machine has or `pack.sh` packs. torch-fidelity's own imports, scipy and tqdm, are there, too."""
MISSING = ("ray", "optuna", "pandas", "sklearn", "av", "pycocotools", "jinja2", "vl_convert", "torchmetrics")


def rehearsal(out: Path) -> Path:
    """The results of `run.sh --rehearse`, which takes a minute."""
    command = ["bash", str(ROOT / "benchmarks/gpu/run.sh"), "5", str(out), "--rehearse"]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # its python3 is the tests'
    environment = {**os.environ, "PATH": path, "NDABENCH_CACHE": str(out / "cache")}
    (out / "cache").mkdir()
    done = subprocess.run(command, cwd=out, env=environment, capture_output=True, text=True)
    log = (out / LOG).read_text()[-3000:] if (out / LOG).exists() else ""
    assert done.returncode == 0, f"{done.stdout[-6000:]}\n{done.stderr[-3000:]}\n{log}"
    return out


@pytest.mark.slow
def test_a_rehearsal(tmp_path: Path, command_line: CommandLine) -> None:
    """One test, because two would rehearse twice where two processes test."""
    results = rehearsal(tmp_path)
    every_check_is_rehearsed_or_says_that_it_needs_a_card(results)
    what_it_measured_appears_in_a_report(results, command_line)


def every_check_is_rehearsed_or_says_that_it_needs_a_card(rehearsal: Path) -> None:
    lines = read(rehearsal)
    assert {line["check"] for line in lines} == {check.name for check in CHECKS}
    for check in CHECKS:
        statuses = {line["status"] for line in lines if line["check"] == check.name}
        assert statuses <= ({"needs a card"} if check.needs_card else {"measured", "not reached"})
        assert "measured" in statuses or check.needs_card
    measured = [line for line in lines if line["status"] == "measured"]
    for line in measured:
        assert line["rehearsal"] is True
        assert {"value", "unit", "spread", "n", "target", "card", "versions", "commit"} <= line.keys()
    judged = [line for line in measured if line["passed"] is not None]
    assert all(line["passed"] for line in judged)
    assert {line["kind"] for line in judged} == {"proof"}, "a rehearsal judges no speed"
    assert (rehearsal / SUMMARY).read_text().count("needs a card") == 1
    names = [(line["check"], line["name"]) for line in lines]
    assert len(set(names)) == len(names)


def what_it_measured_appears_in_a_report(rehearsal: Path, command_line: CommandLine) -> None:
    assert command_line(import_records, str(rehearsal / RESULTS), "--out", str(command_line.out)) == (0, "")
    lines = [line for line in read(rehearsal) if line["status"] == "measured"]
    spec = report_spec(RecordStore(str(command_line.out)))
    (section,) = [section for section in spec.sections if section.id == "checks"]
    (table,) = section.blocks
    assert isinstance(table, TableSpec)
    shown = {(row[0].text, row[1].text): row for row in table.rows}
    assert shown.keys() == {(line["check"], line["name"]) for line in lines}
    for line in lines:
        row = shown[line["check"], line["name"]]
        assert row[2].sort == line["value"]
        assert row[7].text == ("" if line["passed"] is None else "met")
    judged = sum(line["passed"] is not None for line in lines)
    assert spec.headline[0].endswith(f": {judged} of {judged} values with a target met it.")
    assert "(rehearsal)" in spec.headline[0]
    assert b"<table" in (command_line.out / "report.html").read_bytes()


def _run(checks: list[Check], folder: Path, seconds: float = 60.0) -> list[dict[str, Any]]:
    bench = Bench("", torch.device("cpu"), True, folder, 0)
    run_checks(checks, bench, deadline=time.monotonic() + seconds)
    return read(folder)


def _good(bench: Bench) -> None:
    bench.proved("two", 2, at_least=1)


def _hangs(bench: Bench) -> None:
    bench.proved("before", 1, at_least=1)
    time.sleep(600)


def _raises(bench: Bench) -> None:
    raise RuntimeError("no kernel\nand a long story")


def _crashes(bench: Bench) -> None:
    faulthandler.disable()  # pytest's would print the whole stack
    os.kill(os.getpid(), signal.SIGSEGV)


def _not_finite(bench: Bench) -> None:
    bench.proved("nan", float("nan"), at_least=0)


def test_what_goes_wrong_in_one_check_costs_only_that_check(tmp_path: Path) -> None:
    broken = [_hangs, _raises, _crashes, _not_finite]
    checks = [Check(one.__name__, one, 2) for one in (*broken, _good)]
    lines = _run(checks, tmp_path)
    found = [(line["check"], line["status"], line.get("passed")) for line in lines]
    assert found == [
        ("_hangs", "measured", True),
        ("_hangs", "out of time", None),
        ("_raises", "failed", None),
        ("_crashes", "failed", None),
        ("_not_finite", "measured", False),
        ("_good", "measured", True),
    ]
    assert lines[2]["note"] == "RuntimeError: no kernel"
    console = Console(file=io.StringIO(), width=300)
    assert not summarise(tmp_path, console)
    ending = (tmp_path / SUMMARY).read_text()
    assert "failed: _raises, _crashes; out of time: _hangs" in ending.replace("\n", " ")


def test_checks_for_which_no_time_is_left_are_named(tmp_path: Path) -> None:
    lines = _run([Check("later", _good, 60)], tmp_path, seconds=6)
    assert [(line["check"], line["status"]) for line in lines] == [("later", "not reached")]


def test_the_bare_machine_has_all_that_is_imported() -> None:
    """Training and the checks import nothing but the standard library, us, and what is there or packed."""
    code = f"""
import sys
allowed = {THERE!r}
sys.modules.update(dict.fromkeys({MISSING!r}))  # an import of one fails
before = set(sys.modules)
import torch, torchvision, torch._dynamo, torch_fidelity
theirs = set(sys.modules)
import benchmarks.gpu.__main__, ndabench.train, ndabench.trials.run
from ndabench.registry import load
from ndabench.tasks.registry import TASKS
from ndabench.tasks.contrastive.methods import METHODS
from ndabench.metrics.generators.extractor_registry import EXTRACTORS
for registry in (TASKS, METHODS):
    for entry in registry.values():
        load(entry.build)
for entry in EXTRACTORS.values():
    load(entry.open)
new = {{name.split(".")[0] for name in set(sys.modules) - theirs - before}}
paths = {{name: getattr(sys.modules.get(name), "__file__", "") or "" for name in new}}
print(sorted(name for name in new if "site-packages" in paths[name] and name not in allowed))
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    # What comes with typer, rich and timm; torch takes cloudpickle where it is there.
    theirs = {
        "safetensors",
        "click",
        "shellingham",
        "markdown_it",
        "mdurl",
        "pygments",
        "annotated_doc",
        "cloudpickle",
    }
    assert set(json.loads(done.stdout.replace("'", '"'))) <= theirs
