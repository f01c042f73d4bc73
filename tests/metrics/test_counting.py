"""Counting objects: the exact counter against a flood fill, what is no object, both counters' shares."""

import json
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ndabench.config import parse
from ndabench.data.images import ImageData
from ndabench.data.registry import ImageDataConfig, load_data
from ndabench.data.source import Pixels
from ndabench.errors import UserError
from ndabench.metrics.counting import measuring
from ndabench.metrics.counting.blobs import DIFFERENT, BlobCounter, Counts, blobs_of
from ndabench.metrics.counting.measuring import fit_counter, wrong_shares
from ndabench.metrics.evaluating import evaluate, prepare
from ndabench.metrics.generators.extraction import Extractor
from ndabench.metrics.generators.subject import GeneratorSubject
from ndabench.metrics.registry import EvaluationConfig
from ndabench.metrics.results import Evaluated, merge
from ndabench.metrics.subjects import Preparation
from tests.metrics.toy_generator import ToySampler

CPU = torch.device("cpu")
SMALL = {"name": "dots", "num_images": 150, "image_size": 24, "smallest": 0.1, "largest": 0.13}


def dots(**keys: Any) -> ImageData:
    return load_data(parse(ImageDataConfig, {**SMALL, **keys}, "data"), CPU)


def drawn(count: int, seed: int = 5) -> Tensor:
    """Images with `count` objects, none of which is a training image."""
    data = dots(count=[count], seed=seed)
    [(images, _)] = data.train.batches([torch.arange(len(data.train))])
    return images


def flood_filled(image: Pixels) -> list[set[tuple[int, int]]]:
    """The patches of an image `[C, H, W]` on black, found pixel by pixel."""
    left = {(int(y), int(x)) for y, x in np.argwhere(image.max(0) >= DIFFERENT)}
    found = []
    while left:
        patch, edge = set(), {left.pop()}
        while edge:
            y, x = edge.pop()
            patch.add((y, x))
            near = {(y + i, x + j) for i in (-1, 0, 1) for j in (-1, 0, 1)} & left
            left -= near
            edge |= near
        found.append(patch)
    return found


def test_patches_are_those_of_a_flood_fill() -> None:
    random = np.random.default_rng(0)
    images = (random.random((20, 3, 9, 11)) < 0.08).astype(np.uint8) * 200
    blobs = blobs_of(images, np.zeros((3, 9, 11), np.uint8))
    for number, image in enumerate(images):
        own = blobs.image == number
        expected = []
        for patch in flood_filled(image):
            rows, columns = ({place[axis] for place in patch} for axis in (0, 1))
            sides = [max(one) - min(one) + 1 for one in (rows, columns)]
            expected.append((len(patch), max(sides) / min(sides), len(patch) / (sides[0] * sides[1])))
        found = np.stack([blobs.area[own], blobs.elongation[own], blobs.fullness[own]], 1).tolist()
        assert sorted(map(tuple, found)) == sorted(expected)


def test_images_without_a_patch_hold_nothing() -> None:
    counter = BlobCounter.fit(drawn(2).numpy())
    counts = counter.count(np.zeros((3, 3, 24, 24), np.uint8))
    assert counts.objects.tolist() == [0, 0, 0]
    assert not counts.unclear.any()


@pytest.mark.parametrize("objects", ["discs", "clevr"])
def test_every_real_image_is_counted_right(objects: str) -> None:
    data = dots(count=[1, 2, 3], objects=objects, image_size=32)
    [(images, labels)] = data.test.batches([torch.arange(len(data.test))])
    counts = fit_counter(data).count(images.numpy())
    assert counts.objects.tolist() == (labels + 1).tolist()
    assert not counts.unclear.any()


def test_what_is_no_object_makes_an_image_unclear() -> None:
    counter = BlobCounter.fit(drawn(2).numpy())
    y, x = np.mgrid[:24, :24]

    def disc(row: int, column: int, radius: float = 2.7) -> np.ndarray:
        return (y - row) ** 2 + (x - column) ** 2 <= radius**2

    cases = {
        "two": disc(6, 6) | disc(16, 16),
        "touching": disc(12, 9) | disc(12, 14),
        "a speck": disc(6, 6) | (disc(16, 16, 0.5)),
        "a stripe": disc(6, 6) | (abs(y - 18) < 1),
        "all of it": np.ones((24, 24), bool),
        "far too large": disc(12, 12, 7),
    }
    images = np.stack([np.stack([mask] * 3).astype(np.uint8) * 255 for mask in cases.values()])
    counts = counter.count(images)
    assert dict(zip(cases, counts.unclear.tolist(), strict=True)) == {name: name != "two" for name in cases}
    assert counts.objects.tolist() == [2, 0, 1, 1, 0, 0]


def test_shares_of_wrong_counts() -> None:
    counts = Counts(np.array([3, 3, 2, 4, 3]), np.array([False, True, False, False, False]))
    shares = wrong_shares(counts, np.array([3]))
    assert shares == {"count_wrong": 60.0, "count_wrong_clear": 50.0, "count_unclear": 20.0}
    assert wrong_shares(counts, np.array([2, 3, 4]))["count_wrong"] == 20
    nothing = wrong_shares(Counts(np.array([3]), np.array([True])), np.array([3]))
    assert nothing["count_wrong_clear"] == 100


def subject(images: Tensor, data: ImageData) -> GeneratorSubject:
    sampler = ToySampler(lambda count: images.repeat(1 + count // len(images), 1, 1, 1)[:count])
    return GeneratorSubject(sampler, None, data, seed=0, stream="x")


def measured(config: Any, generator: GeneratorSubject, *, test: bool = True) -> Evaluated:
    news = evaluate([config], generator, test=test)
    return merge([one for one in news if isinstance(one, Evaluated)])


def takes_some_twos_for_threes(images: Tensor) -> tuple[Tensor, Tensor]:
    """Features and logits of the numbers 1, 2, 3."""
    numbers = [len(flood_filled(image)) for image in images.numpy()]
    even = images.flatten(1).sum(1) % 2 == 0
    found = torch.tensor([3 if n == 2 and wrong else n for n, wrong in zip(numbers, even, strict=True)])
    return torch.zeros(len(images), 64), torch.nn.functional.one_hot(found - 1, 3).float()


def test_both_counters_see_wrong_numbers_and_know_their_own_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    def opened(data: ImageData, *, device: torch.device) -> Extractor:
        assert data.name == "dots 1+2+3"
        return Extractor("classifier", "0" * 64, takes_some_twos_for_threes)

    monkeypatch.setattr(measuring, "open_classifier", opened)
    data = dots(count=[2])
    counter = {**SMALL, "count": [1, 2, 3], "seed": 3}
    keys = {"name": "count", "num_samples": 90, "counter": counter}
    config = parse(EvaluationConfig, keys, "evaluate")
    prepare([config], Preparation(data, CPU))
    half_wrong = torch.cat([drawn(2)[:45], drawn(3)[:30], drawn(1)[:15]])
    found = measured(config, subject(half_wrong, data))
    values = {name: one.value for name, one in found.measurements.items()}
    names = ["count_wrong", "count_wrong_clear", "count_unclear", "count_wrong_trained"]
    assert list(values) == [prefix + name for prefix in ("val_", "") for name in names]
    assert [values[name] for name in names[:3]] == [50, 50, 0]
    protocol = found.measurements["count_wrong_trained"].protocol
    [(real, _)] = data.test.batches([torch.arange(len(data.test))])
    assert protocol["counter_error"] == 100 * float((real.flatten(1).sum(1) % 2 == 0).double().mean())
    assert 10 < protocol["counter_error"] < 90
    taken_for_three = int((half_wrong[:45].flatten(1).sum(1) % 2 == 0).sum())
    assert values["count_wrong_trained"] == pytest.approx(100 * (45 + taken_for_three) / 90)
    assert protocol["trained_on"] == "dots 1+2+3"
    assert len(protocol["trained_on_hash"]) == 64
    assert found.measurements["count_wrong"].protocol["counter_error"] == 0
    histogram = json.loads(found.artifacts["counts.json"])
    assert histogram["generated"] == {"1": 15, "2": 45, "3": 30, "unclear": 0}
    assert histogram["real"] == {"2": len(data.test), "unclear": 0}
    assert sum(histogram["trained"].values()) == 90
    assert not measured(config, subject(half_wrong, data), test=False).artifacts


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        ({"data": {"name": "shapes"}}, "the classes of shapes must be numbers of objects, .* got 'circle'"),
        ({"data": {**SMALL, "count": [0]}}, "images of dots 0 hold no object; name a count above 0"),
        (
            {"counter": {**SMALL, "channels": 1, "count": [2]}},
            "images of the counter's dots 2 are 1×24×24, those",
        ),
        ({"counter": {**SMALL, "count": [1, 3]}}, r"the counter's dots 1\+3 has no images of 2 objects"),
        ({"counter": "moving_digits"}, "counter.name: unknown name 'moving_digits'"),
    ],
)
def test_what_cannot_be_counted_is_one_line(keys: dict[str, Any], line: str) -> None:
    data = keys.pop("data", {**SMALL, "count": [2]})

    def prepared() -> None:
        config = parse(EvaluationConfig, {"name": "count", **keys}, "evaluate")
        prepare([config], Preparation(load_data(parse(ImageDataConfig, data, "data"), CPU), CPU))

    with pytest.raises(UserError, match=line) as caught:
        prepared()
    assert "\n" not in str(caught.value)
