"""Finds out whether Ray can start worker processes on this machine, before a trial waits for one for ever.

A worker that dies while it starts, for lack of memory or because of what the environment loads into every
process, is no error for Ray: it tries again and says nothing.
"""

import shutil
import tempfile
from pathlib import Path

import ray
from ray.exceptions import GetTimeoutError

from ndabench.errors import UserError

SECONDS_TO_START = 180.0
"""Ray itself gives up a worker after 60 s, and a busy machine takes long to import Ray."""
LONGEST_REASON = 200


class FirstWorker:
    """A worker process that answers and does nothing; it starts while the driver does other things."""

    def __init__(self) -> None:
        self._answer = ray.remote(_answer).options(num_cpus=0).remote()

    def require(self, seconds: float = SECONDS_TO_START) -> None:
        """Waits for its answer; `UserError`, with the reason and where Ray's log is, if none comes."""
        try:
            ray.get(self._answer, timeout=seconds)
        except GetTimeoutError:
            logs = _logs()
            raise UserError(
                f"Ray's worker processes do not start within {seconds:g} s{reason_in(logs)}; Ray's log is in "
                f"{kept(logs)}"
            ) from None


def _answer() -> bool:
    return True


def _logs() -> Path:
    """Ray's folder of logs on this machine; it goes away with Ray."""
    own = ray.get_runtime_context().get_node_id()
    node = next(node for node in ray.nodes() if node["NodeID"] == own)
    return Path(node["ObjectStoreSocketName"]).parent.parent / "logs"


def reason_in(logs: Path) -> str:
    """` (MemoryError: …)`: the last line that a worker printed before it died; empty where none did."""
    lines = [
        line.strip()
        for file in (logs / "raylet.err", *sorted(logs.glob("worker-*.err")))
        if file.is_file()
        for line in file.read_text("utf-8", errors="replace").splitlines()
        if line.strip() and "(raylet)" not in line
    ]
    return f" ({lines[-1][:LONGEST_REASON]})" if lines else ""


def kept(logs: Path) -> Path:
    """A copy of the logs that stays."""
    folder = Path(tempfile.mkdtemp(prefix="ray-logs-"))
    shutil.copytree(logs, folder, dirs_exist_ok=True, ignore_dangling_symlinks=True)
    return folder
