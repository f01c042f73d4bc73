"""The contract of every negative for points, on every set of points."""

import math

import pytest
import torch

from ndabench.augmentations.registry import having
from ndabench.augmentations.specification import NegativeSpec, build_redrawn
from ndabench.config import Config, parse
from ndabench.data.points.load import PointData
from ndabench.data.points.negatives import PointNegative, right_half
from ndabench.data.registry import DataConfig, load_data, of_modality
from ndabench.errors import UserError
from tests.tasks.density_toys import toy_points

NAMES = having("points")
every_set = pytest.mark.parametrize("data_name", list(of_modality("points")))
every_negative = pytest.mark.parametrize("name", NAMES)


class Arm(Config):
    negative: NegativeSpec


def negative(data: PointData, form: object) -> PointNegative:
    built = build_redrawn(parse(Arm, {"negative": form}, "arm").negative, "points", data)
    assert isinstance(built, PointNegative)
    return built


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@every_set
@every_negative
def test_shape_type_and_input_are_kept_and_a_seed_fixes_the_output(name: str, data_name: str) -> None:
    data = toy_points(data_name)
    batch, state = data.train.points[:64], torch.get_rng_state()
    before, made = batch.clone(), negative(data, name)
    output = made(batch, generator=seeded())
    assert (output.shape, output.dtype) == (batch.shape, batch.dtype)
    assert torch.equal(batch, before)
    assert output.isfinite().all()
    assert torch.equal(output, made(batch, generator=seeded()))
    assert not torch.equal(output, made(batch, generator=seeded(1)))
    assert torch.equal(torch.get_rng_state(), state)


@every_set
@every_negative
def test_without_overlap_no_disk_of_a_negative_touches_the_data(name: str, data_name: str) -> None:
    data = toy_points(data_name)
    outside = negative(data, name).distribution
    gaps = torch.cdist(outside.centers, data.distribution.centers) - outside.radii[:, None]
    assert float((gaps - data.distribution.radii).min()) > 0
    assert float(outside.weights.sum()) == pytest.approx(1)
    output = negative(data, name)(data.train.points, generator=seeded())
    assert not data.distribution.inside(output).any()
    assert (outside.density(output) > 0).double().mean() > 0.999


@every_set
@every_negative
@pytest.mark.parametrize("part", ["half", "all"])
def test_the_overlap_is_the_share_of_negatives_in_the_support(name: str, data_name: str, part: str) -> None:
    """Exactly by the density's weights, and on a sample within five standard errors."""
    data = toy_points(data_name)
    made = negative(data, {"name": name, "overlap": 0.3, "overlap_with": part})
    in_support = data.distribution.inside(made.distribution.centers)
    assert float(made.distribution.weights[in_support].sum()) == pytest.approx(0.3)
    batch = torch.zeros(4000, 2)
    inside = data.distribution.inside(made(batch, generator=seeded()))
    assert abs(float(inside.double().mean()) - 0.3) < 5 * math.sqrt(0.3 * 0.7 / 4000)
    if part == "half":
        overlapping = made(batch, generator=seeded())[inside]
        half = data.distribution.restricted(right_half(data))
        assert half.inside(overlapping).double().mean() > 0.999
        assert 0.3 < float(right_half(data).double().mean()) < 0.6


def test_what_does_not_fit_is_one_line() -> None:
    crowded = load_data(
        parse(DataConfig, {"name": "grid", "side": 9, "std": 0.1}, "data"), torch.device("cpu")
    )
    assert isinstance(crowded, PointData)
    with pytest.raises(UserError, match="between: no negative fits outside grid; make its std smaller"):
        negative(crowded, "between")


@pytest.mark.parametrize(
    ("form", "line"),
    [
        ({"name": "between", "overlap": 1.5}, r"between: overlap must lie in \[0, 1\], got 1\.5"),
        ({"name": "hole", "overlap_with": "most"}, "hole: overlap_with must be half or all, got 'most'"),
        ({"name": "around", "variant": "released"}, "around: the released code has no such rule"),
        ({"chain": ["between", "hole"]}, "chain: hole replaces what comes before it; put it first"),
    ],
)
def test_a_wrong_form_is_one_line(form: object, line: str) -> None:
    with pytest.raises(UserError, match=line):
        parse(Arm, {"negative": form}, "arm")


def test_negatives_of_one_modality_are_refused_for_another() -> None:
    data = toy_points()
    with pytest.raises(
        UserError, match=r"jigsaw: is for images and clips only \(for points: around, between, "
    ):
        negative(data, "jigsaw")
    spec = parse(Arm, {"negative": "between"}, "arm").negative
    with pytest.raises(UserError, match=r"between: is for points only \(for images: cutmix, "):
        spec.build("corrected")
    with pytest.raises(UserError, match=r"between: is for points only \(for clips: "):
        spec.build("clips")
