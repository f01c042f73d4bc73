"""What files a trial leaves: few once it has ended, those of its steps while it may go on."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_lines import TINY

from ndabench.config import parse
from ndabench.distributed import Workers
from ndabench.measurement import Measurement
from ndabench.planning.sweep_file import SweepConfig
from ndabench.records import RecordStore
from ndabench.tasks.task import DivergedError, Progress
from ndabench.trials import run
from ndabench.trials.config import Provenance
from ndabench.trials.run import run_trial


class ThreeSteps:
    """In a task's place: three steps, then whatever `ending` says."""

    def __init__(self, ending: BaseException | None) -> None:
        self._ending = ending

    def run(self) -> Iterator[Progress]:
        for step in range(3):
            pictures = {"samples.png": b"picture"}
            yield Progress(step, 3, 8 * step, {"loss": Measurement(1.0 / (step + 1))}, False, pictures)
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
    assert [len(store.list(name)) for name in ("metrics", "artifacts")] == [files] * 2
    assert store.read_metrics()["step"].to_pylist() == [0, 1, 2]
    assert len(store.read_artifacts()) == 3
