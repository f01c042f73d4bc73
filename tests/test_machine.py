"""How many CPUs a process may use: pinned by `taskset` or Slurm, limited by the quota of its group."""

import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ndabench.machine import cpu_quota, usable_cpus

V1 = "8:pids:/\n4:cpu,cpuacct:{}\n1:name=systemd:/\n0::/"
V2 = "0::{}\n"


@pytest.mark.parametrize(
    ("own", "files", "expected"),
    [
        (V2.format("/"), {"cpu.max": "max 100000\n"}, math.inf),
        (V2.format("/"), {"cpu.max": "150000 100000\n"}, 1.5),
        (V2.format("/"), {}, math.inf),  # the root of a machine has no such file
        (V2.format("/a/b"), {"a/cpu.max": "200000 100000", "a/b/cpu.max": "max 100000"}, 2),
        (V2.format("/a/b"), {"a/cpu.max": "200000 100000", "a/b/cpu.max": "50000 100000"}, 0.5),
        (V2.format("/docker/1f"), {"cpu.max": "300000 100000"}, 3),  # seen from inside the container
        (V1.format("/"), {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, math.inf),
        (V1.format("/"), {"cpu/cpu.cfs_quota_us": "250000", "cpu/cpu.cfs_period_us": "100000"}, 2.5),
        (
            V1.format("/docker/1f"),
            {"cpu/docker/1f/cpu.cfs_quota_us": "100000", "cpu/docker/1f/cpu.cfs_period_us": "50000"},
            2,
        ),
        (V2.format("/"), {"cpu.max": "garbage"}, math.inf),
        ("", {"cpu.max": "100000 100000"}, math.inf),  # no Linux
    ],
)
def test_quota_of_control_groups(tmp_path: Path, own: str, files: dict[str, str], expected: float) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert cpu_quota(own, tmp_path) == expected


def test_a_pinned_process_uses_no_more(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    code = "import os; os.sched_setaffinity(0, [min(os.sched_getaffinity(0))]); "
    code += "from ndabench.machine import usable_cpus; print(usable_cpus())"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "1\n"
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    for quota, expected in (("max", 8), ("350000", 3), ("20000", 1), ("1600000", 8)):
        (tmp_path / "cpu.max").write_text(f"{quota} 100000\n")
        (tmp_path / "own").write_text(V2.format("/"))
        monkeypatch.setattr("ndabench.machine.CGROUPS", tmp_path)
        monkeypatch.setattr("ndabench.machine.OWN_CGROUPS", tmp_path / "own")
        assert usable_cpus() == expected
