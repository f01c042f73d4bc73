"""What the end-to-end tests share: a cache, an environment, and one sweep that nothing ever interrupted."""

import dataclasses
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock

from tests.end_to_end.driving import Bench, Ended, Reference

NO_RAY = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("ray", "optuna"):
            raise ModuleNotFoundError(f"No module named {name!r}: it is not installed here", name=name)

sys.meta_path.insert(0, Absent())
"""


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all the processes that pytest-xdist may run the tests in."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "end_to_end"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def temporary() -> Iterator[Path]:
    """The commands' folder for temporary files: short, because Ray's sockets lie in it."""
    folder = Path(tempfile.mkdtemp(prefix="nda-", dir="/tmp"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def environment(shared: Path, temporary: Path) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("RAY_", "NDABENCH_"))}
    cache = os.environ.get("NDABENCH_CACHE", str(shared / "cache"))
    ours = {"NDABENCH_CACHE": cache, "TMPDIR": str(temporary), "OMP_NUM_THREADS": "1", "COLUMNS": "160"}
    return {**kept, **ours}


@pytest.fixture
def bench(tmp_path: Path, environment: dict[str, str]) -> Bench:
    return Bench(tmp_path, environment)


@pytest.fixture
def without_ray(bench: Bench) -> Bench:
    """The same folder, with a Python that has neither ray nor optuna."""
    site = bench.folder / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(NO_RAY)
    path = os.pathsep.join(filter(None, [str(site), bench.environment.get("PYTHONPATH", "")]))
    return Bench(bench.folder, {**bench.environment, "PYTHONPATH": path})


@pytest.fixture(scope="session")
def reference(shared: Path, environment: dict[str, str]) -> Reference:
    """A whole sweep of `TINY`, run once for all tests."""
    folder = shared / "reference"
    result = folder / "result.json"
    with FileLock(shared / "reference.lock"):
        if not result.exists():
            folder.mkdir()
            bench = Bench(folder, environment)
            ended = bench.run("ndabench.sweep", bench.file(), "--out", str(folder / "out"))
            result.write_text(json.dumps(dataclasses.asdict(ended)))
    return Reference(Ended(**json.loads(result.read_text())), folder / "out", str(folder / "sweep.yaml"))
