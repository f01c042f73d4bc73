"""Temporary folders that go away even if the process that made them is killed.

A folder belongs to the process that holds the lock on the file `.ndabench-owner` in it. The system frees the
lock however the process ends, and the next process that makes such a folder deletes those without an owner.
"""

import contextlib
import fcntl
import os
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ndabench.errors import UserError

PREFIX = "ndabench-"
OWNER = ".ndabench-owner"
LONGEST_SOCKET_PATH = 107 if sys.platform == "linux" else 103
"""Bytes in the path of a Unix socket."""
SECONDS_TO_DELETE = 5.0
"""Processes that are just ending may still write into a folder while it is deleted."""


@contextmanager
def scratch_folder(parent: Path | None = None) -> Iterator[Path]:
    """A new folder in `parent`, by default the system's for temporary files, that only this user may enter.

    It is deleted after the block. Raises `UserError` where none can be made.
    """
    parent = parent or Path(tempfile.gettempdir())
    try:
        delete_orphans(parent)
        parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
        lock = _own(folder)
    except OSError as error:
        raise UserError(
            f"{parent}: no temporary folder can be made there ({error.strerror or error}); "
            "set TMPDIR to a writable folder with free space"
        ) from error
    try:
        yield folder
    finally:
        with contextlib.suppress(OSError):
            _delete(folder, SECONDS_TO_DELETE)
        os.close(lock)


def delete_orphans(parent: Path) -> None:
    """Deletes this user's scratch folders in `parent` whose processes are gone."""
    for folder in parent.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):  # it has just been deleted, or is somebody else's
            status = folder.lstat()
            if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
                continue
            lock = os.open(folder / OWNER, os.O_RDWR | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _delete(folder, seconds=0)
            finally:
                os.close(lock)


def require_short_path(folder: Path, socket: str, variable: str, remedy: str) -> None:
    """`UserError` where a Unix socket at `folder`/`socket` would have too long a path.

    The error names the environment variable that the folder comes from, and the remedy.
    """
    length, room = len(os.fsencode(folder)), LONGEST_SOCKET_PATH - len(f"/{socket}")
    if length > room:
        raise UserError(
            f"{variable}: the path {folder} is too long for Unix sockets ({length} bytes, at most {room}); "
            f"{remedy}"
        )


def _own(folder: Path) -> int:
    """Marks the folder as this process's; the descriptor holds the lock until it is closed.

    The mark appears with its lock, or another process could take the folder for an orphan in between.
    """
    new = folder / f"{OWNER}-new"
    lock = os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    new.rename(folder / OWNER)
    return lock


def _delete(folder: Path, seconds: float) -> None:
    """Tries for some seconds. The mark goes last: what cannot be deleted now is found again."""
    deadline = time.monotonic() + seconds
    while True:
        for entry in folder.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry, ignore_errors=True)
            elif entry.name != OWNER:
                entry.unlink(missing_ok=True)
        if [entry.name for entry in folder.iterdir()] == [OWNER]:
            (folder / OWNER).unlink()
            try:
                folder.rmdir()
                return
            except OSError:  # something has just been written
                (folder / OWNER).touch(0o600)
        if time.monotonic() > deadline:
            return
        time.sleep(0.1)
