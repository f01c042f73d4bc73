"""Things computed once and kept as files, however many processes ask for them at the same time."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock

from ndabench.errors import UserError


def compute_once(path: Path, compute: Callable[[], dict[str, Any]]) -> None:
    """Sees to it that `path` holds what `compute` gives: tensors, numbers, strings and dicts of them.

    `path` must name everything that the result depends on. The first caller computes, the others wait.
    Raises `UserError` where the folder cannot be written.
    """
    if path.exists():
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_suffix(".lock")):
            if not path.exists():
                unfinished = path.with_suffix(".unfinished")  # one name, because the lock is held
                torch.save(compute(), unfinished)
                unfinished.replace(path)
    except OSError as error:
        raise UserError(
            f"{path.parent}: the cache cannot be written ({error.strerror or error}); "
            "point NDABENCH_CACHE at a folder with room"
        ) from error


def read(path: Path) -> dict[str, Any]:
    """What `compute_once` stored, on the CPU; `UserError` where the file is damaged."""
    try:
        kept: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # what unpickling strange bytes may raise is not to be listed
        raise UserError(f"{path}: this cached file is damaged; delete it") from None
    return kept
