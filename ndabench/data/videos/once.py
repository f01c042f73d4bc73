"""Work on videos that the first process on a machine does, into the cache, and that others wait for."""

from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

from ndabench.data.store import cache_folder
from ndabench.errors import UserError


def made_once(kind: str, key: str, make: Callable[[Path], None]) -> Path:
    """The file or folder `videos/kind/key` of the cache; `make` makes it at the unfinished path it is given.

    It appears whole or not at all, so that what a killed process leaves behind is never taken for finished.
    `make` clears away what lies at its path. `UserError` for a disk that is full or forbidden.
    """
    folder = cache_folder() / "videos" / kind
    finished, unfinished = folder / key, folder / f".{key}"
    if finished.exists():
        return finished
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / f".{key}.lock"):
            if not finished.exists():
                make(unfinished)
                unfinished.rename(finished)
    except OSError as error:
        raise UserError(
            f"{folder}: the cache cannot be written ({error.strerror or error}); "
            "point NDABENCH_CACHE at a folder with room"
        ) from error
    return finished
