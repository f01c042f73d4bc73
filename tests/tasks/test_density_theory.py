"""The optima of docs/theory.md, found numerically on a few cells."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
import torch
from scipy.optimize import linprog, minimize
from torch import Tensor

from ndabench.data.points.negatives import between, right_half
from ndabench.losses.f_divergences import F_DIVERGENCES
from tests.tasks.density_toys import toy_points

Masses = npt.NDArray[np.float64]
P = np.array([0.1, 0.2, 0.3, 0.4, 0.0, 0.0])
OUTSIDE = np.array([0.0, 0.0, 0.0, 0.0, 0.7, 0.3])
STRICTLY_CONVEX = ["kl", "pearson", "squared_hellinger", "jensen_shannon"]


def divergence(f: Callable[[Tensor], Tensor], q: Masses, p: Masses = P) -> float:
    """Σ q·f(p/q), with limits where a mass is 0."""
    ratio = torch.from_numpy(np.maximum(p, 1e-12) / np.maximum(q, 1e-12))
    return float((torch.from_numpy(np.maximum(q, 1e-12)) * f(ratio)).sum())


def optimum(f: Callable[[Tensor], Tensor], negatives: Masses, lambda_: float, start: Masses) -> Masses:
    """The p_G that minimises D_f(p ‖ λ·p_G + (1 − λ)·P̄) over the simplex."""
    found = minimize(
        lambda p_g: divergence(f, lambda_ * p_g + (1 - lambda_) * negatives),
        start,
        method="SLSQP",
        bounds=[(0, 1)] * len(start),
        constraints={"type": "eq", "fun": lambda p_g: p_g.sum() - 1},
        options={"maxiter": 2000, "ftol": 1e-13},
    )
    solution: Masses = found.x
    return solution


@pytest.mark.parametrize("lambda_", [0.1, 0.25, 0.5, 1.0])
@pytest.mark.parametrize("name", STRICTLY_CONVEX)
def test_disjoint_negatives_leave_the_optimum_at_the_data(name: str, lambda_: float) -> None:
    f = F_DIVERGENCES[name].f
    start = np.full(6, 1 / 6)
    found = optimum(f, OUTSIDE, lambda_, start)
    np.testing.assert_allclose(found, P, atol=5e-3)
    minimum = lambda_ * float(f(torch.tensor(1 / lambda_).double()))
    minimum += (1 - lambda_) * float(f(torch.tensor(1e-12).double()))
    assert divergence(f, lambda_ * P + (1 - lambda_) * OUTSIDE) == pytest.approx(minimum, abs=1e-5)
    assert divergence(f, lambda_ * found + (1 - lambda_) * OUTSIDE) == pytest.approx(minimum, abs=1e-4)


def test_with_the_total_variation_a_generator_that_drops_modes_is_as_good() -> None:
    """And the best discriminator of the hinge loss leaves 2 − 2·TV."""

    def hinge(q: Masses) -> float:
        """Σ min over D of p·relu(1 − D) + q·relu(1 + D): piecewise linear, so D = ±1."""
        return float(np.minimum(2 * p, 2 * q).sum())

    p, lambda_ = P, 0.25
    quarter = np.array([0.0, 0.0, 0.0, 1.0, 0.0, 0.0])  # all in the mode of 0.4, which has room for 1/4
    values = []
    for p_g in (P, quarter, np.array([0.1, 0.3, 0.2, 0.3, 0.1, 0.0])):
        q = lambda_ * p_g + (1 - lambda_) * OUTSIDE
        tv = divergence(lambda u: (u - 1).abs() / 2, q)
        assert hinge(q) == pytest.approx(2 - 2 * tv, abs=1e-9)
        values.append(tv)
    assert values[0] == pytest.approx(values[1], abs=1e-9)
    assert values[2] > values[0] + 0.01, "mass outside the support still costs"
    plain = [divergence(lambda u: (u - 1).abs() / 2, p_g) for p_g in (P, quarter)]
    assert plain[1] > plain[0] + 0.1, "without negatives only the data are optimal"


def test_with_the_reverse_kl_divergence_nothing_is_left_to_minimise() -> None:
    """Every generator has the same infinite divergence: it grows without bound as the data's density outside
    goes to 0, and equally for all."""
    f = F_DIVERGENCES["reverse_kl"].f
    found = []
    for floor in (1e-6, 1e-9, 1e-12):
        p = np.maximum(P, floor)
        generators = (P, np.array([1.0, 0, 0, 0, 0, 0]))
        found.append([divergence(f, 0.25 * g + 0.75 * OUTSIDE, p) for g in generators])
    growth = np.diff(np.array(found), axis=0)
    np.testing.assert_allclose(growth, 0.75 * 3 * np.log(10), rtol=1e-3)


@pytest.mark.parametrize("overlap", [0.1, 0.2, 0.3])
def test_overlapping_negatives_move_the_optimum_in_proportion(overlap: float) -> None:
    """On the modes of `ring` and with the masses of `between`: off by 1.5·overlap, or not at all where the
    overlap is proportional to the data."""
    data = toy_points()
    f = F_DIVERGENCES["jensen_shannon"].f
    right = right_half(data).numpy()
    p = np.array([1.0, 1.0, 0.0]) / 2  # left, right, outside
    assert right.mean() == 0.5
    for part, expected in (("half", 1.5 * overlap), ("all", 0.0)):
        made = between(data, overlap, part).distribution  # type: ignore[arg-type]  # a loop over the words
        inside = data.distribution.inside(made.centers).numpy()
        on_the_right = inside & (made.centers[:, 0] > 0).numpy()
        masses = [made.weights.numpy()[chosen].sum() for chosen in (inside & ~on_the_right, on_the_right)]
        negatives = np.array([*masses, 1 - sum(masses)])
        found = minimize(
            lambda p_g, negatives=negatives: divergence(f, 0.25 * p_g + 0.75 * negatives, p),
            np.full(3, 1 / 3),
            method="SLSQP",
            bounds=[(0, 1)] * 3,
            constraints={"type": "eq", "fun": lambda p_g: p_g.sum() - 1},
            options={"ftol": 1e-13},
        ).x
        assert np.abs(found - p).sum() / 2 == pytest.approx(expected, abs=5e-3), part


def test_the_wasserstein_distance_has_another_optimum() -> None:
    """p uniform on {0, 1}, P̄ on 2, λ = 1/2: a linear program over p_G and the transport plan together."""
    places = np.array([0.0, 1.0, 2.0])
    cost = np.abs(places[:, None] - places[None]).ravel()  # plan[from fake, to real]
    rows = []
    for fake in range(3):  # Σ_to plan − λ·p_G = (1 − λ)·P̄
        plan = np.zeros((3, 3))
        plan[fake] = 1
        rows.append(np.concatenate([plan.ravel(), -0.5 * np.eye(3)[fake]]))
    for real in range(3):
        plan = np.zeros((3, 3))
        plan[:, real] = 1
        rows.append(np.concatenate([plan.ravel(), np.zeros(3)]))
    rows.append(np.concatenate([np.zeros(9), np.ones(3)]))
    right = [0, 0, 0.5, 0.5, 0.5, 0, 1]
    found = linprog(np.concatenate([cost, np.zeros(3)]), A_eq=np.array(rows), b_eq=right)
    np.testing.assert_allclose(found.x[9:], [1, 0, 0], atol=1e-9)
