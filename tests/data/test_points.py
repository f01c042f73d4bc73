"""The sets of points: their density, their support and their samples belong together."""

import math

import numpy as np
import pytest
import torch

from ndabench.config import parse
from ndabench.data.points.load import PointData
from ndabench.data.registry import DataConfig, load_data, of_modality
from ndabench.data.sampling import in_order
from ndabench.errors import UserError
from ndabench.metrics.points.grid import Grid

CPU = torch.device("cpu")
every_set = pytest.mark.parametrize("name", list(of_modality("points")))


def points(name: str, **keys: object) -> PointData:
    data = load_data(parse(DataConfig, {"name": name, "num_points": 2000, **keys}, "data"), CPU)
    assert isinstance(data, PointData)
    return data


@every_set
def test_a_set_is_fixed_by_its_keys(name: str) -> None:
    first, again, other = points(name), points(name), points(name, seed=1)
    assert torch.equal(first.train.points, again.train.points)
    assert first.content_hash == again.content_hash
    assert not torch.equal(first.train.points, other.train.points)
    hashes = {
        data.content_hash for data in (first, other, points(name, std=0.02), points(name, num_points=3000))
    }
    assert len(hashes) == 4


@every_set
def test_three_splits_that_share_no_point_and_give_batches(name: str) -> None:
    data = points(name)
    splits = (data.train, data.validation, data.test)
    assert [len(split) for split in splits] == [2000, 200, 200]
    together = torch.cat([split.points for split in splits])
    assert len(together.unique(dim=0)) == 2400
    batches = list(data.test.batches(in_order(200, 80)))
    assert [len(part) for part, _ in batches] == [80, 80, 40]
    assert torch.equal(torch.cat([part for part, _ in batches]), data.test.points)
    assert torch.equal(torch.cat([labels for _, labels in batches]), data.test.labels)
    assert data.train.points.dtype == torch.float32


@every_set
def test_the_density_is_that_of_the_mixture_in_a_loop(name: str) -> None:
    data = points(name)
    own = data.distribution
    some = torch.cat([data.test.points[:20].double(), torch.rand(20, 2, dtype=torch.float64) * 3.2 - 1.6])
    kept = 1 - math.exp(-4.5)
    for point, density in zip(some.tolist(), own.density(some).tolist(), strict=True):
        expected = 0.0
        for (x, y), std, weight in zip(
            own.centers.tolist(), own.stds.tolist(), own.weights.tolist(), strict=True
        ):
            squared = ((point[0] - x) ** 2 + (point[1] - y) ** 2) / std**2
            if squared <= 9:
                expected += weight * math.exp(-squared / 2) / (2 * math.pi * std**2 * kept)
        assert density == pytest.approx(expected, rel=1e-9)
    assert torch.equal(own.density(some) > 0, own.inside(some))


@every_set
def test_samples_follow_the_density_and_stay_in_the_support(name: str) -> None:
    """Pearson's χ² of a histogram against the exact masses, over cells that expect at least five points."""
    own = points(name).distribution
    sample = own.sample(40_000, torch.Generator().manual_seed(3))
    assert own.inside(sample).double().mean() > 0.9999  # float32 may cross the edge
    grid = Grid(48)
    expected, found = grid.masses(own) * 40_000, grid.shares(sample) * 40_000
    usual = expected >= 5
    chi = float(((found - expected) ** 2 / expected)[usual].sum())
    freedom = int(usual.sum()) - 1
    assert abs(chi - freedom) < 5 * math.sqrt(2 * freedom)
    assert float(found[expected == 0].sum()) <= 4


@every_set
def test_modes_are_balanced_and_in_the_window(name: str) -> None:
    data = points(name)
    number = len(data.class_names)
    np.testing.assert_allclose(data.mode_masses, 1 / number, rtol=1e-9)
    assert set(data.modes.tolist()) == set(range(number))
    assert float(data.distribution.centers.norm(dim=1).max()) <= 1.3
    counts = data.train.modes.bincount(minlength=number)
    assert float((counts / 2000 - 1 / number).abs().max()) < 5 * math.sqrt(1 / number / 2000)


def test_the_radius_has_the_truncated_distribution() -> None:
    """P(R ≤ r) = (1 − e^{−r²/2σ²})/(1 − e^{−9/2}), by the largest difference of distribution functions."""
    own = points("ring", num_modes=2).distribution
    sample = own.sample(20_000, torch.Generator().manual_seed(0)).double()
    radius = (sample - own.centers[own.nearest(sample)]).norm(dim=1).sort().values / own.stds[0]
    exact = -torch.expm1(-(radius**2) / 2) / -math.expm1(-4.5)
    empirical = torch.arange(1, 20_001) / 20_000
    assert float((exact - empirical).abs().max()) < 1.95 / math.sqrt(20_000)


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        (
            {"name": "ring", "num_modes": 1},
            "data: num_modes: input should be greater than or equal to 2, got 1",
        ),
        ({"name": "grid", "std": 0.5}, r"data: std: input should be less than or equal to 0\.12, got 0\.5"),
        ({"name": "ring", "image_size": 8}, "data: unknown key 'image_size'"),
    ],
)
def test_a_wrong_key_is_one_line(keys: dict[str, object], line: str) -> None:
    with pytest.raises(UserError, match=line) as caught:
        parse(DataConfig, keys, "data")
    assert "\n" not in str(caught.value)
