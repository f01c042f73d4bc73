"""The cache of a machine: one process builds an entry, all use it, and a damaged one is built again.

An entry is a folder. Its `checksums.json` lists the size and the CRC-32 of every file in it. A process that
opens an entry reads it whole once and compares; CRC-32 notices every flipped bit and every damaged stretch of
up to 32 bits, and is several times as fast as SHA-256.
"""

import json
import logging
import os
import shutil
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

from ndabench.errors import UserError

CHECKSUMS = "checksums.json"
MISSING = "missing"
BLOCK = 2**22
"""Bytes that are read at a time."""

Stamps = dict[str, tuple[int, int, int, int]]
"""For each file what changes if someone writes to it: size, two times and inode."""

_log = logging.getLogger(__name__)
_checked: dict[Path, Stamps] = {}
"""The entries that this process found intact."""


def cache_folder() -> Path:
    """`$NDABENCH_CACHE`, or `~/.cache/ndabench`."""
    return Path(os.environ.get("NDABENCH_CACHE") or "~/.cache/ndabench").expanduser().absolute()


def build_once(
    folder: Path,
    key: str,
    build: Callable[[Path], None],
    refers_to: Callable[[Path], Path | None] | None = None,
) -> Path:
    """The entry `folder/key`: the first process to ask builds it, the others wait for it.

    `build` writes files into the empty folder that it is given. `refers_to` gives the other entry, if any,
    that an entry is useless without. Logs a line where one of them is damaged. Raises `UserError` for a disk
    that is full or that may not be written.
    """
    entry = folder / key

    def problem() -> str:
        other = None if refers_to is None or problem_of(entry) else refers_to(entry)
        return problem_of(entry if other is None else other)

    if not problem():
        return entry
    with cache_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / f".{key}.lock"):
            if why := problem():
                if why != MISSING:
                    _log.warning("%s; building it again", why)
                with unfinished_entry(folder, key) as unfinished:
                    build(unfinished)
                    discard(entry)
                    finish_entry(unfinished, entry)
    return entry


@contextmanager
def cache_errors(folder: Path) -> Iterator[None]:
    """Turns the error of a full or write-protected disk into a `UserError`."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{folder}: the cache cannot be written ({error.strerror or error}); "
            "set NDABENCH_CACHE to a writable folder with free space"
        ) from error


@contextmanager
def unfinished_entry(folder: Path, key: str) -> Iterator[Path]:
    """An empty folder in which to build an entry; whatever is left in it at the end is deleted.

    It has one name for each key, so that the next process clears away what a killed one left behind. The
    caller holds the key's lock.
    """
    unfinished = folder / f".{key}"
    discard(unfinished)
    unfinished.mkdir(parents=True)
    try:
        yield unfinished
    finally:
        discard(unfinished)


def finish_entry(unfinished: Path, entry: Path) -> None:
    """Adds the checksums, and gives the folder its name; an intact entry that has the name already stays."""
    sums = {name: [stamp[0], _crc32(unfinished / name)] for name, stamp in _stamps(unfinished).items()}
    (unfinished / CHECKSUMS).write_text(json.dumps(sums, indent=1), encoding="utf-8")
    if not problem_of(entry):
        return
    discard(entry)
    try:
        unfinished.rename(entry)
    except OSError:
        if problem_of(entry):  # else another process has just built the same
            raise


def problem_of(entry: Path) -> str:
    """Empty if every file is as it was written, `MISSING` if there is no such entry, else what is damaged.

    Reads the files once in this process, and again if someone has written to them.
    """
    if not entry.exists():
        return MISSING
    damage = _damage(entry)
    return f"{entry}: damaged ({damage})" if damage else ""


def discard(entry: Path) -> None:
    """Deletes an entry, or what is left of one."""
    if entry.is_dir() and not entry.is_symlink():
        shutil.rmtree(entry, ignore_errors=True)
    else:
        entry.unlink(missing_ok=True)


def _damage(entry: Path) -> str:
    """What is wrong with the files of an entry; empty if nothing is."""
    try:
        listed = json.loads((entry / CHECKSUMS).read_text(encoding="utf-8"))
    except OSError:
        return f"it has no {CHECKSUMS}"
    except (ValueError, RecursionError):
        listed = None
    if not isinstance(listed, dict):
        return f"{CHECKSUMS} cannot be read"
    try:
        stamps = _stamps(entry)
        if _checked.get(entry) == stamps:
            return ""
        for name, expected in listed.items():
            if name not in stamps:
                return f"{name} is missing"
            if [stamps[name][0], _crc32(entry / name)] != expected:
                return f"{name} is not as it was written"
    except OSError as error:
        return f"{error.filename}: {error.strerror or error}"
    if missing := [name for name in stamps if name != CHECKSUMS and name not in listed]:
        return f"{CHECKSUMS} does not list {missing[0]}"
    _checked[entry] = stamps
    return ""


def _stamps(entry: Path) -> Stamps:
    found = {}
    for file in sorted(entry.rglob("*")):
        stat = file.stat()
        if file.is_file():
            stamp = stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino
            found[str(file.relative_to(entry))] = stamp
    return found


def _crc32(file: Path) -> int:
    value = 0
    with file.open("rb") as opened:
        while block := opened.read(BLOCK):
            value = zlib.crc32(block, value)
    return value
