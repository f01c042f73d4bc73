"""The real CIFAR-10, where it is at hand."""

import os
from pathlib import Path

import pytest
import torch

from ndabench.config import parse
from ndabench.data.images import to_float
from ndabench.data.load import load_images
from ndabench.data.registry import ImageDataConfig
from ndabench.data.sampling import in_order

FOLDER = Path(os.environ.get("NDABENCH_DATA") or "unset") / "cifar10"


@pytest.mark.release  # other Parquet sets are read in every run
@pytest.mark.skipif(not FOLDER.is_dir(), reason="NDABENCH_DATA does not point at a folder with cifar10 in it")
def test_cifar10_from_hub_parquet() -> None:
    config = parse(ImageDataConfig, {"name": "image_parquet", "path": FOLDER}, "data")
    data = load_images(config, device=torch.device("cpu"))
    assert data.image_shape == (3, 32, 32)
    assert data.class_names[0] == "airplane"
    assert (len(data.train), len(data.validation), len(data.test)) == (45000, 5000, 10000)
    assert data.train.labels.bincount().tolist() == [4500] * 10
    assert data.validation.labels.bincount().tolist() == [500] * 10
    means = [to_float(images).mean((0, 2, 3)) for images, _ in data.train.batches(in_order(45000, 500))]
    published = torch.tensor([0.4914, 0.4822, 0.4465]) * 2 - 1
    assert torch.allclose(torch.stack(means).mean(0), published, atol=0.01)
