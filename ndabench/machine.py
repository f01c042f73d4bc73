"""How many CPUs this process may use: often fewer than the machine has."""

import math
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUPS = Path("/proc/self/cgroup")


def usable_cpus() -> int:
    """The CPUs that this process can keep busy, at least 1.

    `taskset` and Slurm pin a process to some CPUs; Docker, Kubernetes and systemd limit its share of time.
    """
    pinned = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        own = OWN_CGROUPS.read_text("utf-8")
    except OSError:  # not Linux
        own = ""
    return max(1, int(min(pinned, cpu_quota(own, CGROUPS))))


def cpu_quota(own: str, mounted: Path) -> float:
    """The CPUs whose time the control groups of a process allow it; infinite without a limit.

    `own` is the text of /proc/self/cgroup, `mounted` the folder of all groups. A group obeys the limits of
    those above it, too. A container sees its own group where the whole tree would begin.
    """
    quotas = [math.inf]
    for line in own.splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:
            read, tree = _quota_2, mounted
        elif "cpu" in controllers.split(","):
            read, tree = _quota_1, mounted / "cpu"
        else:
            continue
        quotas += [read(tree / group) for group in _with_parents(path)]
    return min(quotas)


def _with_parents(path: str) -> Iterator[PurePosixPath]:
    group = PurePosixPath(path.removeprefix("/"))
    yield from (group, *group.parents)


def _quota_2(group: Path) -> float:
    """Of a group of version 2: `cpu.max` holds `max 100000` or `150000 100000`, in microseconds."""
    return _ratio(*(_words(group / "cpu.max") or ["max"]))


def _quota_1(group: Path) -> float:
    """Of a group of version 1; -1 stands for no limit."""
    return _ratio(*_words(group / "cpu.cfs_quota_us"), *_words(group / "cpu.cfs_period_us"))


def _words(file: Path) -> list[str]:
    try:
        return file.read_text("utf-8").split()
    except OSError:  # no such group, or one without this controller
        return []


def _ratio(*words: str) -> float:
    """Quota over period; infinite where there is no limit."""
    if len(words) != 2 or not all(word.isdigit() for word in words) or not int(words[1]):
        return math.inf
    return int(words[0]) / int(words[1])
