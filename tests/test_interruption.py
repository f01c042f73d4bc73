"""Ctrl-C and `kill`, by phase of a command: one line, exit code 130, nothing left that says "running"."""

import ast
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from ndabench.interruption import handlers_restored
from ndabench.records import RecordStore

ROOT = Path(__file__).parents[1]
COMMANDS = ("sweep", "train", "report", "preview")
LONG = {
    "name": "long",
    "task": {
        "name": "gan",
        "width": 2,
        "latent_dim": 8,
        "batch_size": 8,
        "num_discriminator_steps": 1,
        "num_steps": 100_000,
        "checkpoint_every": 100_000,
        "log_every": 5,
        "num_sheet_rows": 1,
    },
    "data": {"name": "digits", "image_size": 16},
    "arms": ["none"],
    "seeds": [0],
}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_while_modules_are_imported(number: signal.Signals) -> None:
    code = (
        "from ndabench.interruption import leave_when_interrupted\n"
        "leave_when_interrupted()\n"
        f"import os; os.kill(os.getpid(), {int(number)})\n"
        "import time; time.sleep(60)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "interrupted\n")


def test_handlers_of_libraries_do_not_stay() -> None:
    """Ray Tune's would swallow the first Ctrl-C in the report; tests/end_to_end interrupts one."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
    before = [signal.getsignal(number) for number in numbers]
    with handlers_restored():
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)
    assert [signal.getsignal(number) for number in numbers] == before


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_begins_with_it(command: str) -> None:
    """Before any import, so that a Ctrl-C half a second after the start leaves no traceback either."""
    _, first, *_ = ast.parse((ROOT / "ndabench" / f"{command}.py").read_text("utf-8")).body
    assert isinstance(first, ast.If)
    assert ast.unparse(first.test) == "__name__ == '__main__'"
    assert ast.unparse(first.body[-1]) == "leave_when_interrupted()"


def interrupted(
    tmp_path: Path, command: str, number: signal.Signals, ready: Callable[[int], bool]
) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command that got the signal once it was `ready`."""
    file = tmp_path / "long.yaml"
    file.write_text(yaml.safe_dump(LONG))
    words = [sys.executable, "-m", f"ndabench.{command}", str(file), "--out", str(tmp_path / "out")]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        end = time.monotonic() + 120
        while not ready(process.pid) and process.poll() is None and time.monotonic() < end:
            time.sleep(0.05)
        os.kill(process.pid, number)
        stdout, stderr = process.communicate(timeout=60)
    return process.returncode, stdout, stderr


def children(pid: int) -> str:
    """The command lines of a process's children."""
    lines = []
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        try:
            lines.append(Path(f"/proc/{child}/cmdline").read_text())
        except OSError:  # it has just ended
            continue
    return "\n".join(lines)


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs Linux's /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_while_a_sweep_is_prepared(number: signal.Signals, tmp_path: Path) -> None:
    code, stdout, stderr = interrupted(
        tmp_path, "sweep", number, lambda pid: "preparation_process" in children(pid)
    )
    assert code == 130, stderr
    assert "interrupted: no trial has begun" in stdout
    assert f"continue with: python -m ndabench.sweep {tmp_path / 'long.yaml'}" in stdout
    assert "Traceback" not in stdout + stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_while_a_report_is_written(number: signal.Signals, tmp_path: Path) -> None:
    """tests/end_to_end interrupts the report of a sweep."""
    (tmp_path / "trials").mkdir()
    (tmp_path / "trials" / "x.parquet").write_bytes(b"")
    code = (
        "import os, sys, time\nfrom ndabench import reporting\nfrom ndabench.command_line import run\n"
        "from ndabench.report import report\n"
        f"reporting.summary = lambda *_, **__: (os.kill(os.getpid(), {int(number)}), time.sleep(60))\n"
        f"sys.argv = ['report', {str(tmp_path)!r}]\nrun(report)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "interrupted\n")


def test_while_train_trains(tmp_path: Path) -> None:
    rows = RecordStore(str(tmp_path / "out"))

    def has_trained(pid: int) -> bool:
        return any((tmp_path / "out" / "metrics").rglob("*.parquet"))

    code, stdout, stderr = interrupted(tmp_path, "train", signal.SIGTERM, has_trained)
    assert code == 130, stderr
    assert "interrupted: none seed 0" in stdout
    assert stdout.rstrip().endswith("--resume")
    assert "Traceback" not in stdout + stderr
    assert rows.read_trials()["status"].to_pylist() == ["stopped"]
