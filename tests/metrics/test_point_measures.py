"""The evaluations of a generator of points, against loops, SciPy and generators whose values are known."""

import math
from collections.abc import Sequence
from itertools import permutations

import numpy as np
import pytest
import torch
from scipy.spatial.distance import jensenshannon
from scipy.stats import norm
from torch import Tensor, nn

from ndabench.data.points.load import PointData
from ndabench.data.points.mixture import TruncatedMixture
from ndabench.data.points.negatives import between
from ndabench.metrics.evaluation import Evaluation
from ndabench.metrics.points.config import (
    DiscriminatorDistanceConfig,
    JensenShannonConfig,
    MassOutsideConfig,
    ModeImbalanceConfig,
    ModesCoveredConfig,
    TotalVariationConfig,
    Wasserstein2Config,
)
from ndabench.metrics.points.grid import Grid, jensen_shannon, total_variation
from ndabench.metrics.points.measures import wasserstein_2
from ndabench.metrics.points.subject import PointGeneratorSubject
from ndabench.metrics.registry import EVALUATIONS, evaluations_of
from tests.metrics.measuring import evaluate_all
from tests.tasks.density_toys import toy_points


class Sampling(nn.Module):
    """A generator whose points are those of a distribution, drawn by a fixed seed from the noise's first
    value."""

    def __init__(self, distribution: TruncatedMixture) -> None:
        super().__init__()
        self.distribution = distribution

    def forward(self, noise: Tensor) -> Tensor:
        seed = int(noise[0, 0].abs() * 1e6)
        return self.distribution.sample(len(noise), torch.Generator().manual_seed(seed))


class LogRatio(nn.Module):
    """The best discriminator for p against q: log p/q, within ±30."""

    def __init__(self, p: TruncatedMixture, q: TruncatedMixture) -> None:
        super().__init__()
        self.p, self.q = p, q

    def forward(self, points: Tensor) -> Tensor:
        return (self.p.density(points).log() - self.q.density(points).log()).clamp(-30, 30).float()


class Ignorant(nn.Module):
    """Takes every point for as likely real as fake."""

    def forward(self, points: Tensor) -> Tensor:
        return points.new_zeros(len(points))


def subject(data: PointData, makes: TruncatedMixture, *, lambda_: float = 1.0) -> PointGeneratorSubject:
    negative = between(data) if lambda_ < 1 else None
    q = negative.distribution.mixed(makes, lambda_) if negative is not None else makes
    return PointGeneratorSubject(
        Sampling(makes),
        LogRatio(data.distribution, q),
        data,
        latent_dim=2,
        negative=negative,
        lambda_=lambda_,
        ratio=torch.exp,
        stream_of=lambda name: torch.Generator().manual_seed(len(name)),
    )


def values(evaluations: Sequence[Evaluation], one: PointGeneratorSubject) -> dict[str, float]:
    return {
        name: found.value for name, found in evaluate_all(evaluations, one, test=True).measurements.items()
    }


ALL = [
    MassOutsideConfig(num_samples=20_000),
    ModesCoveredConfig(num_samples=20_000),
    ModeImbalanceConfig(num_samples=20_000),
    TotalVariationConfig(num_samples=20_000),
    JensenShannonConfig(num_samples=20_000),
    Wasserstein2Config(num_samples=100),
    DiscriminatorDistanceConfig(num_samples=100_000),
]


def test_all_evaluations_of_points_are_measured_here() -> None:
    assert {one.name for one in ALL} == set(evaluations_of("point_generator"))
    assert all(EVALUATIONS[one.name].subject == "point_generator" for one in ALL)


def test_of_the_data_themselves_only_the_noise_of_samples_is_left() -> None:
    data = toy_points()
    found = values(ALL, subject(data, data.distribution))
    assert found["mass_outside"] < 1e-3
    assert found["modes_covered"] == 8
    assert found["mode_imbalance"] < 0.02
    assert found["total_variation"] < 0.08
    assert found["jensen_shannon"] < 0.01
    assert found["discriminator_distance"] < 0.05
    assert found["val_mode_imbalance"] != found["mode_imbalance"], "other points for each split"


def test_a_generator_that_drops_modes_and_misses_has_the_values_that_theory_gives() -> None:
    """It makes five of the eight modes with weight 3/4, and a quarter of its points lie between modes."""
    data = toy_points()
    five = data.distribution.restricted(torch.arange(8) < 5)
    found = values(ALL, subject(data, five.mixed(between(data).distribution, 0.25), lambda_=0.5))
    assert found["mass_outside"] == pytest.approx(0.25, abs=5 * math.sqrt(0.25 * 0.75 / 20_000))
    assert found["modes_covered"] == 5
    assert found["mode_imbalance"] == pytest.approx(3 / 8, abs=0.02)
    # ½(0.25 outside + 3 dropped modes of 1/8 + 5·|0.15 − 0.125|)
    assert found["total_variation"] == pytest.approx((0.25 + 3 / 8 + 5 * 0.025) / 2, abs=0.03)
    assert found["discriminator_distance"] < 0.05


def test_a_discriminator_that_knows_nothing_is_far_from_the_closed_form() -> None:
    """D = ½ everywhere; D* is 1/(1 + λ) = 0.8 in the data and at generated points, and 0 at the negatives."""
    data = toy_points()
    ignorant = subject(data, data.distribution, lambda_=0.25)
    ignorant.discriminator = Ignorant()
    found = values(ALL[-1:], ignorant)["discriminator_distance"]
    # half of the points are data, an eighth are generated, three eighths are negatives
    assert found == pytest.approx(0.5 * 0.3 + 0.125 * 0.3 + 0.375 * 0.5, abs=0.02)


def test_the_grid_has_the_exact_masses_of_a_gaussian() -> None:
    """Against products of normal distribution functions, for a Gaussian that is cut off far outside: one of
    standard deviation 0.1 has the mass 1 − e^{−4.5} within its disk, and the cells deep inside are exact."""
    one = TruncatedMixture(
        torch.tensor([[0.05, -0.1]], dtype=torch.float64),
        torch.tensor([0.1], dtype=torch.float64),
        torch.ones(1, dtype=torch.float64),
    )
    grid = Grid(32)
    masses = grid.masses(one)[:-1].reshape(32, 32).numpy()
    edges = np.linspace(-1.6, 1.6, 33)
    x, y = (np.diff(norm.cdf(edges, loc=center, scale=0.1)) for center in (0.05, -0.1))
    expected = np.outer(x, y) / (1 - math.exp(-4.5))
    deep = [(i, j) for i in range(15, 18) for j in range(14, 17)]  # cells within two deviations
    for cell in deep:
        assert masses[cell] == pytest.approx(expected[cell], rel=5e-3)
    assert grid.masses(one).sum() == pytest.approx(1)


def test_a_point_is_counted_in_its_cell_or_in_the_rest() -> None:
    grid = Grid(4)  # cells of side 0.8
    points = torch.tensor([[-1.59, -1.59], [-0.7, 1.5], [1.7, 0.0], [float("inf"), 0.0], [0.1, float("nan")]])
    assert grid.cells(points).tolist() == [0, 1 * 4 + 3, 16, 16, 16]
    shares = grid.shares(points)
    assert shares[16] == pytest.approx(0.6)
    assert shares.sum() == pytest.approx(1)


def test_divergences_equal_scipys() -> None:
    random = np.random.default_rng(0)
    for _ in range(5):
        p, q = random.dirichlet(np.ones(20)), random.dirichlet(np.ones(20))
        p[:5] = 0
        p /= p.sum()
        given = torch.from_numpy(p), torch.from_numpy(q)
        assert float(jensen_shannon(*given)) == pytest.approx(jensenshannon(p, q, base=2) ** 2)
        assert float(total_variation(*given)) == pytest.approx(np.abs(p - q).sum() / 2)
    apart = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
    assert float(jensen_shannon(*apart)) == 1
    assert float(total_variation(*apart)) == 1


def test_wasserstein_is_the_best_of_all_assignments() -> None:
    stream = torch.Generator().manual_seed(0)
    first, second = torch.randn(6, 2, generator=stream), torch.randn(6, 2, generator=stream)
    costs = (
        sum(float(((first[i] - second[j]) ** 2).sum()) for i, j in enumerate(order)) / 6
        for order in permutations(range(6))
    )
    assert wasserstein_2(first, second) == pytest.approx(math.sqrt(min(costs)), rel=1e-6)
    assert wasserstein_2(first, first[torch.randperm(6, generator=stream)]) == pytest.approx(0, abs=1e-9)
    assert wasserstein_2(first, first + torch.tensor([3.0, 4.0])) == pytest.approx(5, rel=1e-6)


def test_a_generator_with_nothing_inside_is_measured() -> None:
    data = toy_points()
    found = values(ALL[:6], subject(data, between(data).distribution))
    assert found["mass_outside"] == 1
    assert found["modes_covered"] == 0
    assert found["mode_imbalance"] == 1
    assert found["total_variation"] > 0.95
