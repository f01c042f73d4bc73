"""A search under Ray: TPE with ASHA, over trials of one worker and of two."""

import json
import os

import pytest
import torch

from ndabench.distributed import Workers
from ndabench.records import RecordStore
from ndabench.trials.config import Provenance, TrialConfig
from ndabench.trials.run import run_trial
from tests.end_to_end.driving import Bench, metrics

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SEARCH_SEED = 14
"""Draws a learning rate of 0.02, then one of 0.0001, with which nothing is learnt in a few steps."""


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.release)])
def test_a_search_stops_what_does_badly_and_repeats_the_best(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    """One trial fits at a time. The second does badly and is stopped early; the first is run twice more."""
    changes = {
        "arms": ["jigsaw"],
        "search": {
            "lambda": {"uniform": [0.1, 0.9]},
            "learning_rate": {"log_uniform": [1e-4, 1e-1]},
            "sampler": "tpe",
            "trials_per_arm": 2,
            "seed": SEARCH_SEED,
        },
        "scheduler": {"name": "asha", "grace_steps": 3, "reduction_factor": 2},
        "task": {"num_steps": 9, "log_every": 3, "checkpoint_every": 9},
        "evaluate": [{"name": "fd", "num_samples": 64, "every": 3}],
        "resources": {
            "workers": workers,
            "cpus_per_worker": min(1, (os.cpu_count() or 1) / 2),  # two workers fill a small machine
            "max_concurrent": 1,
        },
    }
    out = bench.folder / "out"
    ended = bench.sweep(bench.file(**changes), "--out", str(out))
    assert (ended.code, ended.stderr) == (0, "")
    assert f"4 trials, 0 of them done, 1 at a time, each {workers} worker" in ended.stdout
    assert "raylet" not in ended.stdout
    assert ended.stdout.endswith("complete: 3 finished, 1 pruned\n")
    rows = {row["trial_id"]: row for row in RecordStore(str(out)).read_trials().to_pylist()}
    assert all(row["device"] == f"{workers} × cpu" for row in rows.values())
    assert all((out / "metrics" / f"{trial_id}.parquet").is_file() for trial_id in rows), "one file each"

    (pruned,) = (row for row in rows.values() if row["status"] == "pruned")
    assert pruned["error"] == "stopped early by the scheduler"
    assert json.loads(pruned["parameters_json"])["learning_rate"] < 1e-3
    (best,) = (
        row for row in rows.values() if row["seed"] == SEARCH_SEED and row["trial_id"] != pruned["trial_id"]
    )
    repeats = {row["seed"]: row for row in rows.values() if row["seed"] != SEARCH_SEED}
    assert set(repeats) == {0, 1}
    for row in repeats.values():
        assert (row["lambda"], row["parameters_json"]) == (best["lambda"], best["parameters_json"])

    repeat = repeats[0]
    shared = {key: value for key, value in metrics(out).items() if key[0] == repeat["trial_id"]}
    alone = run_alone(repeat["config_json"], bench, monkeypatch)
    # Adam takes steps of one size however small a gradient, so that two workers' rounding grows quickly.
    assert shared == (alone if workers == 1 else pytest.approx(alone, rel=0.3))


def run_alone(
    config: str, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> dict[tuple[str, int, str], float]:
    """What the trial measures in this process, with one thread as in a sweep."""
    monkeypatch.setenv("NDABENCH_CACHE", bench.environment["NDABENCH_CACHE"])
    store = RecordStore(str(bench.folder / "alone"))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        list(run_trial(TrialConfig.from_json(config), store, Provenance("alone"), Workers()))
    finally:
        torch.set_num_threads(threads)
    return metrics(bench.folder / "alone")
