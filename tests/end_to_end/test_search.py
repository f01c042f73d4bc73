"""Searches under Ray: random and TPE with one worker a trial, ASHA with two."""

import json
import os

import pytest
from driving import Bench, metrics

from ndabench.distributed import Workers
from ndabench.records import RecordStore
from ndabench.trials import Provenance, TrialConfig, run_trial

pytestmark = pytest.mark.slow

SEARCH_SEED = 10


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_the_best_setting_is_repeated(bench: Bench, sampler: str) -> None:
    out = bench.folder / "out"
    file = bench.file(
        arms=["jigsaw"],
        search={
            "lambda": {"uniform": [0.1, 0.9]},
            "learning_rate": {"log_uniform": [1e-4, 1e-2]},
            "sampler": sampler,
            "trials_per_arm": 4,
            "seed": SEARCH_SEED,
        },
        task={"num_steps": 4, "log_every": 4},
        evaluate=[{"name": "fd", "num_samples": 64}],
    )
    ended = bench.sweep(file, "--out", str(out))
    assert (ended.code, ended.stderr) == (0, "")
    assert ended.stdout.endswith("complete: 6 finished\n")

    rows = RecordStore(str(out)).read_trials().to_pylist()
    searched = [row for row in rows if row["seed"] == SEARCH_SEED]
    repeats = [row for row in rows if row["seed"] != SEARCH_SEED]
    assert [len(searched), sorted(row["seed"] for row in repeats)] == [4, [0, 1]]
    values = metrics(out)
    best = min(searched, key=lambda row: values[row["trial_id"], 4, "val_fd_classifier"])
    for row in repeats:
        assert (row["lambda"], row["parameters_json"]) == (best["lambda"], best["parameters_json"])


def test_several_workers_a_trial(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """One trial fits at a time. The second does badly and is stopped early; the best is run once more."""
    changes = {
        "arms": ["none"],
        "seeds": [0],
        "search": {
            "learning_rate": {"log_uniform": [1e-4, 1e-1]},
            "sampler": "random",
            "trials_per_arm": 2,
            "seed": SEARCH_SEED,  # draws 0.02, then 0.0001, with which nothing is learnt in a few steps
        },
        "scheduler": {"name": "asha", "grace_steps": 3, "reduction_factor": 2},
        "task": {"num_steps": 9, "log_every": 3, "checkpoint_every": 9},
        "evaluate": [{"name": "fd", "num_samples": 64, "every": 3}],
        "resources": {
            "workers": 2,
            "cpus_per_worker": min(1, (os.cpu_count() or 1) / 2),
            "max_concurrent": 1,
        },
    }
    out = bench.folder / "out"
    ended = bench.sweep(bench.file(**changes), "--out", str(out))
    assert (ended.code, ended.stderr) == (0, "")
    assert "3 trials, 0 of them done, 1 at a time, each 2 workers" in ended.stdout
    assert "raylet" not in ended.stdout
    assert ended.stdout.endswith("complete: 2 finished, 1 stopped\n")
    rows = {row["trial_id"]: row for row in RecordStore(str(out)).read_trials().to_pylist()}
    (stopped,) = (row for row in rows.values() if row["status"] == "stopped")
    assert stopped["error"] == "stopped early by the scheduler"
    assert json.loads(stopped["parameters_json"])["learning_rate"] < 1e-3
    assert all(row["device"] == "2 × cpu" for row in rows.values())

    (repeat,) = (trial for trial, row in rows.items() if row["seed"] == 0)
    shared = {key: value for key, value in metrics(out).items() if key[0] == repeat}
    alone = bench.folder / "alone"
    monkeypatch.setenv("NDABENCH_CACHE", bench.environment["NDABENCH_CACHE"])
    trial = TrialConfig.model_validate_json(rows[repeat]["config_json"])
    list(run_trial(trial, RecordStore(str(alone)), Provenance("alone"), Workers()))
    # Adam takes steps of one size however small a gradient, so that rounding errors grow quickly.
    assert shared == pytest.approx(metrics(alone), rel=0.15)
