"""Two workers at half the batch take the steps of one at the whole: queue, key order, NDA keys and all."""

from pathlib import Path
from typing import Any

import pytest

from ndabench.distributed import Workers
from ndabench.metrics.image_encoders.config import KnnConfig
from tests.tasks.closeness import assert_close
from tests.tasks.contrastive_toys import MOCO, STITCH, SYMMETRIC, toy_training
from tests.two_workers import by_one_worker, on_two_workers

ARMS: dict[str, dict[str, Any]] = {
    "moco": {"method": {**MOCO, "batch_norm_splits": 4}, "nda_source": "query", "num_nda_keys": 2},
    "moco over the whole batch": {"method": {**SYMMETRIC, "batch_norm_splits": 1}, "nda_source": "key"},
    "simclr": {"method": "simclr", "nda_source": "raw"},
}


def _run(config: dict[str, Any], workers: Workers) -> dict[str, Any]:
    evaluations = [KnnConfig(neighbours=5, every=2)]
    # Pictures and batches large enough for every batch norm to have several values: over two, which is 1 and
    # which -1 would be up to rounding.
    config = {**config, "num_steps": 3, "learning_rate": 0.01, "batch_size": 16}
    trainer = toy_training(
        config, size=16, negative=STITCH, lambda_=1.0, seed=1, evaluations=evaluations, workers=workers
    )
    progress = list(trainer.run())
    return {
        "state": {k: v for k, v in trainer.state_dict().items() if k != "made_by"},
        "metrics": [{name: m.value for name, m in p.metrics.items()} for p in progress],
        "files": [sorted(p.artifacts) for p in progress],
    }


def _all_arms(workers: Workers) -> dict[str, Any]:
    return {name: _run(arm, workers) for name, arm in ARMS.items()}


@pytest.mark.slow
def test_two_workers_at_half_the_batch_take_the_same_steps(tmp_path: Path) -> None:
    main, other = on_two_workers(_all_arms, tmp_path)
    together = by_one_worker(_all_arms)
    for name, alone in together.items():
        assert_close(main[name]["state"], alone["state"], 1e-4)
        assert_close(main[name]["metrics"], alone["metrics"], 1e-4)
        for part in ("network", "queue", "curves"):
            assert_close(main[name]["state"].get(part), other[name]["state"].get(part), 0)
        assert main[name]["files"][0] == ["negatives.png", "views.png"]
        assert not any(other[name]["files"]), "only the main worker writes files"
