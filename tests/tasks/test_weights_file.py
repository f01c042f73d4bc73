"""Weights to start from are told apart by their content, and so are the trials that start from them."""

import hashlib
from pathlib import Path
from typing import Any

import pytest

from ndabench.config import parse
from ndabench.errors import UserError
from ndabench.models.weights import export_encoder
from ndabench.tasks.contrastive.config import ImageContrastiveConfig
from ndabench.tasks.contrastive.encoders import ResNetConfig
from ndabench.tasks.setup import TrialSetup
from ndabench.tasks.trainer import build_trainer
from ndabench.trials.config import TrialConfig
from tests.tasks.contrastive_toys import MOCO, contrastive_task, toy_pictures

ENCODER = {"name": "resnet", "width": 2}


def config(weights: Any) -> ImageContrastiveConfig:
    keys = {"name": "image_contrastive", "method": MOCO, "batch_size": 8, "num_steps": 2}
    return parse(ImageContrastiveConfig, {**keys, "encoder": {**ENCODER, "weights": weights}}, "task")


def exported(path: Path, seed: int) -> Path:
    trainer = build_trainer(TrialSetup(config(None), toy_pictures(), seed=seed))
    path.write_bytes(export_encoder(contrastive_task(trainer).source.encoder))
    return path


def test_changed_weights_make_another_trial_and_unchanged_ones_do_not(tmp_path: Path) -> None:
    def trial_id(name: str = "encoder.pt") -> str:
        trainer = config(str(tmp_path / name))
        again = parse(
            TrialConfig, {"arm": "a", "task": trainer, "data": {"name": "digits"}, "lambda": 0}, "trial"
        )
        assert TrialConfig.from_json(again.to_json()) == again
        return again.trial_id

    path = exported(tmp_path / "encoder.pt", seed=0)
    first = trial_id()
    path.touch()
    assert trial_id() == first
    exported(path, seed=1)
    assert trial_id() != first
    exported(path, seed=0)
    assert trial_id() == first
    path.rename(tmp_path / "moved.pt")
    assert trial_id("moved.pt") == first


def test_weights_that_changed_after_the_sweep_was_read_are_refused(tmp_path: Path) -> None:
    path = exported(tmp_path / "encoder.pt", seed=0)
    read = config(str(path))
    assert isinstance(read.encoder, ResNetConfig)
    assert read.encoder.weights is not None
    assert read.encoder.weights.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    trainer = build_trainer(TrialSetup(read, toy_pictures()))
    exported(path, seed=1)
    with pytest.raises(UserError, match=r"encoder\.pt holds other weights than when the sweep was read"):
        build_trainer(TrialSetup(read, toy_pictures()))
    with pytest.raises(UserError, match="belongs to another training: its encoder is"):
        build_trainer(TrialSetup(config(str(path)), toy_pictures())).load_state_dict(trainer.state_dict())


def test_a_training_resumes_where_its_weights_have_moved(tmp_path: Path) -> None:
    path = exported(tmp_path / "encoder.pt", seed=0)
    state = build_trainer(TrialSetup(config(str(path)), toy_pictures())).state_dict()
    moved = path.rename(tmp_path / "moved.pt")
    build_trainer(TrialSetup(config(str(moved)), toy_pictures())).load_state_dict(state)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ("/nowhere/encoder.pt", "encoder.*: there is no file of encoder weights at /nowhere/encoder.pt"),
        ("/", "/ is a folder, a pipe or a device, not a file of encoder weights"),
        ({"path": "/nowhere/encoder.pt", "sha256": "12"}, "encoder.weights.sha256: .*got '12'"),
        ({"file": "/nowhere/encoder.pt"}, "'encoder.weights.path' is missing"),
        (3, "encoder.weights: must be a mapping of keys to values"),
    ],
)
def test_what_is_no_file_of_weights_is_refused_in_one_line(weights: Any, message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        config(weights)
    assert "\n" not in str(error.value)
