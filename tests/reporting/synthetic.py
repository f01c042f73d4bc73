"""A made-up sweep: no number here was measured. It looks as a real one does, troubles included."""

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

import numpy as np
from PIL import Image

from ndabench.measurement import Better, MeasuredSplit, Measurement
from ndabench.records import RecordStore, TrialRow
from ndabench.records.schema import Status

SWEEP_FILE = """# SYNTHETIC: made up for tests
name: synthetic
arms: [none, jigsaw, cutout, {name: flip as PDA, positive: flip}]
seeds: [0, 1, 2]
objective: {metric: fd_classifier, mode: min}
"""
STEPS = (0, 250, 500, 750, 1000)
TEST_PROTOCOL = {"num_samples": 1000, "reference": {"split": "test", "size": 360}, "extractor": "classifier"}
VALIDATION_PROTOCOL = {**TEST_PROTOCOL, "reference": {"split": "validation", "size": 144}}
START = datetime(2026, 3, 1, 9, 30, tzinfo=timezone.utc)
EFFECTS = {  # arm, λ: what it adds to the final distance
    ("none", 1.0): 0.0,
    ("jigsaw", 0.25): -6.0,
    ("jigsaw", 0.5): -4.0,
    ("cutout", 0.25): -0.6,
    ("cutout", 0.5): 0.3,
    ("flip as PDA", 1.0): 5.0,
}


@dataclass(frozen=True)
class Trial:
    """One trial to record; the rest of the row is made up around it."""

    arm: str = "none"
    lambda_: float = 1.0
    seed: int = 0
    status: Status = "finished"
    error: str = ""
    negative: str | None = None
    positive: str = ""
    parameters: str = "{}"
    task: str = "gan"
    dataset: str = "digits"
    dataset_hash: str = "d1e5"
    conditional: bool = False
    lambda_meaning: str | None = "weight of the negatives"
    evaluate: tuple[str, ...] = ()
    notes: str | None = None
    images_judged: int | None = None
    num_steps: int = 1000
    seconds: float = 191.4
    sweep: str = "synthetic"

    @property
    def trial_id(self) -> str:
        key = f"{self.arm}{self.lambda_}{self.parameters}{self.task}{self.dataset}{self.dataset_hash}"
        slug = "".join(sign for sign in self.arm if sign.isalnum())[:8] or "arm"
        return f"{slug}-{abs(sum(map(ord, key))):05d}-{self.seed}"


def record(store: RecordStore, trial: Trial, progress: dict[int, dict[str, Measurement]]) -> None:
    """Writes the trial's row and its metrics by step."""
    started = START + timedelta(minutes=4 * trial.seed)
    ended = trial.status != "running"
    negative = trial.negative if trial.negative is not None else "" if trial.lambda_ == 1 else trial.arm
    config: dict[str, Any] = {
        "task": {"name": trial.task, "conditional": trial.conditional, "num_steps": trial.num_steps},
        "arm": trial.arm,
    }
    config |= {"evaluate": [{"name": name} for name in trial.evaluate]} if trial.evaluate else {}
    row = TrialRow(
        sweep=trial.sweep,
        trial_id=trial.trial_id,
        task=trial.task,
        dataset=trial.dataset,
        dataset_hash=trial.dataset_hash,
        arm=trial.arm,
        negative=negative,
        positive=trial.positive,
        lambda_=trial.lambda_,
        lambda_meaning=trial.lambda_meaning,
        seed=trial.seed,
        parameters_json=trial.parameters,
        config_json=json.dumps(config),
        status=trial.status,
        error=trial.error,
        started=started,
        finished=started + timedelta(seconds=191) if ended else None,
        seconds=trial.seconds if ended else None,
        images_per_second=842.0 if ended else None,
        images_judged=trial.images_judged if ended else None,
        device="1 × cpu",
        hosts=("synthetic-host",),
        versions_json='{"ndabench": "0.1.0", "torch": "2.15.0"}',
        git_commit="0123456789abcdef",
        notes=trial.notes,
    )
    store.write_trial(row)
    for step, metrics in progress.items():
        store.write_progress(trial.sweep, trial.trial_id, step, metrics, {})


def finals(value: float, validation: float | None = None, metric: str = "fd_classifier") -> dict:
    """One test value, and a validation value, at step 100."""
    metrics = {metric: measured(value)}
    if validation is not None:
        metrics[f"val_{metric}"] = measured(
            validation, protocol=VALIDATION_PROTOCOL, metric=metric, split="validation"
        )
    return {100: metrics}


def measured(
    value: float,
    better: Better = "lower",
    unit: str = "",
    protocol: Mapping[str, Any] = TEST_PROTOCOL,
    metric: str = "",
    split: MeasuredSplit = "test",
    label: str = "",
) -> Measurement:
    """What an evaluation measured; without `metric` the key that it is stored under is its name."""
    return Measurement(value, better, unit, protocol, 1.0, "metric", metric, split, label)


def picture(seed: int, size: int = 16, grid: int = 6) -> bytes:
    """A PNG sheet of blobs."""
    generator = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size]
    tiles = []
    for _ in range(grid * grid):
        centre = generator.uniform(3, size - 3, 4)
        blobs = [np.exp(-((x - a) ** 2 + (y - b) ** 2) / 8) for a, b in (centre[:2], centre[2:])]
        tiles.append(np.clip(sum(blobs) + 0.05 * generator.standard_normal((size, size)), 0, 1))
    rows = [np.concatenate(tiles[row * grid : (row + 1) * grid], axis=1) for row in range(grid)]
    buffer = io.BytesIO()
    Image.fromarray((255 * np.concatenate(rows)).astype(np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def fill(store: RecordStore) -> None:
    """A whole synthetic sweep: 4 arms, 2 λ, 3 seeds; one trial diverged, one failed, one still runs."""
    store.write_bytes("sweep.yaml", SWEEP_FILE.encode())
    endings: dict[tuple[str, float, int], tuple[Status, str]] = {
        ("cutout", 0.5, 1): ("diverged", "the discriminator's loss is NaN at step 612"),
        ("flip as PDA", 1.0, 2): ("failed", "RuntimeError: out of memory (gan.py:120)"),
        ("cutout", 0.5, 2): ("running", ""),
    }
    for (arm, weight), effect in EFFECTS.items():
        for seed in (0, 1, 2):
            status, error = endings.get((arm, weight, seed), ("finished", ""))
            positive = "flip" if arm == "flip as PDA" else ""
            trial = Trial(arm, weight, seed, status, error, positive=positive)
            steps = STEPS if status == "finished" else STEPS[:3]
            record(store, trial, {step: _metrics(step, effect, seed, arm) for step in steps})
            images = {"samples.png": picture(seed), "negatives.png": picture(seed + 10)}
            store.write_progress("synthetic", trial.trial_id, steps[-1] + 1, {}, images)


def _metrics(step: int, effect: float, seed: int, arm: str) -> dict[str, Measurement]:
    generator = np.random.default_rng([step, seed, len(arm), int(10 * abs(effect))])
    level = 24 + 1.5 * seed + 90 * np.exp(-step / 180) + effect * min(step, 1000) / 1000
    noise = generator.normal(0, 0.5, 5)
    metrics = {
        "loss_discriminator": Measurement(float(1.2 - 0.0004 * step + 0.05 * noise[0])),
        "loss_generator": Measurement(float(0.4 + 0.0003 * step + 0.05 * noise[1])),
        "val_fd_classifier": measured(
            float(level + noise[2]),
            protocol=VALIDATION_PROTOCOL,
            metric="fd_classifier",
            split="validation",
        ),
    }
    if step == STEPS[-1]:
        metrics["fd_classifier"] = measured(float(level + noise[3]))
        score = measured(
            float(4 - level / 20 + 0.03 * noise[4]), "higher", protocol={**TEST_PROTOCOL, "splits": 10}
        )
        metrics["inception_score_classifier"] = score
    return metrics
