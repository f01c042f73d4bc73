"""Which input size the offline ImageNet extractor should have: what each costs, and how far it agrees.

    python benchmarks/extractor_size.py --path $NDABENCH_DATA/cifar10/test-00000-of-00001.parquet [--num 200]

The Fréchet distances of test images of CIFAR-10, damaged in six ways and strengths, to others that are not
damaged. A size agrees with the network's own, 224 pixels, where it puts the damages into the same order.
"""

import io
import platform
import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy
import pyarrow.parquet as pq
import torch
import torch.nn.functional as F
import typer
from PIL import Image
from scipy.stats import pearsonr, spearmanr
from torch import Tensor

from ndabench.metrics.generators.efficientnet_lite0 import (
    PREPROCESSING,
    EfficientNetLite0,
    weights_path,
)
from ndabench.metrics.generators.frechet import FrechetReference, frechet_distance_of_features, moments_of

SIZES = (96, 128, 160, 224)


def damaged(images: Tensor) -> dict[str, Tensor]:
    """uint8 `[N, 3, 32, 32]`, by what was done to them."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(images.shape, generator=generator)
    halves = images.unflatten(2, (2, 16)).flip(2).flatten(2, 3)

    def blurred(factor: int) -> Tensor:
        small = F.avg_pool2d(images.float(), factor)
        return F.interpolate(small, scale_factor=factor, mode="bilinear").round().to(torch.uint8)

    return {
        "none": images,
        "noise 8": (images + 8 * noise).round().clamp(0, 255).to(torch.uint8),
        "noise 24": (images + 24 * noise).round().clamp(0, 255).to(torch.uint8),
        "blur 2": blurred(2),
        "blur 4": blurred(4),
        "halves swapped": halves,
        "half of the images repeated": images[: len(images) // 2].repeat(2, 1, 1, 1),
    }


def main(
    path: Annotated[Path, typer.Option(help="Parquet file of CIFAR-10's test images")],
    num: Annotated[int, typer.Option(help="images in each set", min=2)] = 200,
) -> None:
    """Prints milliseconds an image, the distances, and both correlations with 224 pixels."""
    table = pq.read_table(path, columns=["img"]).slice(0, 2 * num)
    pictures = [Image.open(io.BytesIO(row["bytes"])) for row in table["img"].to_pylist()]
    both = torch.stack([torch.tensor(numpy.asarray(one)).permute(2, 0, 1) for one in pictures])
    images, others = both.split(num)
    network = EfficientNetLite0().eval().to(memory_format=torch.channels_last)
    network.load_state_dict(torch.load(weights_path(), weights_only=True))
    print(f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}, n = {num}")
    distances: dict[int, list[float]] = {}
    milliseconds: dict[int, float] = {}
    sets = damaged(images)
    for size in SIZES:
        seen = replace(PREPROCESSING, size=size)

        @torch.no_grad()
        def features(images: Tensor, seen=seen) -> Tensor:  # type: ignore[no-untyped-def]
            return torch.cat([network(seen(chunk))[0] for chunk in images.split(32)])

        reference = FrechetReference.of(moments_of(features(others)).gaussian())
        start = time.perf_counter()
        found = [features(one) for one in sets.values()]
        milliseconds[size] = (time.perf_counter() - start) / (num * len(sets)) * 1e3
        distances[size] = [frechet_distance_of_features(reference, one) for one in found]
        print(size, f"{milliseconds[size]:.1f} ms", [f"{one:.1f}" for one in distances[size]], flush=True)
    print(list(sets))
    for size in SIZES:
        rank = spearmanr(distances[size], distances[SIZES[-1]]).statistic
        linear = pearsonr(distances[size], distances[SIZES[-1]]).statistic
        print(size, f"ranks {rank:.3f}, values {linear:.3f}")


if __name__ == "__main__":
    typer.run(main)
