"""What files a trial leaves: few once it has ended, those of its steps while it may go on."""

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from ndabench.augmentations.registry import having
from ndabench.config import parse
from ndabench.distributed import Workers
from ndabench.measurement import NEGATIVES_EQUAL, NEGATIVES_NEARLY_EQUAL, Measurement
from ndabench.planning.sweep_file import SweepConfig
from ndabench.records import RecordStore
from ndabench.records.trial_log import LONGEST_LINE, MOST_LINES, TrialLog, read_log
from ndabench.tasks.task import DivergedError, Progress
from ndabench.trials import run
from ndabench.trials.config import Provenance
from ndabench.trials.run import prepare, run_trial
from tests.command_lines import TINY


class ThreeSteps:
    """In a task's place: three steps, then whatever `ending` says."""

    def __init__(self, ending: BaseException | None) -> None:
        self._ending = ending

    def run(self) -> Iterator[Progress]:
        logging.getLogger("ndabench.tasks").info("three steps follow")
        yield Progress(0, 3, 0, {}, False, {})  # as evaluations of an untrained network do on their way
        for step in range(3):
            pictures = {"samples.png": b"picture"}
            loss, notes = {"loss": Measurement(1.0 / (step + 1))}, ("stopped early",) if step else ()
            yield Progress(step, 3, 8 * step, loss, False, pictures, notes)
        yield Progress(2, 3, 16, {}, True, {})
        if self._ending is not None:
            raise self._ending

    def state_dict(self) -> dict:
        return {}


@pytest.mark.parametrize(
    ("ending", "status", "files"),
    [
        (None, "finished", 1),
        (DivergedError("the loss is NaN"), "diverged", 1),
        (RuntimeError("broken"), "failed", 3),
        (KeyboardInterrupt(), "stopped", 3),
    ],
)
def test_steps_are_compacted_once_a_trial_cannot_continue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: BaseException | None, status: str, files: int
) -> None:
    monkeypatch.setattr(run, "_build", lambda *_: ThreeSteps(ending))
    store = RecordStore(str(tmp_path))
    trial = parse(SweepConfig, {**TINY, "arms": ["none"]}, "tiny").grid_trials()[0]
    with contextlib.suppress(RuntimeError, DivergedError, KeyboardInterrupt):
        list(run_trial(trial, store, Provenance("tiny"), Workers()))
    assert store.read_trials()["status"].to_pylist() == [status]
    begun, said, noted, saved, *rest = [
        line[len("2026-11-28 13:00:00 ") :] for line in read_log(store, trial.trial_id)
    ]
    assert begun.startswith("attempt 1, 1 × cpu of ")
    assert [said, noted, saved] == ["three steps follow", "stopped early", "checkpoint of step 2 of 3"]
    assert rest[-1].startswith(status)
    assert (rest[0] == "Traceback (most recent call last):") == (status == "failed")
    assert store.read_trials()["notes"].to_pylist() == ["stopped early"]  # once, though two steps say it
    assert [len(store.list(name)) for name in ("metrics", "artifacts")] == [files] * 2
    assert store.read_metrics()["step"].to_pylist() == [0, 1, 2]
    assert len(store.read_artifacts()) == 3


def test_a_log_is_bounded_continued_and_fit_to_be_shown(tmp_path: Path) -> None:
    store = RecordStore(str(tmp_path))
    for attempt in (1, 2):
        log = TrialLog(store, "none-0123")
        for number in range(150):
            log.say(f"{attempt} {number}")
        log.say("s3://me:secret@bucket \x1b[31m" + "x" * 1000)
        log.save()
    lines = read_log(store, "none-0123")
    assert len(lines) == MOST_LINES
    assert (lines[0].split()[2:], lines[-2].split()[2:]) == (["1", "102"], ["2", "149"])
    assert " s3://***@bucket \\x1b[31mxxx" in lines[-1]
    assert len(lines[-1]) == LONGEST_LINE


def test_a_trial_records_once_how_often_its_negative_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "_build", lambda *_: ThreeSteps(None))
    store = RecordStore(str(tmp_path))
    trial = parse(SweepConfig, {**TINY, "arms": ["cutmix"]}, "tiny").grid_trials()[0]
    list(run_trial(trial, store, Provenance("tiny"), Workers()))
    recorded = store.read_metrics().to_pylist()
    shares = {row["metric"]: row["value"] for row in recorded if row["metric"] != "loss"}
    assert [row["step"] for row in recorded if row["metric"] in shares] == [0, 0]
    assert shares[NEGATIVES_EQUAL] == 0, "a box of background over background is drawn again"
    assert 0 < shares[NEGATIVES_NEARLY_EQUAL] < 0.2, "digits have much background"


@pytest.mark.release
@pytest.mark.parametrize(
    "changes",
    [
        *({"arms": [{"negative": name}]} for name in sorted(having("corrected"))),
        {"arms": [{"negative": {"chain": ["jigsaw", "jigsaw"]}, "positive": "flip"}]},
        {"arms": [{"negative": {"mixture": {"cutmix": 1, "stitch": 3}}}]},
        {"arms": ["none"], "task": {**TINY["task"], "conditional": True, "losses": "non_saturating"}},
        {"arms": ["jigsaw"], "task": {**TINY["task"], "reference": True, "betas": [0, 0]}},
        {"arms": ["jigsaw"], "evaluate": [{"name": "fd", "num_samples": 16, "every": 1}]},
    ],
    ids=str,
)
def test_what_a_check_accepts_two_steps_can_do(tmp_path: Path, changes: dict[str, Any]) -> None:
    trial = parse(SweepConfig, {**TINY, **changes}, "tiny").grid_trials()[0]
    prepare([trial], torch.device("cpu"), check=True)
    store = RecordStore(str(tmp_path))
    list(run_trial(trial, store, Provenance("tiny"), Workers()))
    assert store.read_trials()["status"].to_pylist() == ["finished"]
