"""The f-GAN losses: each is the variational form of its divergence, and of no other."""

import math

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar

from ndabench.losses.adversarial import saturating
from ndabench.losses.f_divergences import F_DIVERGENCES
from ndabench.losses.gradient_penalties import r1, wasserstein_penalty

LOGITS = torch.linspace(-3, 3, 25, dtype=torch.float64)
P = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64)
G = torch.tensor([0.4, 0.3, 0.2, 0.1], dtype=torch.float64)
NEGATIVES = torch.tensor([0.25, 0.05, 0.6, 0.1], dtype=torch.float64)
DOMAINS = {"reverse_kl": 0.0, "squared_hellinger": 1.0, "jensen_shannon": math.log(2)}
"""The upper ends of the domains of f*."""
every_divergence = pytest.mark.parametrize("name", F_DIVERGENCES)

CLOSED_FORMS = {
    "kl": lambda p, q: p * math.log(p / q),
    "reverse_kl": lambda p, q: q * math.log(q / p),
    "pearson": lambda p, q: (p - q) ** 2 / q,
    "squared_hellinger": lambda p, q: (math.sqrt(p) - math.sqrt(q)) ** 2,
    "jensen_shannon": lambda p, q: p * math.log(2 * p / (p + q)) + q * math.log(2 * q / (p + q)),
}


def test_every_divergence_has_its_closed_form() -> None:
    assert set(CLOSED_FORMS) == set(F_DIVERGENCES)


@every_divergence
def test_the_conjugate_is_the_supremum_over_u(name: str) -> None:
    """f*(t) = sup_u u·t − f(u) at t = g(v), by a numerical search over log u."""
    divergence = F_DIVERGENCES[name]
    assert (divergence.activation(LOGITS) <= DOMAINS.get(name, math.inf)).all()
    assert float(divergence.f(torch.ones(1))) == pytest.approx(0)
    for logit in LOGITS:
        t = float(divergence.activation(logit))

        def negated(log_u: float, t: float = t) -> float:
            u = torch.tensor(math.exp(log_u), dtype=torch.float64)
            return float(divergence.f(u)) - float(u) * t

        best = -minimize_scalar(negated, bounds=(-25, 25), method="bounded", options={"xatol": 1e-10}).fun
        if name == "pearson" and logit < -2:
            continue  # the supremum lies at u = 0, where the loss goes on as for all u (Nowozin's table 2)
        assert float(divergence.conjugate_of_activation(logit)) == pytest.approx(best, rel=1e-6, abs=1e-6)


@every_divergence
@pytest.mark.parametrize("lambda_", [0.25, 1.0])
def test_the_best_discriminator_reaches_the_divergence_and_no_other_more(name: str, lambda_: float) -> None:
    divergence = F_DIVERGENCES[name]
    q = lambda_ * G + (1 - lambda_) * NEGATIVES
    exact = sum(CLOSED_FORMS[name](*pair) for pair in zip(P.tolist(), q.tolist(), strict=True))
    assert float((q * divergence.f(P / q)).sum()) == pytest.approx(exact, rel=1e-9)

    def value(logits: torch.Tensor) -> torch.Tensor:
        loss = divergence.loss
        fake = loss.fake_cost(logits)
        cost = P * loss.real_cost(logits) + lambda_ * G * fake + (1 - lambda_) * NEGATIVES * fake
        return -cost.sum()

    logits = torch.zeros(4, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([logits], max_iter=500, line_search_fn="strong_wolfe")
    for _ in range(5):

        def closure() -> float:
            optimizer.zero_grad()
            loss = -value(logits)
            loss.backward()
            return float(loss.detach())

        optimizer.step(closure)
    assert float(value(logits.detach())) == pytest.approx(exact, abs=1e-7)
    torch.testing.assert_close(divergence.ratio(logits.detach()), P / q, rtol=1e-3, atol=1e-3)
    for seed in range(20):
        other = torch.randn(4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        assert float(value(other)) <= exact + 1e-12


def test_jensen_shannon_is_the_saturating_game_up_to_a_constant() -> None:
    loss = F_DIVERGENCES["jensen_shannon"].loss
    for cost in ("real_cost", "fake_cost", "generator_cost"):
        difference = getattr(loss, cost)(LOGITS) - getattr(saturating(), cost)(LOGITS)
        torch.testing.assert_close(difference, difference[:1].expand_as(difference))


def test_the_penalties_are_those_of_the_exact_gradient() -> None:
    """D(x) = a·x + ½·x'Bx has the gradient a + Bx."""
    a = np.array([0.5, -2.0])
    b = np.array([[1.0, 0.3], [0.3, 2.0]])
    points = np.random.default_rng(0).normal(size=(9, 2))
    norms = np.linalg.norm(a + points @ b, axis=1)

    def discriminate(x: torch.Tensor) -> torch.Tensor:
        return x @ torch.from_numpy(a) + (x @ torch.from_numpy(b) * x).sum(1) / 2

    given = torch.from_numpy(points)
    assert r1(discriminate, given).item() == pytest.approx((norms**2).mean() / 2)
    assert wasserstein_penalty(discriminate, given).item() == pytest.approx(((norms - 1) ** 2).mean())
