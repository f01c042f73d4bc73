"""Ray's workers that die at start: the reason, and the log, which stays."""

import shutil
from pathlib import Path

import pytest
from ray.exceptions import GetTimeoutError

from ndabench.errors import UserError
from ndabench.orchestration import first_worker
from ndabench.orchestration.first_worker import FirstWorker, kept, reason_in

RAYLET = (
    "[2026-11-28 06:08:28,948 E 20619 20619] (raylet) worker_pool.cc:660: Some workers have not registered."
)


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    folder = tmp_path / "logs"
    folder.mkdir()
    (folder / "raylet.err").write_text(f"MemoryError: no memory for the interpreter\n{RAYLET}\n")
    return folder


def test_the_reason_is_what_the_worker_said_last(logs: Path) -> None:
    assert reason_in(logs) == " (MemoryError: no memory for the interpreter)"
    (logs / "raylet.err").write_text(RAYLET)
    assert reason_in(logs) == ""


def test_a_worker_that_does_not_start_is_one_line(
    logs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(answer: object, timeout: float) -> None:
        raise GetTimeoutError

    monkeypatch.setattr("ray.get", never)
    monkeypatch.setattr(first_worker, "_logs", lambda: logs)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    worker = FirstWorker.__new__(FirstWorker)
    worker._answer = None  # type: ignore[assignment]
    with pytest.raises(UserError) as raised:
        worker.require(5)
    line, _, folder = str(raised.value).rpartition(" ")
    assert line == (
        "Ray's worker processes do not start within 5 s (MemoryError: no memory for the interpreter); "
        "Ray's log is in"
    )
    assert (Path(folder) / "raylet.err").read_text() == (logs / "raylet.err").read_text()


def test_the_log_stays_when_rays_folder_goes(logs: Path) -> None:
    copy = kept(logs)
    shutil.rmtree(logs)
    assert (copy / "raylet.err").is_file()
    shutil.rmtree(copy)
