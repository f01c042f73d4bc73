"""More measures on finished trials: the values are those that the trials would have measured themselves."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from ndabench.distributed import Workers
from ndabench.errors import UserError
from ndabench.evaluate import evaluate
from ndabench.ownership import recorded_sweep, require_same_data
from ndabench.planning.later_evaluations import Asked, asked, read_later, write_later
from ndabench.records import RecordStore
from ndabench.reporting import summary
from ndabench.reporting.page import report_spec
from ndabench.trials.config import TrialConfig
from ndabench.trials.measuring_later import measure_later
from ndabench.trials.run import restored
from ndabench.version import __version__
from tests.command_lines import TINY, CommandLine
from tests.recorded_sweep import record

AGAIN = "evaluate=[{name: fd, num_samples: 40, as: again}]"


@pytest.fixture
def store(quickstart: Path, tmp_path: Path) -> RecordStore:
    return RecordStore(str(shutil.copytree(quickstart, tmp_path / "quickstart")))


def _asked(store: RecordStore, *assignments: str, **options: Any) -> Asked:
    return asked(recorded_sweep(store), store, list(assignments), **options)


def _values(store: RecordStore, name: str) -> dict[tuple[str, str], float]:
    """The values of a metric at the last step, by trial and split."""
    rows = [row for row in store.read_metrics().to_pylist() if row["step"] == 4]
    return {
        (row["trial_id"], row["split"]): row["value"]
        for row in rows
        if "_".join(filter(None, (row["metric"], row["label"]))) == name
    }


@pytest.mark.slow
def test_the_values_are_those_of_the_training(store: RecordStore) -> None:
    before = store.read_metrics()
    found = _asked(store, AGAIN)
    assert (len(found.jobs), found.have, found.gone) == (4, 0, ())
    write_later(store, found.later)
    for job in found.jobs:
        values = measure_later(job.trial, job.evaluations, store, Workers())
        assert set(values) >= {"fd_classifier_again", "val_fd_classifier_again"}
    again = _values(store, "fd_classifier_again")
    assert len(again) == 8
    assert again == pytest.approx(_values(store, "fd_classifier"), rel=1e-6)
    rows = store.read_metrics().to_pylist()
    assert [row for row in rows if row["measured"] is None] == before.to_pylist()
    assert {row["measured_by"] for row in rows if row["measured"] is not None} == {__version__}
    tables, _ = summary(store)
    (table,) = (one for one in tables if one.title.startswith("fd_classifier_again"))
    assert f"by ndabench {__version__}: 4 values." in table.notes[0]
    blocks = next(section for section in report_spec(store).sections if section.id == "provenance").blocks
    assert any("evaluate.yaml" in getattr(block, "title", "") for block in blocks)

    nothing = _asked(store)
    assert (nothing.jobs, nothing.have) == ((), 4)
    (once_more,) = _asked(store, again=True, trials=[job.trial.trial_id]).jobs
    measure_later(once_more.trial, once_more.evaluations, store, Workers())
    assert store.read_metrics().num_rows == len(rows)  # replaced, not doubled


@pytest.mark.slow
def test_what_cannot_be_measured_is_one_line(store: RecordStore, command_line: CommandLine) -> None:
    def error(*arguments: str) -> str:
        return command_line.error(evaluate, store.root, *arguments)

    assert "task gan: unknown evaluation 'knn'" in error("--set", "evaluate=[knn]")
    assert "say what to measure, e.g. --set 'evaluate=[fd]'" in error()
    assert "only evaluate and resources can be set" in error("--set", "task.num_steps=9")
    other = "evaluate=[{name: fd, num_samples: 41}]"
    assert "2 evaluations report fd_classifier; keep one, or label" in error("--set", other)
    assert "every is for trainings" in error("--set", "evaluate=[{name: kid, every: 2}]")
    unknown = error("--set", AGAIN, "--trial", "jigsaw-0")
    assert "unknown finished trial 'jigsaw-0'" in unknown
    own = "evaluate=[{name: fd, num_samples: 40}]"
    assert "the trials measured it" in error("--set", own, "--again")
    assert (_asked(store, own).jobs, _asked(store, own).have) == ((), 4)
    with pytest.raises(UserError, match="trained on other data"):
        require_same_data(store, recorded_sweep(store), "0123456789abcdef")
    write_later(store, _asked(store, AGAIN).later)
    assert [one.key for one in read_later(store)] == ["fd_classifier_again"]
    assert "2 evaluations report fd_classifier_again" in error("--set", AGAIN.replace("40", "41"))
    store.delete("checkpoints")
    assert "neither checkpoints nor weights are left of" in error("--set", AGAIN)
    assert "no sweep here" in command_line.error(evaluate, str(command_line.folder))


@pytest.mark.slow
def test_an_encoder_is_restored_from_its_recorded_weights(tmp_path: Path) -> None:
    sweep = {
        **TINY,
        "task": {"name": "image_contrastive", "encoder": {"name": "resnet", "width": 4}, "batch_size": 8}
        | {"num_steps": 2, "method": {"name": "moco", "queue_size": 16, "batch_norm_splits": 1}},
        "data": {"name": "digits", "image_size": 8},
        "arms": ["none", {"name": "untrained", "task": {"num_steps": 0}}],
        "evaluate": ["knn"],
    }
    store = record(tmp_path / "encoders", sweep)
    trials = [TrialConfig.from_json(row["config_json"]) for row in store.read_trials().to_pylist()]
    images = torch.rand(4, 1, 8, 8)
    before = [_features(trial, store, images) for trial in trials]
    store.delete("checkpoints")
    for trial, features in zip(trials, before, strict=True):
        torch.testing.assert_close(_features(trial, store, images), features)
    assert len(_asked(store, "evaluate=[{name: knn, as: again}]").jobs) == 2
    store.delete("artifacts")
    found = _asked(store, "evaluate=[{name: knn, as: again}]")
    assert [job.trial.arm for job in found.jobs] == ["untrained"]
    assert len(found.gone) == 1
    trained = next(trial for trial in trials if trial.arm == "none")
    with pytest.raises(UserError, match="has no checkpoint that can be read"):
        restored(trained, store, Workers())


def _features(trial: TrialConfig, store: RecordStore, images: torch.Tensor) -> torch.Tensor:
    trainer = restored(trial, store, Workers())
    assert trainer.step == trial.task.num_steps
    subject: Any = trainer.task.subject(trainer.step)
    with torch.no_grad():
        features: torch.Tensor = subject.encoder.eval()(images)
    return features
