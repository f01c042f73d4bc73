"""Telling beforehand that clips will not fit into memory, and what would."""

import shutil
from math import prod
from pathlib import Path

from ndabench.errors import UserError

SHARED_MEMORY = Path("/dev/shm")
"""Where decoding processes leave finished clips for the trainer."""
GIB = 2**30


def require_room(shape: tuple[int, int, int, int, int], at_a_time: int, *, shared: bool) -> None:
    """`UserError` if `at_a_time` batches of uint8 clips `shape` [B, C, T, H, W] exceed the free memory.

    With `shared`, clips pass through shared memory, which containers often keep small.
    """
    free, what = free_memory(shared)
    if free is None or prod(shape) * at_a_time <= free:
        return
    batch, _, frames, height, width = shape
    per_frame = prod(shape) // frames * at_a_time
    if free >= per_frame:
        fitting = f"{free // per_frame} frames a clip would fit"
    else:
        fitting = f"{free * batch // (per_frame * frames)} clips a batch would fit"
    raise UserError(
        f"{at_a_time} batches at a time of {batch} clips of {frames} frames of {height}×{width} take "
        f"{prod(shape) * at_a_time / GIB:.2f} GiB, but {free / GIB:.2f} GiB of {what} are free; {fitting}"
    )


def free_memory(shared: bool) -> tuple[int | None, str]:
    """Bytes that are free, None where the system does not tell, and of what."""
    known = [(size, "memory") for size in (_available(), _left_in_group()) if size is not None]
    if shared and SHARED_MEMORY.is_dir():
        known.append((shutil.disk_usage(SHARED_MEMORY).free, f"shared memory ({SHARED_MEMORY})"))
    return min(known) if known else (None, "memory")


def _available() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    found = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return int(found[0]) * 1024 if found else None


def _left_in_group() -> int | None:
    """What the container's limit leaves (control groups, version 2)."""
    group = Path("/sys/fs/cgroup")
    try:
        limit, used = ((group / name).read_text().strip() for name in ("memory.max", "memory.current"))
        stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
    except OSError:
        return None
    if limit == "max":
        return None
    given_back_when_needed = int(stat.get("file", 0)) - int(stat.get("shmem", 0))
    return max(int(limit) - int(used) + given_back_when_needed, 0)
