"""Images with a given number of objects: they are there, apart, and the same on every machine."""

from typing import Any

import numpy as np
import pytest
import torch
from scipy import ndimage

from ndabench.config import parse
from ndabench.data.dots import GAP, placed
from ndabench.data.images import ImageData
from ndabench.data.registry import ImageDataConfig, load_data
from ndabench.errors import UserError


def load(**keys: Any) -> ImageData:
    return load_data(
        parse(ImageDataConfig, {"name": "dots", "num_images": 60, **keys}, "data"), torch.device("cpu")
    )


def pixels(data: ImageData) -> tuple[np.ndarray, np.ndarray]:
    [(images, labels)] = data.train.batches([torch.arange(len(data.train))])
    return images.numpy().astype(int), labels.numpy()


@pytest.mark.parametrize("objects", ["discs", "clevr"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("image_size", [32, 64])
def test_an_image_holds_as_many_objects_as_its_class_says(
    objects: str, channels: int, image_size: int
) -> None:
    keys = {"smallest": 0.06, "largest": 0.09}
    data = load(count=[0, 2, 5], objects=objects, channels=channels, image_size=image_size, **keys)
    assert data.class_names == ("0", "2", "5")
    assert data.image_shape == (channels, image_size, image_size)
    images, labels = pixels(data)
    background = images[labels == 0][0]
    assert np.bincount(labels).min() > 5
    for image, label in zip(images, labels, strict=True):
        differs = np.abs(image - background).max(0) > 40
        _, found = ndimage.label(differs, np.ones((3, 3)))
        assert found == (0, 2, 5)[label]


def test_objects_lie_apart_and_inside_at_the_highest_count_that_is_allowed() -> None:
    for seed in range(20):
        discs = placed(5, 3.0, 3.2, 32, np.random.RandomState(seed))
        for i, (x, y, radius) in enumerate(discs):
            assert min(x, y, 32 - x, 32 - y) >= radius + GAP / 2
            assert 3 <= radius <= 3.2
            assert all(np.hypot(x - u, y - v) >= radius + r + GAP for u, v, r in discs[:i])


@pytest.mark.parametrize(
    ("objects", "digest"),
    [
        ("discs", "6e3591e29bb9e2d4"),
        ("clevr", "bcb74e95a6392286"),
    ],
)
def test_the_content_is_the_same_on_every_machine(objects: str, digest: str) -> None:
    data = load(count=[3, 4], objects=objects)
    assert data.content_hash[:16] == digest
    assert load(count=[3, 4], objects=objects, seed=1).content_hash != data.content_hash
    assert data.name == ("dots 3+4" if objects == "discs" else "clevr dots 3+4")


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        ({"count": []}, "count: must not be empty"),
        ({"count": [3, 3]}, r"count: a number is listed twice in \[3, 3\]"),
        ({"count": [-1]}, "count.0: input should be greater than or equal to 0"),
        ({"count": [9]}, "at most 7 objects of a radius up to 0.1 of the side fit into 32×32; make largest"),
        ({"smallest": 0.2}, "smallest 0.2 must not be above largest 0.1"),
        ({"smallest": 0.02}, "are below one pixel; make smallest or image_size larger"),
        ({"objects": "cubes"}, "objects"),
    ],
)
def test_wrong_keys_are_one_line(keys: dict[str, Any], line: str) -> None:
    with pytest.raises(UserError, match=line) as caught:
        parse(ImageDataConfig, {"name": "dots", **keys}, "data")
    assert "\n" not in str(caught.value)
