"""What Ray sends to every trial: a description of it, never its data."""

from dataclasses import asdict
from pathlib import Path

import ray.cloudpickle
import torch

from ndabench.config import parse
from ndabench.orchestration.trainable import trainable
from ndabench.planning.sweep_file import SweepConfig
from ndabench.trials.config import Provenance
from ndabench.trials.run import prepare
from tests.command_lines import TINY


def test_a_trial_travels_as_a_description(tmp_path: Path) -> None:
    config = parse(SweepConfig, TINY, "tiny")
    trials = config.grid_trials()
    prepare(trials[:1], torch.device("cpu"))  # the driver has loaded the data by then
    function = trainable(str(tmp_path), asdict(Provenance(config.name)), config.resources, "val_fd")
    assert len(ray.cloudpickle.dumps(function)) < 20_000
    assert all(len(trial.to_json()) < 5_000 for trial in trials)
