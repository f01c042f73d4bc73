"""Commands in processes of their own, with all the processes that they start, and what they recorded."""

import contextlib
import ipaddress
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ndabench.config import parse
from ndabench.measurement import displayed_name
from ndabench.planning.sweep_file import SweepConfig
from ndabench.records import RecordStore, read_status
from ndabench.scratch import delete_orphans
from tests.command_lines import complaints

ROOT = Path(__file__).parents[2]
PATIENCE = 300
"""Seconds that anything may take on a busy machine."""

TINY: dict[str, Any] = {
    "name": "tiny",
    "task": {
        "name": "gan",
        "width": 4,
        "latent_dim": 8,
        "batch_size": 8,
        "num_discriminator_steps": 1,
        "num_steps": 24,
        "checkpoint_every": 2,
        "log_every": 2,
        "num_sheet_rows": 1,
    },
    "data": {"name": "digits", "image_size": 16},
    "arms": ["none", "jigsaw"],
    "search": {"lambda": [0.5]},
    "seeds": [0, 1],
    "evaluate": [{"name": "fd", "num_samples": 64, "every": 8}],
    "objective": {"metric": "fd_classifier"},
    "resources": {"max_concurrent": 2},
}


UNCHECKED_SWEEP = ("ndabench.sweep", "--no-check")
"""A sweep that begins at once; the check is tested with the reference and in tests/orchestration."""


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def complaints(self) -> str:
        """Standard error without what `train` says that it reads and prepares."""
        return complaints(self.stderr)


class Command:
    """A running command, in a separate session as if started from its own terminal."""

    def __init__(self, folder: Path, arguments: list[str], environment: Mapping[str, str]) -> None:
        mark = uuid.uuid4().hex
        self._mark = f"NDABENCH_TEST_COMMAND={mark}".encode()
        self._stdout, self._stderr = folder / f"{mark}.stdout", folder / f"{mark}.stderr"
        with self._stdout.open("wb") as stdout, self._stderr.open("wb") as stderr:
            self._process = subprocess.Popen(
                arguments,
                cwd=ROOT,
                env={**environment, "NDABENCH_TEST_COMMAND": mark},
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def output(self) -> str:
        """What it has printed so far."""
        return self._stdout.read_text()

    def ended(self) -> Ended:
        """Waits for the end of the command itself."""
        code = self._process.wait(PATIENCE)
        return Ended(code, self._stdout.read_text(), self._stderr.read_text())

    def processes(self) -> list[int]:
        """Its own process and all that it started, directly or not, as far as they have not ended."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):  # it has ended meanwhile, or is somebody else's
                state, _, _, session = (folder / "stat").read_text().rpartition(") ")[2].split()[:4]
                # Some of Ray's processes leave the session, others overwrite their environment.
                ours = int(session) == self.pid or self._mark in (folder / "environ").read_bytes().split(
                    b"\0"
                )
                if ours and state != "Z":
                    found.append(int(folder.name))
        return found

    def titled(self, title: str) -> list[int]:
        """Those of its processes that call themselves so, or begin so: `ray::RayTrainWorker`."""
        found = []
        for pid in self.processes():
            with contextlib.suppress(OSError):
                if (Path("/proc") / str(pid) / "cmdline").read_bytes().startswith(title.encode()):
                    found.append(pid)
        return found

    def has_loaded(self, library: str) -> bool:
        """Whether the command's own process, not one that it started, has loaded a library."""
        return library in Path(f"/proc/{self.pid}/maps").read_text()

    def listens_on(self) -> set[str]:
        """The addresses at which any of its processes waits for connections."""
        inodes = {file for pid in self.processes() for file in _open_files(pid)}
        found = set()
        for table in ("tcp", "tcp6"):
            for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
                _, local, _, state, *_, inode = line.split()[:10]
                if state == "0A" and f"socket:[{inode}]" in inodes:  # 0A: listening
                    found.add(_address(local.partition(":")[0]))
        return found

    def interrupt(self) -> None:
        """Ctrl-C: a terminal sends it to the whole foreground group."""
        os.killpg(self.pid, signal.SIGINT)

    def terminate(self) -> None:
        """`kill PID`, as the supervisor of a submitted job does."""
        os.kill(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        """kill -9 of everything, until nothing is left."""

        def gone() -> bool:
            for pid in self.processes():
                with contextlib.suppress(ProcessLookupError):  # it has ended meanwhile
                    os.kill(pid, signal.SIGKILL)
            return not self.running and not self.processes()

        wait_until(gone, "every process is gone")


def _open_files(pid: int) -> set[str]:
    found = set()
    with contextlib.suppress(OSError):  # the process may end, and close files, at any moment
        for file in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                found.add(str(file.readlink()))
    return found


def _address(hexadecimal: str) -> str:
    """An address of /proc/net/tcp or tcp6: words of four bytes, each in the machine's order."""
    words = bytes.fromhex(hexadecimal)
    address = ipaddress.ip_address(b"".join(words[i : i + 4][::-1] for i in range(0, len(words), 4)))
    return str(getattr(address, "ipv4_mapped", None) or address)


@dataclass(frozen=True)
class Bench:
    """Where a test's commands run: its folder, and the environment of all of them."""

    folder: Path
    environment: Mapping[str, str]

    def file(self, **changes: Any) -> str:
        """A sweep file, `TINY` but for `changes`."""
        path = self.folder / "sweep.yaml"
        path.write_text(yaml.safe_dump(changed(changes)))
        return str(path)

    def start(self, *arguments: str, prefix: Sequence[str] = ()) -> Command:
        """Starts `python -m …`; `prefix` is a command to run it in."""
        return Command(self.folder, [*prefix, sys.executable, "-m", *arguments], self.environment)

    def run(self, *arguments: str) -> Ended:
        """Runs `python -m …` to its end, and sees that it leaves no process and no folder behind."""
        self.clear_orphans()
        command = self.start(*arguments)
        try:
            ended = command.ended()
            wait_until(lambda: not command.processes(), "no process is left behind")
        finally:
            command.kill()
        assert not self.clear_orphans()
        return ended

    def clear_orphans(self) -> set[Path]:
        """Deletes the temporary folders of commands that are gone, and returns them; Ray's own would stay."""
        place = Path(self.environment["TMPDIR"])
        before = set(place.glob("ndabench-*"))
        delete_orphans(place)
        assert not (place / "ray").exists()
        return before - set(place.glob("ndabench-*"))

    def sweep(self, *arguments: str) -> Ended:
        return self.run(*UNCHECKED_SWEEP, *arguments)


@dataclass(frozen=True)
class Reference:
    """A sweep of `TINY` that nothing interrupted: how the command ended, and where its records are."""

    ended: Ended
    out: Path
    file: str

    def metrics_of(self, trial_ids: Iterable[str]) -> dict[tuple[str, int, str], float]:
        """Every value recorded for these trials."""
        wanted = set(trial_ids)
        return {key: value for key, value in metrics(self.out).items() if key[0] in wanted}


def changed(changes: Mapping[str, Any]) -> dict[str, Any]:
    """`TINY` with `changes` to its keys; those to `task` are merged into it."""
    return {**TINY, **changes, "task": {**TINY["task"], **changes.get("task", {})}}


def tiny(**changes: Any) -> SweepConfig:
    """What `Bench.file` with the same changes means."""
    return parse(SweepConfig, changed(changes), "tiny")


def wait_until(condition: Callable[[], bool], what: str, every: float = 0.02) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain until {what}"
        time.sleep(every)


def statuses(out: Path | str) -> dict[str, str]:
    """The status of every recorded trial."""
    rows = RecordStore(str(out)).read_trials().to_pylist()
    assert len({row["trial_id"] for row in rows}) == len(rows)
    return {row["trial_id"]: row["status"] for row in rows}


def name_of(row: Mapping[str, Any]) -> str:
    """The displayed name of a row of metrics."""
    return displayed_name(row["metric"], row["split"], row["label"])


def metrics(out: Path | str) -> dict[tuple[str, int, str], float]:
    """Every recorded value; no key is there twice."""
    rows = RecordStore(str(out)).read_metrics().to_pylist()
    values = {(row["trial_id"], row["step"], name_of(row)): row["value"] for row in rows}
    assert len(values) == len(rows), "a row is doubled"
    return values


def times_written(out: Path, trial_ids: set[str]) -> dict[str, int]:
    """When each file of these trials was last written."""
    files = [path for path in out.rglob("*") if path.is_file() and trial_ids & {path.stem, path.parent.name}]
    return {str(path.relative_to(out)): path.stat().st_mtime_ns for path in files}


def assert_stopped_in_order(ended: Ended, file: str, out: Path) -> None:
    """A sweep ended as after Ctrl-C: with a word on how to go on, and nothing recorded as running."""
    assert (ended.code, ended.stderr) == (130, "")
    *_, summary, advice = ended.stdout.splitlines()
    assert summary.startswith("interrupted: ")
    assert advice == f"continue with: python -m ndabench.sweep {file} --out {out} --resume"
    status, known = read_status(RecordStore(str(out))), statuses(out)
    assert status is not None
    assert (status.state, status.exit_code, status.running) == ("interrupted", 130, ())
    assert status.trials["finished"] + status.trials["stopped"] == len(known)
    assert set(known.values()) <= {"finished", "stopped"}


def in_the_middle(out: Path) -> bool:
    """Whether a trial has finished, and another has come to a checkpoint in the first half of its steps."""
    if not (out / "trials").is_dir():
        return False
    known = statuses(out)
    newest = [
        max(out.glob(f"checkpoints/{trial}/*.pt"), default=None)
        for trial, status in known.items()
        if status == "running"
    ]
    half = TINY["task"]["num_steps"] // 2
    return "finished" in known.values() and any(
        path is not None and int(path.stem) <= half for path in newest
    )
