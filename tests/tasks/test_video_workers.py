"""Two workers at half the batch take the steps of one at the whole: dropout, NDA keys of a batch and all."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ndabench.distributed import Workers
from ndabench.metrics.clip_encoders.config import RetrievalConfig
from ndabench.tasks.trainer import Trainer
from tests.tasks.closeness import assert_close
from tests.tasks.contrastive_toys import contrastive_task
from tests.tasks.video_toys import DPC, MOCO, SPLICE, toy_training
from tests.two_workers import by_one_worker, on_two_workers

ARMS: dict[str, dict[str, Any]] = {
    "dpc": {"method": DPC, "num_nda_keys": 2},
    "dpc, negatives of the batch": {"method": {**DPC, "nda_scope": "batch"}},
    "dpc, negatives without gradient": {"method": {**DPC, "nda_scope": "batch", "nda_gradient": False}},
    "moco": {"method": {**MOCO, "batch_norm_splits": 4}},
}


def _task(config: dict[str, Any], workers: Workers) -> Trainer:
    config = {**config, "num_steps": 2, "learning_rate": 1e-3, "batch_size": 16}
    evaluations = [RetrievalConfig()]
    return toy_training(
        config, size=32, negative=SPLICE, lambda_=1.0, seed=1, evaluations=evaluations, workers=workers
    )


def _gradients(config: dict[str, Any], workers: Workers) -> dict[str, Any]:
    """Of a first step, in float64: in float32 DPC's first layers keep but two digits of theirs."""
    task = contrastive_task(_task(config, workers))
    network = task.method.network.double()
    inputs = task.method.inputs(next(task.batches(0)))
    inputs = replace(inputs, clips=inputs.clips.double(), nda=[nda.double() for nda in inputs.nda])
    task.method.loss(inputs)["loss"].backward()
    workers.average_gradients(network.parameters())
    return {name: parameter.grad for name, parameter in network.named_parameters()}


def _run(config: dict[str, Any], workers: Workers) -> dict[str, Any]:
    trainer = _task(config, workers)
    progress = list(trainer.run())
    return {
        "network": contrastive_task(trainer).method.network.state_dict(),
        "metrics": [{name: m.value for name, m in p.metrics.items()} for p in progress],
        "files": [sorted(p.artifacts) for p in progress],
    }


def _all_arms(workers: Workers) -> dict[str, Any]:
    runs = {name: _run(arm, workers) for name, arm in ARMS.items()}
    of_dpc = {name: _gradients(arm, workers) for name, arm in ARMS.items() if arm["method"]["name"] == "dpc"}
    return {"runs": runs, "gradients": of_dpc}


@pytest.mark.slow
def test_two_workers_at_half_the_batch_take_the_same_steps_on_clips(tmp_path: Path) -> None:
    main, other = on_two_workers(_all_arms, tmp_path)
    together = by_one_worker(_all_arms)
    assert_close(main["gradients"], together["gradients"], 1e-9)
    for name, alone in together["runs"].items():
        first, second = main["runs"][name], other["runs"][name]
        ours, theirs = ([m["loss"] for m in run["metrics"] if "loss" in m] for run in (first, alone))
        assert_close(ours, theirs, 1e-4)
        assert_close(first["network"], second["network"], 0)
        assert_close(first["metrics"], second["metrics"], 0)
        assert first["files"][0] == ["negatives.png", "views.png"]
        assert not any(second["files"]), "only the main worker writes files"
