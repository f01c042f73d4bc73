"""A machine with little memory, as far as the processes inside can tell; needs root and Linux's cgroups."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.end_to_end.driving import wait_until

CGROUPS = Path("/sys/fs/cgroup")
ENTER = 'echo $$ >"$1/cgroup.procs" && mount --bind "$1" "$2" && shift 2 && exec "$@"'
"""Joins a group, and puts it where the limits of the machine are looked for."""


@contextmanager
def limited_memory(size: int) -> Iterator[list[str] | None]:
    """In front of a command, lets it and all that it starts have so many bytes; None where that cannot be."""
    second_version = (CGROUPS / "cgroup.controllers").exists()
    root = CGROUPS if second_version else CGROUPS / "memory"
    group = root / f"ndabench-test-{os.getpid()}"
    limit = group / ("memory.max" if second_version else "memory.limit_in_bytes")
    enter = ["unshare", "--mount", "sh", "-c", ENTER, "enter", str(group), str(root)]
    try:
        group.mkdir()
        limit.write_text(str(size))
        possible = (
            shutil.which("unshare") and subprocess.run([*enter, "true"], capture_output=True).returncode == 0
        )
    except OSError:
        possible = False
    try:
        yield enter if possible else None
    finally:
        with contextlib.suppress(FileNotFoundError):
            wait_until(lambda: not (group / "cgroup.procs").read_text(), "the group is empty")
            group.rmdir()
