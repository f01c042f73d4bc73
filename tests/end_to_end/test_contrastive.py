"""Contrastive learning under Ray: trained by two workers, measured by every evaluation, reported."""

from typing import Any

import pytest
import yaml

from ndabench.records import RecordStore
from ndabench.reporting.page import report_spec
from ndabench.reporting.specs import SheetSpec
from tests.end_to_end.driving import Bench, metrics, statuses

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SCENES = {"name": "scattered_digits", "canvas_size": 48, "num_train": 8, "num_validation": 3, "num_test": 3}
SWEEP: dict[str, Any] = {
    "name": "tiny_contrastive",
    "task": {
        "name": "image_contrastive",
        "method": {"name": "moco", "queue_size": 32, "batch_norm_splits": 4},
        "encoder": {"name": "resnet", "width": 4},
        "batch_size": 16,
        "num_steps": 4,
        "log_every": 2,
        "checkpoint_every": 2,
    },
    "data": {"name": "digits", "image_size": 16},
    "arms": ["jigsaw", {"name": "untrained encoder", "task": {"num_steps": 0}}],
    "evaluate": [
        {"name": "knn", "every": 2},
        {"name": "linear_probe_lbfgs", "penalties": [0.1]},
        {"name": "linear_probe_sgd", "num_epochs": 1},
        {"name": "detection", "data": SCENES, "num_steps": 2, "batch_size": 2, "short_side": 48},
    ],
    "objective": {"metric": "knn"},
}
VALUES = {"knn", "linear_probe_lbfgs", "linear_probe_sgd", "voc07_ap50", "coco_ap"}


@pytest.mark.release
def test_two_workers_train_and_measure_an_encoder(bench: Bench) -> None:
    file, out = bench.folder / "sweep.yaml", bench.folder / "out"
    file.write_text(yaml.safe_dump({**SWEEP, "resources": {"workers": 2}}))
    ended = bench.sweep(str(file), "--out", str(out))
    assert (ended.code, ended.stderr) == (0, "")
    assert ended.stdout.endswith("complete: 2 finished\n")
    assert "linear_probe_lbfgs in % ↑ higher is better, test split" in ended.stdout

    recorded = metrics(out)
    for trial_id in statuses(out):
        last = 0 if trial_id.startswith("untrained") else 4
        assert {name for trial, step, name in recorded if (trial, step) == (trial_id, last)} >= VALUES
    report = report_spec(RecordStore(str(out)))
    sheets = {
        block.id for section in report.sections for block in section.blocks if isinstance(block, SheetSpec)
    }
    assert sheets == {"sheet-neighbours", "sheet-detections", "sheet-negatives", "sheet-views"}

    encoder = next((out / "files").glob("jigsaw-*/*-encoder.pt"))
    start = {"num_steps": 0, "encoder": {"name": "resnet", "width": 4, "weights": str(encoder)}}
    file.write_text(yaml.safe_dump({**SWEEP, "name": "measured", "arms": [{"name": "none", "task": start}]}))
    again = bench.run("ndabench.train", str(file), "--out", str(bench.folder / "measured"))
    assert again.code == 0, again.stderr
    (measured,) = statuses(bench.folder / "measured")
    (trained,) = [trial for trial in statuses(out) if trial.startswith("jigsaw")]
    values = metrics(bench.folder / "measured")
    for name in ("knn", "linear_probe_lbfgs"):
        assert values[measured, 0, name] == pytest.approx(recorded[trained, 4, name], abs=0.6), (
            "the same encoder"
        )
