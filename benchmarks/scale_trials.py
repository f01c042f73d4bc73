"""Thousands of trivial trials in one sweep: what each costs beyond its own work, and what it leaves behind.

    python benchmarks/scale_trials.py [--trials 2000] [--concurrent 2] [--profile FILE]

The trials are digit GANs of two steps. Bare is `run_trial` in this process, some twenty of them; the sweep is
everything after Ray has started. Overhead a trial is the sweep's wall time a trial less the bare one shared
among those that run at once. The driver's memory is read every few seconds, and its growth fitted over the
trials after the first quarter. With `--profile`, the driver's main thread is profiled into FILE (pstats).
"""

import argparse
import cProfile
import os
import platform
import shutil
import statistics
import tempfile
import threading
import time
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import ray
import torch
from ray._private.internal_api import node_stats
from rich.console import Console
from rich.table import Table

from ndabench.config import parse
from ndabench.distributed import Workers
from ndabench.orchestration.cluster import connect
from ndabench.orchestration.run import run_sweep
from ndabench.orchestration.status_file import StatusFile
from ndabench.planning.sweep_file import SweepConfig
from ndabench.records import RecordStore
from ndabench.reporting import write_report
from ndabench.trials.config import Provenance
from ndabench.trials.run import run_trial

BARE = 20
SECONDS_TO_LOOK = 3.0
MIB = 2**20


def sweep(trials: int, concurrent: int) -> SweepConfig:
    description: dict[str, Any] = {
        "name": "scale",
        "task": {
            "name": "gan",
            "width": 2,
            "latent_dim": 8,
            "batch_size": 8,
            "num_steps": 2,
            "num_discriminator_steps": 1,
        },
        "data": {"name": "digits"},
        "arms": ["none", "jigsaw"],
        "seeds": list(range(trials // 2)),
        "resources": {"cpus_per_worker": 1, "max_concurrent": concurrent},
    }
    return parse(SweepConfig, description, "benchmark")


@dataclass
class Watch:
    """Looks at this process and at the folders while the sweep runs."""

    store: RecordStore
    scratch: Path
    session: Path
    ended: list[int] = field(default_factory=list)
    resident: list[float] = field(default_factory=list)
    most: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Bytes and files of each folder when it held most."""
    processor: dict[int, float] = field(default_factory=dict)
    """CPU seconds of each process below Ray's raylet, the trials' among them."""
    others: list[float] = field(default_factory=list)
    """Resident MiB of all of these together."""
    shared: int = 0
    """Most bytes seen in Ray's object store."""

    def __post_init__(self) -> None:
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        looks = 0
        while not self._over.wait(SECONDS_TO_LOOK):
            rows = sum(1 for _ in os.scandir(f"{self.store.root}/trials")) if self.started else 0
            self.ended.append(rows)
            self.resident.append(resident_mib())
            others = below(ray_node().all_processes["raylet"][0].process.pid)
            self.processor |= others
            self.others.append(sum(map(resident_mib, others)))
            self.shared = max(self.shared, in_object_store())
            if looks % 10 == 0:
                self.measure_folders()
            looks += 1

    @property
    def started(self) -> bool:
        return Path(self.store.root, "trials").is_dir()

    def measure_folders(self) -> None:
        for name, folder in (("Tune's scratch", self.scratch), ("Ray's session", self.session)):
            self.most[name] = max(self.most.get(name, (0, 0)), size(folder))

    def growth_kib(self, resident: list[float]) -> float:
        """Of MiB seen while the trials went by, a trial."""
        ended = np.array(self.ended)
        later = ended >= max(self.ended, default=0) / 4
        if later.sum() < 3:
            return float("nan")
        return float(np.polyfit(ended[later], np.array(resident)[later], 1)[0]) * 1024


def size(folder: Path) -> tuple[int, int]:
    """Bytes on disk and number of files; what vanishes meanwhile is left out."""
    total = files = 0
    for root, _, names in os.walk(folder):
        for name in names:
            try:
                total += Path(root, name).lstat().st_blocks * 512
            except FileNotFoundError:
                continue
            files += 1
    return total, files


def bare_seconds(config: SweepConfig) -> tuple[float, float]:
    """Wall and CPU time of a trial without Ray, medians of a few; records and checkpoints included."""
    store, seconds, processor = RecordStore(tempfile.mkdtemp()), [], []
    for trial in config.grid_trials()[: BARE + 1]:
        start, start_processor = time.perf_counter(), time.process_time()
        list(run_trial(trial, store, Provenance(config.name), Workers()))
        seconds.append(time.perf_counter() - start)
        processor.append(time.process_time() - start_processor)
    return statistics.median(seconds[1:]), statistics.median(processor[1:])


def resident_mib(pid: int | str = "self") -> float:
    """0 for a process that is gone."""
    try:
        return int(Path(f"/proc/{pid}/status").read_text().split("VmRSS:")[1].split()[0]) / 1024
    except (FileNotFoundError, ProcessLookupError, IndexError):
        return 0.0


def ray_node() -> Any:
    """The node that `connect` started; to a type checker Ray's own name for it is None."""
    return ray._private.worker._global_node


def processes() -> dict[str, float]:
    """Resident MiB of Ray's own processes."""
    started = ray_node().all_processes
    return {name: resident_mib(started[name][0].process.pid) for name in ("gcs_server", "raylet")}


def in_object_store() -> int:
    """Bytes, on this machine's one node."""
    (node,) = ray.nodes()
    stats = node_stats(node["NodeManagerAddress"], node["NodeManagerPort"])
    return int(stats.store_stats.object_store_bytes_used)


def below(ancestor: int) -> dict[int, float]:
    """CPU seconds of a process and of all that it has begun."""
    parents, seconds = {}, {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(") ")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        pid = int(stat.parent.name)
        parents[pid] = int(fields[1])
        seconds[pid] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    found = {ancestor}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return {pid: seconds[pid] for pid in found if pid in seconds}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=2000)
    parser.add_argument("--concurrent", type=int, default=2)
    parser.add_argument("--profile")
    options = parser.parse_args()
    torch.set_num_threads(1)
    console, config = Console(width=110), sweep(options.trials, options.concurrent)
    bare, bare_processor = bare_seconds(config)
    folder = tempfile.mkdtemp(prefix="ndabench-scale-")
    store = RecordStore(f"{folder}/records")
    tempfile.tempdir = scratch = f"{folder}/scratch"
    Path(scratch).mkdir()
    profiler = cProfile.Profile()
    load = os.getloadavg()[0]
    with connect(None):
        before, processor = processes(), time.process_time()
        session = Path(ray_node().get_session_dir_path())
        start = time.perf_counter()
        with StatusFile(store, config.name) as status, Watch(store, Path(scratch), session) as watch:
            if options.profile:
                profiler.enable()
            quiet = Console(quiet=True)
            result = run_sweep(
                config, store, status, None, resume=False, local=True, check=False, console=quiet
            )
            profiler.disable()
        seconds, processor = time.perf_counter() - start, time.process_time() - processor
        watch.measure_folders()
        after = processes()
    assert result.statuses == {"finished": options.trials}, result
    if options.profile:
        profiler.dump_stats(options.profile)
    reporting = time.perf_counter()
    html = Path(write_report(store)).stat().st_size
    reporting = time.perf_counter() - reporting

    table = Table(title=f"{options.trials:,} trials, {options.concurrent} at a time")
    for column in ("", "figure", "aim"):
        table.add_column(column, justify="right" if column else "left")
    overhead = seconds / options.trials - bare / options.concurrent
    table.add_row("a bare trial", f"{bare:.2f} s")
    table.add_row("the sweep", f"{seconds:.0f} s")
    table.add_row("overhead a trial, amortised", f"{overhead:.2f} s", "≤ 0.5 s")
    table.add_row("CPU time of the driver, a trial", f"{1000 * processor / options.trials:.0f} ms")
    others = sum(watch.processor.values()) / options.trials
    table.add_row(
        "CPU time of all other processes, a trial (bare)", f"{others:.2f} s ({bare_processor:.2f} s)"
    )
    growth = watch.growth_kib(watch.resident)
    table.add_row("growth of the driver, a trial", f"{growth:.0f} KiB", "≤ 50 KiB")
    table.add_row("the driver at its end", f"{max(watch.resident, default=0):.0f} MiB")
    growth = watch.growth_kib(watch.others)
    table.add_row("growth of Ray's and the trials' processes, a trial", f"{growth:.0f} KiB")
    table.add_row("most in Ray's object store", f"{watch.shared / 1024:.0f} KiB")
    for name, memory in after.items():
        table.add_row(f"{name}, beginning and end", f"{before.get(name, 0):.0f} and {memory:.0f} MiB")
    folders = {**watch.most, "records": size(Path(store.root))}
    folders |= {
        f"records: {part}": size(Path(store.root, part))
        for part in ("trials", "metrics", "artifacts", "files", "checkpoints", "tensorboard")
    }
    for name, (total, files) in folders.items():
        each = total / 1024 / options.trials
        table.add_row(name, f"{total / MIB:.1f} MiB in {files:,} files, {each:.1f} KiB a trial")
    table.add_row("the report", f"{reporting:.1f} s, {html / MIB:.1f} MiB", "fine")
    console.print(table)
    shutil.rmtree(folder)
    versions = f"Python {platform.python_version()}, torch {torch.__version__}, ray {ray.__version__}"
    console.print(f"{date.today()}, {os.cpu_count()} cores, load {load:.1f} before, {versions}")


if __name__ == "__main__":
    main()
