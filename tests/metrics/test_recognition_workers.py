"""Two workers fine-tune, probe and retrieve as one does."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from ndabench.data.registry import load_data
from ndabench.distributed import Workers
from ndabench.metrics.clip_encoders.clip_training import ClipTraining
from ndabench.metrics.clip_encoders.config import (
    ClipLinearProbeConfig,
    CoclrLinearProbeConfig,
    DpcFinetuneConfig,
    RetrievalConfig,
)
from tests.metrics.recognising import CPU, SAMPLING, digits, evaluate, values
from tests.metrics.toy_features import ToyFeatures
from tests.two_workers import on_two_workers

FINETUNE = DpcFinetuneConfig(num_epochs=2, batch_size=32, refit=True)
PROBE = CoclrLinearProbeConfig(num_epochs=1, batch_size=32, crops="centre")


def trained(workers: Workers) -> dict[str, Tensor]:
    """What one epoch makes of the classifier."""
    config = DpcFinetuneConfig(num_epochs=1, batch_size=32)
    network, data = ToyFeatures(workers=workers), load_data(digits(), device=CPU)
    training = ClipTraining(config, network, data.train, SAMPLING, num_classes=8, seed=0, workers=workers)
    assert list(training.run()) == [1]
    return training.classifier.state_dict()


def measured(workers: Workers) -> tuple[dict[str, float], list[str]]:
    evaluations: list[Any] = [FINETUNE, PROBE, ClipLinearProbeConfig(), RetrievalConfig()]
    data = load_data(digits(), device=CPU)
    evaluated = evaluate(data, evaluations, ToyFeatures(workers=workers), workers=workers)
    return values(evaluated), sorted(evaluated.artifacts)


def both(workers: Workers) -> tuple[dict[str, Tensor], dict[str, float], list[str]]:
    return trained(workers), *measured(workers)


@pytest.mark.slow
def test_two_workers_measure_what_one_does(tmp_path: Path) -> None:
    (state, found, files), (other_state, other_found, no_files) = on_two_workers(both, tmp_path)
    alone = trained(Workers())
    assert state.keys() == other_state.keys() == alone.keys()
    for name, value in alone.items():
        assert torch.equal(state[name], other_state[name]), name
        torch.testing.assert_close(state[name], value, atol=1e-4, rtol=1e-4, msg=name)
    expected, expected_files = measured(Workers())
    assert found == other_found
    assert found == pytest.approx(expected, abs=100 / 16 + 0.01)  # one of 16 validation videos
    assert (files, no_files) == (expected_files, [])
