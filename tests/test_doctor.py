"""`ndabench doctor`: each fault is found, and has a remedy."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from ndabench import doctor as doctors
from ndabench.doctor import Check, checks, doctor


def test_a_sound_machine_has_no_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NDABENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("NDABENCH_DATA", raising=False)
    doctor(tmp_path / "reports", json_=True, no_ray=True)
    found = [Check(**json.loads(line)) for line in capsys.readouterr().out.splitlines()]
    assert {one.what for one in found} >= {"python", "packages", "cores", "memory", "results", "cache"}
    assert all(bool(one.remedy) == (one.verdict != "ok") for one in found)
    assert not list(tmp_path.iterdir())


def test_a_fault_is_the_exit_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NDABENCH_DATA", "/nowhere/at/all")
    with pytest.raises(SystemExit) as ended:
        doctor(tmp_path, no_ray=True)
    assert ended.value.code == 1
    assert "NDABENCH_DATA: /nowhere/at/all does not exist\n        unset it" in capsys.readouterr().out


def test_what_is_found_of_each_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda folder: SimpleNamespace(free=2**20))
    assert doctors._shared_memory(tmp_path).verdict == "caution"
    assert "--shm-size" in doctors._shared_memory(tmp_path).remedy
    assert "Ray uses the disk" in doctors._shared_memory(tmp_path / "none").found
    assert doctors._folder("cache", tmp_path, "set it").remedy == "make room, or set it"

    def refused(folder: Path) -> float:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(doctors, "_mib_per_second", refused)
    refusal = doctors._folder("cache", tmp_path / "new", "set it")
    assert (refusal.verdict, refusal.found) == (
        "fault",
        f"nothing can be written into {tmp_path} (Permission denied)",
    )
    monkeypatch.setattr("resource.getrlimit", lambda _: (1024, 524288))
    assert doctors._open_files().remedy.startswith("ulimit -n 65536")
    monkeypatch.setattr(doctors, "_version", lambda package: "" if package == "av" else "1")
    assert doctors._packages().remedy == "pip install av"


def test_a_temporary_folder_with_a_long_path_is_a_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path / ("long" * 20)))
    found = doctors._sockets()
    assert found.verdict == "fault"
    assert "RAY_TMPDIR" in found.remedy


def test_checks_come_one_at_a_time(tmp_path: Path) -> None:
    assert next(checks(tmp_path, with_ray=False)).what == "python"
