from pathlib import Path

import pytest
import torch
from striped import striped_data, striped_images
from two_workers import on_two_workers

from ndabench.data.images import ImageData
from ndabench.distributed import Workers
from ndabench.metrics import (
    FrechetConfig,
    GenerativeEvaluation,
    InceptionScoreConfig,
    KernelConfig,
    evaluate_generator,
    prepare,
)


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


def measure_stripes(workers: Workers) -> dict[str, float]:
    return measure(striped_data(), workers)


@pytest.mark.slow
def test_two_workers_measure_what_one_does(tmp_path: Path) -> None:
    data = striped_data()
    prepare(evaluations(), data, device=torch.device("cpu"))
    alone = measure(data, Workers())
    first, second = on_two_workers(measure_stripes, tmp_path)
    assert first == second
    assert first == pytest.approx(alone, rel=1e-5, abs=1e-7)
