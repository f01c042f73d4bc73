"""A trial's checkpoints: written whole, the newest two kept, damaged ones skipped on resuming.

PyTorch is imported where a checkpoint is written or read: the driver only asks whether there is one.
"""

import io
import logging
import re
import zipfile
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from ndabench.errors import UserError
from ndabench.records import RecordStore
from ndabench.records.damage import PLACEHOLDER, DamagedError, require_intact, sealed, warn_once

if TYPE_CHECKING:
    from ndabench.distributed import Workers

NAME = re.compile(r"\d{9,}\.pt")
SPENT_KEYS = {"seconds", "num_images"}
TASK_KEYS = {"made_by", "step", "streams"}
KEPT = 2
"""The newest may be damaged after a crash of the storage; a resume then takes the one before it."""

_log = logging.getLogger(__name__)


def save_checkpoint(store: RecordStore, trial_id: str, step: int, state: dict[str, Any]) -> None:
    """Writes the checkpoint atomically, then drops all but the newest few."""
    import torch  # late: the driver also imports this module, and never torch

    buffer = io.BytesIO()
    torch.save(state, buffer)
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.comment = PLACEHOLDER.encode()
    store.write_bytes(f"checkpoints/{trial_id}/{step:09d}.pt", sealed(buffer.getvalue()))
    for old in checkpoint_paths(store, trial_id)[:-KEPT]:
        store.delete(old)


def checkpoint_paths(store: RecordStore, trial_id: str) -> list[str]:
    """The trial's checkpoints, oldest first; other files get a line in the log."""
    found = []
    for path in store.list(f"checkpoints/{trial_id}"):
        if NAME.fullmatch(path.removeprefix(f"checkpoints/{trial_id}/")):
            found.append(path)
        else:
            warn_once(f"{store.local_path(path)}: not a checkpoint")
    return sorted(found)


def has_checkpoint(store: RecordStore, trial_id: str) -> bool:
    """Whether the trial has a checkpoint, damaged or not."""
    return bool(checkpoint_paths(store, trial_id))


def drop_checkpoints(store: RecordStore, trial_id: str) -> None:
    """Lets the trial start from scratch."""
    store.delete(f"checkpoints/{trial_id}")


def load_checkpoint(
    store: RecordStore, trial_id: str, workers: "Workers", restore: Callable[[dict[str, Any]], None]
) -> tuple[dict[str, Any] | None, str]:
    """The newest whole checkpoint, or None, and one line about newer ones that are damaged, if any.

    `restore` is given its state and takes it over; a state that it cannot take over counts as damaged. It may
    then have taken over a part. All workers of a trial call this. Raises `UserError` on all of them where
    they find different checkpoints, and what `restore` raises as `UserError`.
    """
    import torch  # late: the driver asks for checkpoints, too, and never imports torch

    state, found, damaged = None, "", []
    for path in reversed(checkpoint_paths(store, trial_id)):
        content = store.read_bytes(path) or b""  # a failure of the storage is no damage
        try:
            read = _unpacked(content)
            restore(read)
        except (UserError, MemoryError, torch.OutOfMemoryError):
            raise
        except Exception as error:  # what a damaged file raises depends on where it is damaged
            why = " ".join(str(error).split())[:100]
            _log.warning("%s: damaged (%s); skipped", store.local_path(path), why)
            damaged.append(_step(path))
        else:
            found, state = path, read
            break
    workers.require_equal(found, "checkpoints", "--out must lie where every node sees it")
    if not damaged:
        return state, ""
    start = f"from that of step {_step(found)}" if found else "from the beginning"
    return state, f"the checkpoint of step {', '.join(damaged)} was damaged; resumed {start}"


def _step(path: str) -> str:
    return str(int(PurePosixPath(path).stem))


def _unpacked(content: bytes) -> dict[str, Any]:
    """The state in a checkpoint; raises where any byte differs from what was written.

    torch's reader compares no checksums: a flipped bit would become a wrong weight unnoticed. Everything is
    read to the CPU, and each part moves it to its device. Adam's step counts stay on the CPU: on a GPU, every
    step would wait for them.
    """
    import torch  # late: the driver also imports this module, and never torch

    if not require_intact(content):  # of an older version
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            torn = archive.testzip()
        if torn is not None:
            raise DamagedError(f"the checksum of {torn} is wrong")
    state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    task = state.get("task") if isinstance(state, dict) else None
    if not isinstance(task, dict) or not task.keys() >= TASK_KEYS or not state.keys() >= SPENT_KEYS:
        raise DamagedError("it is no state of a trial")
    return state
