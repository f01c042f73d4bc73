"""The cache folder of a machine, and how several processes build a file or folder in it exactly once."""

import os
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

from ndabench.errors import UserError


def cache_folder() -> Path:
    """`$NDABENCH_CACHE`, or `~/.cache/ndabench`."""
    return Path(os.environ.get("NDABENCH_CACHE") or "~/.cache/ndabench").expanduser().absolute()


def build_once(folder: Path, key: str, build: Callable[[Path], None]) -> Path:
    """The file or folder `folder/key`: the first process to ask builds it, the others wait for it.

    `build` is given an unfinished path and clears away what lies there: it writes a result that appears whole
    or not at all, so that the remains of a killed process are never taken for a finished result. Raises
    `UserError` for a disk that is full or that may not be written.
    """
    finished, unfinished = folder / key, folder / f".{key}"
    if finished.exists():
        return finished
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / f".{key}.lock"):
            if not finished.exists():
                build(unfinished)
                unfinished.rename(finished)
    except OSError as error:
        raise UserError(
            f"{folder}: the cache cannot be written ({error.strerror or error}); "
            "set NDABENCH_CACHE to a writable folder with free space"
        ) from error
    return finished
