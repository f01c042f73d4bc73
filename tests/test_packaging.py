"""What `pip install` puts onto a machine: built as a release is, through the source distribution."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
import yaml

from ndabench import __version__
from ndabench.errors import UserError
from ndabench.planning.bundled import bundled_names, find_sweep_file
from ndabench.planning.sweep_file import read_sweep

ROOT = Path(__file__).parents[1]
BUILD = (
    "import sys; from setuptools import build_meta; getattr(build_meta, 'build_' + sys.argv[1])(sys.argv[2])"
)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the unpacked wheel, which was built from the unpacked source distribution."""
    folder = tmp_path_factory.mktemp("packaging")
    source = folder / "source"
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in ("ndabench", "sweeps"):
        shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    _build("sdist", source, folder)
    with tarfile.open(folder / f"ndabench-{__version__}.tar.gz") as archive:
        archive.extractall(folder, filter="data")
    _build("wheel", folder / f"ndabench-{__version__}", folder)
    with zipfile.ZipFile(folder / f"ndabench-{__version__}-py3-none-any.whl") as archive:
        archive.extractall(folder / "installed")
    return folder / "installed"


def _build(kind: str, source: Path, out: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", BUILD, kind, out], cwd=source, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()[-2000:]


def _run(installed: Path, cwd: Path, *words: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    command = [sys.executable, "-m", "ndabench", *words]
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_a_wheel_has_every_sweep_file_and_runs_from_any_folder(installed: Path, tmp_path: Path) -> None:
    ours = {path.relative_to(ROOT) for path in (ROOT / "sweeps").rglob("*.yaml")}
    theirs = {path.relative_to(installed / "ndabench") for path in (installed / "ndabench").rglob("*.yaml")}
    assert theirs == ours
    assert _run(installed, tmp_path, "--version") == f"ndabench {__version__}\n"
    assert "total work: 358,400 images" in _run(installed, tmp_path, "sweep", "--dry-run")
    assert "moco_cifar10" in _run(installed, tmp_path, "sweep", "paper/moco_cifar10", "--dry-run")
    where = "import ndabench; print(ndabench.__file__)"
    done = subprocess.run(
        [sys.executable, "-c", where], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert Path(done.stdout.strip()).is_relative_to(installed)


@pytest.mark.slow
def test_a_wheel_says_what_it_is(installed: Path) -> None:
    (metadata,) = installed.glob("*.dist-info/METADATA")
    text = metadata.read_text()
    for line in (f"Version: {__version__}", "License-Expression: MIT", "Provides-Extra: all"):
        assert line in text.splitlines()
    assert (metadata.parent / "licenses/LICENSE").read_text() == (ROOT / "LICENSE").read_text()


def test_the_version_is_the_same_everywhere() -> None:
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == __version__
    assert f"\n## {__version__} " in (ROOT / "CHANGELOG.md").read_text()


def test_own_files_go_before_those_of_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert read_sweep(Path("sweeps/quickstart.yaml"), []).name == "quickstart"
    own = tmp_path / "sweeps/quickstart.yaml"
    own.parent.mkdir()
    own.write_text("{name: own, task: gan, data: digits, arms: [none]}")
    assert read_sweep(Path("sweeps/quickstart.yaml"), []).name == "own"
    assert find_sweep_file(own) == own


def test_every_name_of_the_package_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert {"quickstart", "quickstart_video", "paper/dpc"} <= set(bundled_names())
    for name in bundled_names():
        assert find_sweep_file(Path(name)).is_file()


@pytest.mark.parametrize(
    "path", ["sweep.yml", "quickstart.yml", "../sweeps/quickstart", "/quickstart", "sweeps"]
)
def test_other_paths_stay_as_they_are(path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_sweep_file(Path(path)) == Path(path)
    with pytest.raises(UserError, match="cannot be read"):
        read_sweep(Path(path), [])
