from pathlib import Path

import pytest
import torch

from ndabench.data.images import ImageData
from ndabench.distributed import Workers
from ndabench.metrics.evaluating import prepare
from ndabench.metrics.evaluation import Evaluation
from ndabench.metrics.generators.config import FrechetConfig, InceptionScoreConfig, KidConfig
from ndabench.metrics.generators.feature_config import FeatureMeasure
from ndabench.metrics.registry import EVALUATIONS
from ndabench.metrics.subjects import Preparation
from tests.metrics.striped import striped_data, striped_images
from tests.metrics.toy_generator import measure
from tests.two_workers import on_two_workers

SMALL = {"fd_infinity": {"smallest": 60, "num_points": 4}}


def evaluations() -> list[Evaluation]:
    """The largest one is odd, so that two workers cannot share it equally; one is smaller than a share."""
    return [
        FrechetConfig(num_samples=101),
        KidConfig(num_samples=40, subset_size=30, num_subsets=5),
        InceptionScoreConfig(num_samples=80, num_splits=4),
        *(
            entry.config.model_validate({"name": name, "num_samples": 101, **SMALL.get(name, {})})
            for name, entry in EVALUATIONS.items()
            if issubclass(entry.config, FeatureMeasure)
        ),
    ]


def values(data: ImageData, workers: Workers) -> dict[str, float]:
    fakes, labels = striped_images(102, seed=7)
    measured = measure(
        evaluations(),
        lambda n: workers.shard(fakes[:n]),
        data,
        "test",
        workers=workers,
        labels=lambda n: workers.shard(labels[:n]),
    )
    return {name: measurement.value for name, measurement in measured.items()}


def measure_stripes(workers: Workers) -> dict[str, float]:
    return values(striped_data(), workers)


@pytest.mark.slow
def test_two_workers_measure_what_one_does(tmp_path: Path) -> None:
    data = striped_data()
    prepare(evaluations(), Preparation(data, torch.device("cpu")))
    alone = values(data, Workers())
    first, second = on_two_workers(measure_stripes, tmp_path)
    assert first == second
    assert first == pytest.approx(alone, rel=1e-5, abs=1e-7)
