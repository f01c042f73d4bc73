"""A trial's checkpoints: written whole, the newest two kept, damaged ones skipped on resuming.

PyTorch is imported where a checkpoint is written or read: the driver only asks whether there is one.
"""

import io
import logging
import zipfile
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from ndabench.records import RecordStore

if TYPE_CHECKING:
    from ndabench.distributed import Workers

KEPT = 2
"""The newest may be damaged after a crash of the storage; a resume then takes the one before it."""

_log = logging.getLogger(__name__)


def save_checkpoint(store: RecordStore, trial_id: str, step: int, state: dict[str, Any]) -> None:
    """Writes the checkpoint atomically, then drops all but the newest few."""
    import torch  # late: the driver also imports this module, and never torch

    buffer = io.BytesIO()
    torch.save(state, buffer)
    store.write_bytes(f"checkpoints/{trial_id}/{step:09d}.pt", buffer.getvalue())
    for old in sorted(store.list(f"checkpoints/{trial_id}"))[:-KEPT]:
        store.delete(old)


def has_checkpoint(store: RecordStore, trial_id: str) -> bool:
    """Whether the trial has a checkpoint, damaged or not."""
    return bool(store.list(f"checkpoints/{trial_id}"))


def drop_checkpoints(store: RecordStore, trial_id: str) -> None:
    """Lets the trial start from scratch."""
    store.delete(f"checkpoints/{trial_id}")


def load_checkpoint(
    store: RecordStore, trial_id: str, workers: "Workers"
) -> tuple[dict[str, Any] | None, str]:
    """The newest whole checkpoint, or None, and one line about newer ones that are damaged, if any.

    All workers of a trial call it. Raises `UserError` on all of them where they find different checkpoints.
    """
    state, found, damaged = None, "", []
    for path in sorted(store.list(f"checkpoints/{trial_id}"), reverse=True):
        try:
            state = _unpacked(store.read_bytes(path) or b"")
        except Exception as error:  # what a damaged file raises depends on where it is damaged
            why = " ".join(str(error).split())[:100]
            _log.warning("%s: damaged (%s); skipped", store.local_path(path), why)
            damaged.append(_step(path))
        else:
            found = path
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

    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        torn = archive.testzip()
    if torn is not None:
        raise ValueError(f"the checksum of {torn} is wrong")
    return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
