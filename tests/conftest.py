"""What tests everywhere may ask for."""

import logging
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.command_lines import CommandLine
from tests.object_stores import ObjectStore


def pytest_configure() -> None:
    """Tests interrupt this process and those that it starts, which ignore that in a shell's background."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest first in each of pytest-xdist's processes, which begin with equal parts of this list.

    At the end a process without work takes from another, and short tests are left.
    """

    def seconds(item: pytest.Item) -> float:
        marker = item.get_closest_marker("timeout")
        return float(marker.args[0]) if marker is not None else item.get_closest_marker("slow") is not None

    items.sort(key=seconds, reverse=True)
    processes = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    items[:] = [item for number in range(processes) for item in items[number::processes]]


@pytest.fixture(autouse=True)
def level_of_the_log() -> None:
    """A command changes the level for the rest of its process, and tests may run one in theirs."""
    logging.getLogger("ndabench").setLevel(logging.NOTSET)


@pytest.fixture
def command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> CommandLine:
    return CommandLine(tmp_path, monkeypatch, capsys)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """Makes a file system of so many kB: room for the first few files of a sweep."""
    folder = tmp_path / "disk"

    def make(size: int) -> Path:
        folder.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", f"size={size}k", "tmpfs", str(folder)]
        if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
            pytest.skip(f"a file system of {size} kB cannot be mounted here")
        return folder

    yield make
    if folder.is_mount():
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture(scope="session")
def quickstart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny sweep that was trained here; do not write into it."""
    from tests.recorded_sweep import MEASURED, record  # late: most tests need no training

    with pytest.MonkeyPatch.context() as patch:
        if "NDABENCH_CACHE" not in os.environ:
            patch.setenv("NDABENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        return Path(record(tmp_path_factory.mktemp("trained") / "reports/quickstart", MEASURED).root)


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    with ObjectStore(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture
def object_store(s3_server: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectStore]:
    """A running S3 server, to which this process and those that it starts find their way."""
    for key, value in s3_server.environment.items():
        monkeypatch.setenv(key, value)
    yield s3_server
    s3_server.start()
