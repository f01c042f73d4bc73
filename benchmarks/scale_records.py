"""A million metric rows: reading them, the plan of a search rebuilt from them, and the report.

    python benchmarks/scale_records.py [--trials-per-arm 480] [--seeds 20] [--steps 50] [--keep DIR]

Made-up records of a TPE search with its repeats: four arms, at every step ten metrics (five of them
evaluations), pictures without content. Every figure is measured in a separate process, imports included.
"""

import argparse
import json
import os
import platform
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date, datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from rich.console import Console
from rich.table import Table

from ndabench.measurement import Measurement
from ndabench.records import SCHEMA_VERSION, RecordStore, TrialRow
from ndabench.records.store import TABLES

if TYPE_CHECKING:  # they bring torch, which a report does without
    from ndabench.planning.sweep_file import SweepConfig
    from ndabench.trials.config import TrialConfig

AIM = "≤ 15 s, ≤ 1 GiB"
ARMS = ["none", "jigsaw", "cutout", "mixup"]
CURVES = ["loss_discriminator", "loss_generator", "real_score", "fake_score", "negative_score"]
MEASURES = ["fd_classifier", "kid_classifier", "inception_score_classifier", "precision", "recall"]


MakeConfig = Callable[[], "SweepConfig"]


def sweep(trials_per_arm: int, seeds: int) -> "SweepConfig":
    from ndabench.config import parse
    from ndabench.planning.sweep_file import SweepConfig

    description: dict[str, Any] = {
        "name": "scale",
        "task": {"name": "gan", "width": 2, "latent_dim": 8, "batch_size": 8, "num_steps": 500},
        "data": {"name": "digits"},
        "arms": ARMS,
        "search": {
            "lambda": {"uniform": [0.1, 1]},
            "learning_rate": {"log_uniform": [1e-5, 1e-3]},
            "sampler": "tpe",
            "trials_per_arm": trials_per_arm,
            "seed": 1000,
        },
        "seeds": list(range(seeds)),
        "evaluate": ["fd"],
        "objective": {"metric": "fd_classifier"},
    }
    return parse(SweepConfig, description, "benchmark")


def fill(store: RecordStore, config: "SweepConfig", steps: int) -> int:
    """Records a sweep that has run to its end; returns the number of metric rows."""
    import yaml

    from ndabench.planning.outcomes import Outcome
    from ndabench.planning.plan import make_plan

    dumped = config.model_dump(mode="json", by_alias=True)
    store.write_bytes("sweep.yaml", yaml.safe_dump(dumped, sort_keys=False).encode())
    plan, dice, rows = make_plan(config, []), random.Random(0), 0
    while (trial := plan.next()) is not None:
        value = 20 + 10 * (trial.lambda_ - 0.4) ** 2 + dice.gauss(0, 0.5)
        rows += record(store, trial, value, steps, dice)
        plan.tell(Outcome(trial, "finished", value))
    assert plan.done
    return rows


def record(store: RecordStore, trial: "TrialConfig", value: float, steps: int, dice: random.Random) -> int:
    """One trial, already compacted: written as `RecordStore.compact` leaves it."""
    began = datetime(2026, 3, 1, tzinfo=timezone.utc) + timedelta(seconds=dice.uniform(0, 1e6))
    store.write_trial(
        TrialRow(
            sweep="scale",
            trial_id=trial.trial_id,
            task="gan",
            dataset="digits",
            dataset_hash="d1e5",
            arm=trial.arm,
            negative=trial.negative.label if trial.negative else "",
            positive="",
            lambda_=trial.lambda_,
            seed=trial.seed,
            parameters_json=json.dumps(trial.parameters),
            config_json=trial.to_json(),
            status="finished",
            error="",
            started=began,
            finished=began + timedelta(seconds=600),
            seconds=600.0,
            images_per_second=800.0,
            device="1 × cpu",
            hosts=("host",),
        )
    )
    key = {"schema_version": SCHEMA_VERSION, "sweep": "scale", "trial_id": trial.trial_id}
    rows: list[dict[str, Any]] = []
    for step in range(0, 10 * steps, 10):
        last = step == 10 * (steps - 1)
        level = value + 90 * 0.9 ** (step / 10)
        named = {name: (level + dice.gauss(0, 1), "validation") for name in MEASURES}
        if last:
            named["fd_classifier"] = (value, "validation")  # what the plan was told
        for name, (measured, split) in named.items():
            rows.append(_row(key, step, name, measured, split))
            if last:
                rows.append(_row(key, step, name, measured + dice.gauss(0, 0.3), "test"))
        rows += [_row(key, step, name, dice.gauss(1, 0.1), "") for name in CURVES]
    store._table("metrics")._write(  # as compaction would, without the 50 files before it
        f"metrics/{trial.trial_id}.parquet", pa.Table.from_pylist(rows, schema=TABLES["metrics"])
    )
    return len(rows)


def _row(key: dict[str, Any], step: int, metric: str, value: float, split: str) -> dict[str, Any]:
    protocol = {"num_samples": 1000, "reference": {"split": split, "size": 360}, "extractor": "classifier"}
    return key | {
        "step": step,
        "kind": "metric" if split else "curve",
        "metric": metric,
        "split": split,
        "label": "",
        "value": value,
        "better": "lower" if split else "neither",
        "unit": "",
        "protocol_json": json.dumps(protocol if split else {}, sort_keys=True),
        "seconds": 0.1,
    }


def read(store: RecordStore, make_config: MakeConfig) -> str:
    table = store.read_metrics()
    return f"{table.num_rows:,} rows, {table.nbytes / 2**20:.0f} MiB"


def rebuild(store: RecordStore, make_config: MakeConfig) -> str:
    from ndabench.planning.outcomes import recorded_outcomes
    from ndabench.planning.plan import make_plan

    config = make_config()
    plan = make_plan(config, recorded_outcomes(config, store))
    assert plan.next() is None
    assert plan.done
    return "nothing left to run"


def report(store: RecordStore, make_config: MakeConfig) -> str:
    from ndabench.reporting import write_report

    size = Path(write_report(store)).stat().st_size
    return f"{size / 2**20:.1f} MiB of HTML"


def compact(store: RecordStore, make_config: MakeConfig) -> str:
    """One trial of 50 steps, compacted; in a separate folder."""
    metrics = {name: Measurement(1.0, "lower", "", {"split": "test"}) for name in [*CURVES, *MEASURES]}
    with tempfile.TemporaryDirectory() as folder:
        own = RecordStore(folder)
        for step in range(50):
            own.write_progress("scale", "none-00", step, metrics, {})
        start = time.perf_counter()
        own.compact("none-00")
        return f"of which compaction {1000 * (time.perf_counter() - start):.0f} ms"


PHASES: dict[str, tuple[str, Callable[[RecordStore, MakeConfig], str]]] = {
    "read": ("read_metrics", read),
    "rebuild": ("the TPE plan rebuilt", rebuild),
    "report": ("write_report", report),
    "compact": ("50 steps written and compacted", compact),
}


def phase(name: str, folder: str, make_config: MakeConfig) -> None:
    """Runs in a separate process: prints seconds, CPU seconds from its start, peak memory, and the result."""
    start = time.perf_counter()
    detail = PHASES[name][1](RecordStore(folder), make_config)
    seconds = time.perf_counter() - start
    print(json.dumps([seconds, time.process_time(), _peak_gib(), detail]))


def _peak_gib() -> float:
    """Of this process: `getrusage` would count what its parent held before it became another program."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials-per-arm", type=int, default=480)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--keep", help="where the records are, or are left for another time")
    parser.add_argument("--phase", choices=list(PHASES), help=argparse.SUPPRESS)
    options = parser.parse_args()
    make_config = partial(sweep, options.trials_per_arm, options.seeds)
    if options.phase:
        phase(options.phase, options.keep, make_config)
        return
    folder = options.keep or tempfile.mkdtemp(prefix="ndabench-scale-")
    if not Path(folder, "sweep.yaml").exists():
        start = time.perf_counter()
        rows = fill(RecordStore(folder), make_config(), options.steps)
        print(
            f"{rows:,} rows of {len(ARMS) * (options.trials_per_arm + options.seeds):,} trials made up in "
            f"{time.perf_counter() - start:.0f} s"
        )
    size = sum(file.stat().st_size for file in Path(folder).rglob("*.parquet"))
    table = Table(title=f"Records of a sweep: {size / 2**20:.0f} MiB of Parquet")
    for column in ("", "seconds", "CPU seconds", "peak GiB", "", "aim"):
        table.add_column(column, justify="left" if not column else "right")
    for name, (title, _) in PHASES.items():
        command = [sys.executable, *sys.argv, "--phase", name, "--keep", folder]
        output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        seconds, processor, peak, detail = json.loads(output.splitlines()[-1])
        aim = AIM if name != "compact" else ""
        table.add_row(title, f"{seconds:.1f}", f"{processor:.1f}", f"{peak:.2f}", detail, aim)
    console = Console(width=110)
    console.print(table)
    console.print(
        f"{date.today()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, "
        f"Python {platform.python_version()}, pyarrow {pa.__version__}"
    )
    if not options.keep:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
