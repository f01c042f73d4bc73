"""Two workers at half the batch take the steps of one at the whole: queue, key order, NDA keys and all."""

import socket
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from contrastive_toys import MOCO, STITCH, SYMMETRIC, toy_training
from gan_toys import leaves
from torch import Tensor

from ndabench.distributed import Workers
from ndabench.metrics import KnnConfig

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
    task = toy_training(
        config, size=16, negative=STITCH, lambda_=1.0, seed=1, evaluations=evaluations, workers=workers
    )
    progress = list(task.run())
    return {
        "state": {key: value for key, value in task.state_dict().items() if key != "made_by"},
        "metrics": [{name: m.value for name, m in p.metrics.items()} for p in progress],
        "files": [sorted(p.artifacts) for p in progress],
    }


def _worker(rank: int, port: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    workers = Workers.current(torch.device("cpu"))
    torch.save({name: _run(arm, workers) for name, arm in ARMS.items()}, Path(folder) / f"{rank}.pt")
    dist.destroy_process_group()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _assert_close(left: Any, right: Any, tolerance: float) -> None:
    one, other = leaves(left), leaves(right)
    assert one.keys() == other.keys()
    for path, value in one.items():
        if isinstance(value, Tensor | float):
            torch.testing.assert_close(
                torch.as_tensor(value), torch.as_tensor(other[path]), atol=tolerance, rtol=tolerance, msg=path
            )
        else:
            assert value == other[path], path


@pytest.mark.slow
def test_two_workers_at_half_the_batch_take_the_same_steps(tmp_path: Path) -> None:
    torch.multiprocessing.spawn(_worker, args=(_free_port(), str(tmp_path)), nprocs=2)
    main, other = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2))
    for name, arm in ARMS.items():
        alone = _run(arm, Workers())
        _assert_close(main[name]["state"], alone["state"], 1e-4)
        _assert_close(main[name]["metrics"], alone["metrics"], 1e-4)
        for part in ("network", "queue"):
            _assert_close(main[name]["state"].get(part), other[name]["state"].get(part), 0)
        assert main[name]["files"][0] == ["negatives.png", "views.png"]
        assert not any(other[name]["files"]), "only the main worker writes files"
