"""A trial's checkpoints: written whole, a few of them kept, the damaged ones passed over on resuming."""

import io
import logging
import zipfile
from pathlib import PurePosixPath
from typing import Any

import torch

from ndabench.distributed import Workers
from ndabench.records import RecordStore

KEPT = 2
"""The newest may be damaged after a crash of the storage; the one before it serves then."""

_log = logging.getLogger(__name__)


def save_checkpoint(store: RecordStore, trial_id: str, step: int, state: dict[str, Any]) -> None:
    """Writes the checkpoint atomically, then drops all but the newest few."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    store.write_bytes(f"checkpoints/{trial_id}/{step:09d}.pt", buffer.getvalue())
    for old in sorted(store.list(f"checkpoints/{trial_id}"))[:-KEPT]:
        store.delete(old)


def has_checkpoint(store: RecordStore, trial_id: str) -> bool:
    """Whether there is one, damaged or not."""
    return bool(store.list(f"checkpoints/{trial_id}"))


def load_checkpoint(store: RecordStore, trial_id: str, workers: Workers) -> tuple[dict[str, Any] | None, str]:
    """The newest whole checkpoint, or None, and one line about the damaged ones that are newer, if any.

    Called by all workers of a trial; `UserError` on all of them where they do not find the same.
    """
    state, found, damaged = None, "", []
    for path in sorted(store.list(f"checkpoints/{trial_id}"), reverse=True):
        try:
            state = _unpacked(store.read_bytes(path) or b"")
        except Exception as error:  # what a damaged file raises depends on where it is damaged
            why = " ".join(str(error).split())[:100]
            _log.warning("%s: damaged (%s); passed over", store.local_path(path), why)
            damaged.append(_step(path))
        else:
            found = path
            break
    workers.require_equal(found, "checkpoints", "--out must lie where every node sees it")
    if not damaged:
        return state, ""
    start = f"from that of step {_step(found)}" if found else "from the start"
    return state, f"the checkpoint of step {', '.join(damaged)} was damaged; went on {start}"


def _step(path: str) -> str:
    return str(int(PurePosixPath(path).stem))


def _unpacked(content: bytes) -> dict[str, Any]:
    """The state in a checkpoint; raises where any of its bytes is not as it was written.

    torch's own reader compares no checksums: a flipped bit would go on unseen, as a weight. All is read to
    the CPU, from where each part takes it to its place: Adam's counts of steps stay where they were read, and
    on a GPU every step would wait for them.
    """
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        torn = archive.testzip()
    if torn is not None:
        raise ValueError(f"the checksum of {torn} is wrong")
    return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
