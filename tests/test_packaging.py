"""What `pip install` puts onto a machine: built as a release is, through the source distribution."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml

from ndabench import __version__
from ndabench.doctor import OPTIONAL
from ndabench.errors import UserError
from ndabench.planning.bundled import bundled_names, find_sweep_file
from ndabench.planning.sweep_file import read_sweep

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # which comes with pytest

ROOT = Path(__file__).parents[1]
BUILD = (
    "import sys; from setuptools import build_meta; getattr(build_meta, 'build_' + sys.argv[1])(sys.argv[2])"
)


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with the wheel, which was built from the source distribution.

    What ndabench needs is read from the environment of the tests.
    """
    folder = tmp_path_factory.mktemp("packaging")
    source = folder / "source"
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in ("ndabench", "sweeps"):
        shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    _call([sys.executable, "-c", BUILD, "sdist", folder], source)
    with tarfile.open(folder / f"ndabench-{__version__}.tar.gz") as archive:
        archive.extractall(folder, filter="data")
    _call([sys.executable, "-c", BUILD, "wheel", folder], folder / f"ndabench-{__version__}")
    made = folder / "environment"
    venv.create(made, symlinks=True)
    pip: list[str | Path] = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        made / "bin/python",
        "--disable-pip-version-check",
    ]
    wheel = folder / f"ndabench-{__version__}-py3-none-any.whl"
    _call([*pip, "install", "--no-index", "--no-deps", wheel], folder)
    # Not before: pip would take the ndabench that is installed there for the one that it replaces.
    (_packages(made) / "needs.pth").write_text(sysconfig.get_path("purelib"))
    return made


def _packages(environment: Path) -> Path:
    (found,) = environment.glob("lib/python3*/site-packages")
    return found


def _call(command: Sequence[str | Path], cwd: Path) -> str:
    """What a command prints that has no checkout on its path and ends well."""
    outside = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(command, cwd=cwd, env=outside, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


@pytest.mark.slow
def test_a_wheel_has_every_sweep_file_and_runs_from_any_folder(environment: Path, tmp_path: Path) -> None:
    ours = {path.relative_to(ROOT) for path in (ROOT / "sweeps").rglob("*.yaml")}
    package = _packages(environment) / "ndabench"
    assert {path.relative_to(package) for path in package.rglob("*.yaml")} == ours
    ndabench, python = environment / "bin/ndabench", environment / "bin/python"
    assert _call([ndabench, "--version"], tmp_path) == f"ndabench {__version__}\n"
    assert "total work: 358,400 images" in _call([python, "-m", "ndabench", "sweep", "--dry-run"], tmp_path)
    assert "moco_cifar10" in _call([ndabench, "sweep", "paper/moco_cifar10", "--dry-run"], tmp_path)
    where = _call([python, "-c", "import ndabench; print(ndabench.__file__)"], tmp_path)
    assert Path(where.strip()).is_relative_to(environment)


@pytest.mark.release
@pytest.mark.timeout(1800)
def test_a_wheel_runs_its_quickstart(environment: Path, tmp_path: Path) -> None:
    assert "report   " in _call([environment / "bin/ndabench", "sweep"], tmp_path)
    assert "What was found" in (tmp_path / "reports/quickstart/report.html").read_text()


@pytest.mark.slow
def test_a_wheel_says_what_it_is(environment: Path) -> None:
    (metadata,) = _packages(environment).glob("ndabench-*.dist-info/METADATA")
    text = metadata.read_text()
    for line in (f"Version: {__version__}", "License-Expression: MIT", "Provides-Extra: all"):
        assert line in text.splitlines()
    assert (metadata.parent / "licenses/LICENSE").read_text() == (ROOT / "LICENSE").read_text()


def test_extras_are_those_that_messages_and_documents_name() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    texts = [*(ROOT / "ndabench").rglob("*.py"), ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    named = {name for file in texts for name in re.findall(r"(?:ndabench|\.)\[(\w+)\]'", file.read_text())}
    assert {"cluster", "timm", "mlflow"} <= named <= set(extras)
    users = sorted(set(extras) - {"all", "test", "docs"})
    assert sorted(extras["all"][0].removeprefix("ndabench[").removesuffix("]").split(",")) == users
    for package, extra in OPTIONAL.items():
        assert any(requirement.startswith(package) for requirement in extras[extra]), extra


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
