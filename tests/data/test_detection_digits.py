"""Digits scattered on a canvas: their boxes are tight, their splits share no digit, and a seed fixes them."""

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from ndabench.config import parse
from ndabench.data.detection.scattered_digits import FULL_COVER, _digits, enlarged
from ndabench.data.detection.scenes import DetectionData
from ndabench.data.registry import SceneDataConfig, load_data, of_modality
from ndabench.errors import UserError

SMALL = {"num_train": 30, "num_validation": 10, "num_test": 20}


def load(**keys: Any) -> DetectionData:
    config = parse(SceneDataConfig, {"name": "scattered_digits", **SMALL, **keys}, "data")
    return load_data(config, torch.device("cpu"))


def test_shapes_and_ranges() -> None:
    data = load(canvas_size=64, max_objects=3)
    assert data.class_names == tuple("0123456789")
    assert (len(data.train), len(data.validation), len(data.test)) == (30, 10, 20)
    for split in (data.train, data.validation, data.test):
        for row in range(len(split)):
            scene = split[row]
            assert scene.image.shape == (3, 64, 64)
            assert scene.image.dtype == torch.uint8
            assert 1 <= len(scene.boxes) <= 3
            assert scene.boxes.shape == (len(scene.labels), 4)
            assert (scene.boxes.dtype, scene.labels.dtype) == (torch.float32, torch.int64)
            assert not scene.difficult.any()
            sides = scene.boxes[:, 2:] - scene.boxes[:, :2]
            assert scene.boxes.min() >= 0
            assert scene.boxes.max() <= 64
            assert sides.min() >= 3
            assert sides.max() <= 24


def test_boxes_hardly_overlap() -> None:
    for one in load(max_objects=10, canvas_size=48).train.objects:
        for row, (x1, y1, x2, y2) in enumerate(one.boxes.tolist()):
            for a1, b1, a2, b2 in one.boxes[:row].tolist():
                shared = max(min(x2, a2) - max(x1, a1), 0) * max(min(y2, b2) - max(y1, b1), 0)
                assert shared <= 0.1 * min((x2 - x1) * (y2 - y1), (a2 - a1) * (b2 - b1))


@pytest.mark.parametrize("side", [8, 9, 18, 36, 100])
def test_enlarged_digits_are_bilinear_and_tight(side: int) -> None:
    for digit in load_digits().images[:40].astype(np.int64):
        smooth = torch.nn.functional.interpolate(
            torch.from_numpy(digit)[None, None].double() / 16, size=(side, side), mode="bilinear"
        )[0, 0]
        inked = smooth >= 0.25 - 1e-9
        rows, columns = inked.any(1).nonzero(), inked.any(0).nonzero()
        tight = smooth[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        np.testing.assert_allclose(enlarged(digit, side) / FULL_COVER, tight, atol=1 / FULL_COVER)


def test_digits_of_the_splits_are_disjoint_and_complete() -> None:
    pools = _digits()
    assert sum(len(pool.labels) for pool in pools) == 1797
    pixels = [pool.images.reshape(-1, 64) for pool in pools]
    whole = load_digits().data.astype(np.int64)
    assert np.array_equal(np.unique(np.concatenate(pixels), axis=0), np.unique(whole, axis=0))
    assert [np.bincount(pool.labels).min() > 10 for pool in pools] == [True] * 3


def test_a_seed_fixes_the_data_everywhere() -> None:
    data = load()
    assert data.content_hash == load().content_hash
    assert data.content_hash != load(seed=1).content_hash
    # The same on every machine and with every version: whoever changes this changes all earlier results.
    assert data.content_hash[:16] == "f1d52e4111af3a6a"


def test_splits_do_not_depend_on_each_others_size() -> None:
    assert load(num_train=5).test[3].image.equal(load().test[3].image)
    assert load(num_train=5).train[3].image.equal(load().train[3].image)


def test_the_ink_stands_out() -> None:
    """Each box, tight as it is, differs from the canvas just around it."""
    for row, one in enumerate((split := load().train).objects):
        image = split[row].image.float().mean(0)
        background = image.median()
        for x1, y1, x2, y2 in one.boxes.int().tolist():
            assert (image[y1:y2, x1:x2] - background).abs().max() > 40


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"canvas_size": 20}, "canvas_size: input should be greater than or equal to 48"),
        ({"num_test": 0}, "num_test: input should be greater than or equal to 1"),
        ({"colour": 3}, "unknown key 'colour'"),
    ],
)
def test_impossible_keys(keys: dict[str, Any], expected: str) -> None:
    with pytest.raises(UserError) as caught:
        load(**keys)
    assert expected in str(caught.value)


def test_every_set_is_known_by_its_name() -> None:
    for name, entry in of_modality("detection").items():
        assert entry.config.model_fields["name"].default == name
    with pytest.raises(UserError, match="did you mean 'voc'"):
        parse(SceneDataConfig, {"name": "vox", "path": "x"}, "data")
