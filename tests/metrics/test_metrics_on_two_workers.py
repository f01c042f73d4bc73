from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from striped import striped_data, striped_images

from ndabench.data import ImageData
from ndabench.distributed import Workers
from ndabench.metrics import (
    FrechetConfig,
    GenerativeEvaluation,
    InceptionScoreConfig,
    KernelConfig,
    evaluate_generator,
    prepare,
)

NUM_WORKERS = 2


def evaluations() -> list[GenerativeEvaluation]:
    """The largest one is odd, so that two workers cannot share it equally; one is smaller than a share."""
    return [
        FrechetConfig(num_samples=101),
        KernelConfig(num_samples=40, subset_size=30, num_subsets=5),
        InceptionScoreConfig(num_samples=80, num_splits=4),
    ]


def measure(data: ImageData, workers: Workers) -> dict[str, float]:
    fakes, _ = striped_images(102, seed=7)
    measured = evaluate_generator(
        evaluations(), lambda n: workers.shard(fakes[:n]), data, "test", workers=workers, sampling={}
    )
    return {name: measurement.value for name, measurement in measured.items()}


def worker(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    store = dist.FileStore(f"{folder}/store", NUM_WORKERS)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=NUM_WORKERS)
    values = measure(striped_data(), Workers.current(torch.device("cpu")))
    torch.save(values, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.slow
def test_two_workers_measure_what_one_does(tmp_path: Path) -> None:
    data = striped_data()
    prepare(evaluations(), data, device=torch.device("cpu"))
    alone = measure(data, Workers())
    mp.spawn(worker, args=(str(tmp_path),), nprocs=NUM_WORKERS)
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(NUM_WORKERS))
    assert first == second
    assert first == pytest.approx(alone, rel=1e-5, abs=1e-7)
