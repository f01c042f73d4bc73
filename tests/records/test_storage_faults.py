"""Storage that really fails: waited for if it may return, else one clear line; nothing recorded is lost."""

import logging
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ndabench.errors import UserError
from ndabench.records import RecordStore, retry
from tests.object_stores import ObjectStore


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "SECONDS", 2.0)
    monkeypatch.setattr(retry, "FIRST_PAUSE", 0.1)


def after(seconds: float, action: Callable[[], object]) -> threading.Timer:
    timer = threading.Timer(seconds, action)
    timer.start()
    return timer


def mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True)


@pytest.fixture
def unmounted_afterwards() -> Iterator[list[Path]]:
    folders: list[Path] = []
    yield folders
    for folder in folders:
        if folder.is_mount():
            subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_disk_that_is_read_only_for_a_while(
    disk: Callable[[int], Path], caplog: pytest.LogCaptureFixture
) -> None:
    folder = disk(64)
    store = RecordStore(str(folder))
    store.write_bytes("notes/a", b"before")
    mount("-o", "remount,ro", str(folder))
    timer = after(0.5, lambda: mount("-o", "remount,rw", str(folder)))
    store.write_bytes("notes/a", b"after")
    timer.join()
    assert store.read_bytes("notes/a") == b"after"
    first, *_, last = caplog.messages
    assert first.startswith(
        f"{folder}/notes/a: cannot be written (read-only file system); trying again in 0."
    )
    assert first.endswith(" s, for 2 s")
    assert last.startswith("the storage is back after ")


@pytest.mark.slow
def test_a_disk_that_stays_read_only(disk: Callable[[int], Path], caplog: pytest.LogCaptureFixture) -> None:
    folder = disk(64)
    store = RecordStore(str(folder))
    store.write_bytes("notes/a", b"before")
    mount("-o", "remount,ro", str(folder))
    line = r"notes/a: cannot be written \(read-only file system\)"
    with pytest.raises(UserError, match=line):
        store.write_bytes("notes/a", b"after")
    said = len(caplog.messages)
    assert 4 <= said <= 7, "pauses grow"
    started = time.monotonic()
    with pytest.raises(UserError, match=line):
        store.write_bytes("notes/a", b"after")
    assert time.monotonic() - started < 0.1, "storage is waited for once, not for every file"
    with pytest.raises(UserError, match=r"notes/b: cannot be written"):
        RecordStore(str(folder)).without_retry().write_bytes("notes/b", b"")
    assert len(caplog.messages) == said
    assert store.read_bytes("notes/a") == b"before"
    mount("-o", "remount,rw", str(folder))
    store.write_bytes("notes/a", b"after")


@pytest.mark.parametrize("inside", ["", "reports/out"])
def test_a_disk_that_is_gone_for_a_while(
    disk: Callable[[int], Path], tmp_path: Path, unmounted_afterwards: list[Path], inside: str
) -> None:
    """Nothing may be written to the place below where it was mounted, and nothing there read as absent."""
    origin, here = disk(64), tmp_path / "here"
    here.mkdir()
    mount("--bind", str(origin), str(here))
    unmounted_afterwards.append(here)
    store = RecordStore(str(here / inside))
    store.write_bytes("notes/a", b"before")
    assert store.read_bytes("notes/a") == b"before"
    subprocess.run(["umount", str(here)], check=True)
    with pytest.raises(UserError, match=r"notes/a: cannot be read \(the folder is gone\)"):
        store.without_retry().read_bytes("notes/a")
    timer = after(0.5, lambda: mount("--bind", str(origin), str(here)))
    store.write_bytes("notes/b", b"after")
    timer.join()
    assert store.list("notes") == ["notes/a", "notes/b"]
    subprocess.run(["umount", str(here)], check=True)
    assert not list(here.iterdir())


def test_a_full_disk_is_an_error_at_once_and_keeps_what_it_has(
    disk: Callable[[int], Path], caplog: pytest.LogCaptureFixture
) -> None:
    store = RecordStore(str(disk(64)))
    store.write_bytes("notes/a", b"before")
    with pytest.raises(UserError, match=r"notes/a: cannot be written \(the disk is full\)"):
        store.write_bytes("notes/a", os.urandom(100_000))
    assert not caplog.messages
    assert store.read_bytes("notes/a") == b"before"
    assert [path.name for path in Path(store.root, "notes").iterdir()] == ["a"], "no debris takes up room"
    store.write_bytes("notes/a", b"after")


def test_a_folder_that_is_missing_from_the_start_is_made(tmp_path: Path) -> None:
    store = RecordStore(str(tmp_path / "a" / "b"))
    assert store.read_bytes("c") is None
    store.write_bytes("c", b"c")
    shutil.rmtree(tmp_path / "a")
    with pytest.raises(UserError, match="the folder is gone"):
        store.without_retry().write_bytes("c", b"c")


@pytest.mark.slow
def test_an_object_store_that_is_away_for_a_while(
    object_store: ObjectStore, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "SECONDS", 20.0)
    store = RecordStore(object_store.folder())
    store.write_bytes("notes/a", b"before")
    object_store.stop()
    timer = after(8, object_store.start)  # the client itself tries for some six seconds
    store.write_bytes("notes/a", b"after")
    timer.join()
    assert store.read_bytes("notes/a") == b"after"
    first, *_, last = caplog.messages
    assert first.startswith(f"{store.root}/notes/a: cannot be written (NETWORK_CONNECTION: ")
    assert first.endswith(" s, for 14 s")
    assert last.startswith("the storage is back after ")
    object_store.stop()
    with pytest.raises(UserError, match=r"notes/a: cannot be read \(NETWORK_CONNECTION: ") as caught:
        store.without_retry().read_bytes("notes/a")
    assert "\n" not in str(caught.value)


def test_a_bucket_that_does_not_exist_is_an_error_at_once(
    object_store: ObjectStore, caplog: pytest.LogCaptureFixture
) -> None:
    store = RecordStore("s3://no-such-bucket/out")
    assert store.read_bytes("notes/a") is None
    line = (
        r"s3://no-such-bucket/out/notes/a: cannot be written \(NO_SUCH_BUCKET: The specified bucket does not"
    )
    with pytest.raises(UserError, match=line):
        store.write_bytes("notes/a", b"")
    assert not caplog.messages


def test_a_uri_keeps_its_options_to_itself(object_store: ObjectStore) -> None:
    folder = object_store.folder()
    store = RecordStore(f"{folder}?region=us-east-1")
    store.write_bytes("notes/a", b"a")
    assert RecordStore(folder).read_bytes("notes/a") == b"a"
    assert store.local_path("notes/a") == f"{folder}/notes/a"


def test_a_secret_in_a_uri_is_refused_unseen() -> None:
    with pytest.raises(UserError, match="AWS_SECRET_ACCESS_KEY in the environment") as caught:
        RecordStore("s3://key:hunter2@bucket/out")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "passing"),
    [
        ("AWS Error SLOW_DOWN during PutObject operation: Please reduce your request rate", True),
        ("AWS Error UNKNOWN (HTTP status 503) during PutObject operation: No response body.", True),
        ("google::cloud::Status(UNAVAILABLE: Retry policy exhausted)", True),
        ("AWS Error ACCESS_DENIED during PutObject operation: Access Denied", False),
        ("AWS Error UNKNOWN (HTTP status 301) during HeadObject operation: No response body.", False),
        ("Couldn't deserialize thrift: TProtocolException: Invalid data", False),
    ],
)
def test_what_passes_is_told_from_what_does_not(text: str, passing: bool) -> None:
    assert retry.may_pass(OSError(text)) is passing
    assert logging.getLogger(retry.__name__).name.startswith("ndabench")
