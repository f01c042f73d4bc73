"""What every pair of adversarial losses keeps to, the toy of `examples/plugin` included.

Each is compared with a formula in float64; its gradients must have the right direction, and λ may change
nothing but the weights of the two kinds of fakes.
"""

import math
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import pytest
import torch
from torch import Tensor

from ndabench.losses.adversarial import AdversarialLoss, hinge, non_saturating
from ndabench.registry import load
from ndabench.tasks.gan.config import GanConfig
from ndabench.tasks.gan.losses import ADVERSARIAL_LOSSES
from tests.registrations import toy_registered

Cost = Callable[[float], float]


def _softplus(value: float) -> float:
    return math.log1p(math.exp(-abs(value))) + max(value, 0.0)


FORMULAS: Mapping[str, tuple[Cost, Cost, Cost]] = {
    "hinge": (lambda v: max(0.0, 1 - v), lambda v: max(0.0, 1 + v), lambda v: -v),
    "wasserstein_gp": (lambda v: -v, lambda v: v, lambda v: -v),
    "non_saturating": (lambda v: _softplus(-v), _softplus, lambda v: _softplus(-v)),
    "toy_least_squares": (lambda v: (v - 1) ** 2, lambda v: (v + 1) ** 2, lambda v: (v - 1) ** 2),
}
"""The costs of a logit: of a real image, of a fake, and of a fake for the generator."""
every_loss = pytest.mark.parametrize("name", FORMULAS)


@pytest.fixture(scope="module", autouse=True)
def toy_is_registered() -> Iterator[None]:
    with toy_registered():
        yield


def loss_of(name: str) -> AdversarialLoss:
    entry = ADVERSARIAL_LOSSES[name]
    loss: AdversarialLoss = load(entry.build)(**entry.config(name=name).model_dump(exclude={"name"}))
    return loss


def logits(seed: int, count: int = 7) -> Tensor:
    return 2 * torch.randn(count, generator=torch.Generator().manual_seed(seed))


def test_the_suite_runs_over_every_loss_of_ours_and_the_toy() -> None:
    assert set(ADVERSARIAL_LOSSES) == set(FORMULAS)


@every_loss
@pytest.mark.parametrize("lambda_", [0.25, 0.5, 1.0])
def test_it_equals_a_formula_in_float64(name: str, lambda_: float) -> None:
    real, fake, negative = logits(0), logits(1, 5), logits(2, 9)
    as_real, as_fake, generator_cost = FORMULAS[name]

    def mean(cost: Cost, values: Tensor) -> float:
        return float(np.mean([cost(value) for value in values.double().tolist()]))

    expected = mean(as_real, real) + lambda_ * mean(as_fake, fake) + (1 - lambda_) * mean(as_fake, negative)
    loss = loss_of(name)
    assert loss.discriminator(real, fake, negative, lambda_).item() == pytest.approx(expected, rel=1e-6)
    assert loss.generator(fake).item() == pytest.approx(mean(generator_cost, fake), rel=1e-6)


@every_loss
def test_gradients_part_real_from_fake_and_let_the_generator_fool(name: str) -> None:
    """Around a logit of 0 the discriminator raises those of real images and lowers all others; the generator
    raises those of its own."""
    real, fake, negative = (logits(seed).mul(0.2).requires_grad_() for seed in (0, 1, 2))
    loss = loss_of(name)
    towards_real, towards_fake, of_negative = torch.autograd.grad(
        loss.discriminator(real, fake, negative, 0.25), [real, fake, negative]
    )
    assert (towards_real < 0).all()
    assert (towards_fake > 0).all()
    assert (of_negative > 0).all()
    (of_generator,) = torch.autograd.grad(loss.generator(fake), fake)
    assert (of_generator < 0).all()


@every_loss
def test_a_right_discriminator_has_a_lower_loss_than_a_wrong_one(name: str) -> None:
    loss, high, low = loss_of(name), torch.full((3,), 1.0), torch.full((3,), -1.0)
    assert loss.discriminator(high, low, low, 0.5) < loss.discriminator(low, high, low, 0.5)
    assert loss.discriminator(high, low, low, 0.5) < loss.discriminator(high, low, high, 0.5)
    assert loss.generator(high) < loss.generator(low)


@every_loss
def test_lambda_one_is_the_plain_gan_to_the_bit(name: str) -> None:
    loss, real, fake = loss_of(name), logits(0), logits(1)
    plain = loss.real_cost(real).mean() + loss.fake_cost(fake).mean()
    assert torch.equal(loss.discriminator(real, fake, None, 1.0), plain)
    assert torch.equal(loss.discriminator(real, fake, logits(2), 1.0), plain)


@every_loss
def test_the_weights_of_fakes_and_negatives_sum_to_one(name: str) -> None:
    """Negatives like the fakes change nothing; the gradients of both share the plain one's size by λ."""
    loss, real = loss_of(name), logits(0)
    fake, negative, alone = (logits(1).requires_grad_() for _ in range(3))
    mixed, plain = loss.discriminator(real, fake, negative, 0.25), loss.discriminator(real, alone, None, 1.0)
    torch.testing.assert_close(mixed, plain)
    of_fake, of_negative = torch.autograd.grad(mixed, [fake, negative])
    (whole,) = torch.autograd.grad(plain, alone)
    torch.testing.assert_close(of_fake, 0.25 * whole)
    torch.testing.assert_close(of_negative, 0.75 * whole)


@every_loss
def test_order_within_a_batch_does_not_matter(name: str) -> None:
    loss, real, fake, negative = loss_of(name), logits(0), logits(1), logits(2)
    turned = loss.discriminator(real.flip(0), fake.roll(2), negative.flip(0), 0.25)
    torch.testing.assert_close(turned, loss.discriminator(real, fake, negative, 0.25))


@every_loss
def test_large_logits_stay_finite(name: str) -> None:
    loss, large = loss_of(name), torch.tensor([1e4, -1e4])
    assert loss.discriminator(large, large, large, 0.5).isfinite()
    assert loss.generator(large).isfinite()


@every_loss
def test_weight_without_negatives_is_a_bug(name: str) -> None:
    with pytest.raises(AssertionError, match="nothing for the fakes"):
        loss_of(name).discriminator(logits(0), logits(1), None, 0.25)


@every_loss
def test_a_sweep_file_names_it_and_its_keys(name: str) -> None:
    """A bare name stays one where it is dumped, since trials are named by a hash of what is dumped."""
    read = GanConfig.model_validate({"losses": name})
    assert isinstance(read.losses, ADVERSARIAL_LOSSES[name].config)
    dumped = read.model_dump(mode="json")["losses"]
    keys = {"wasserstein_gp": {"gradient_penalty": 10.0}, "toy_least_squares": {"target": 1.0}}
    assert dumped == ({"name": name, **keys[name]} if name in keys else name)
    assert GanConfig.model_validate({"losses": dumped}) == read


def test_the_non_saturating_loss_is_the_cross_entropy() -> None:
    real, fake = logits(0), logits(1)
    entropy = torch.nn.functional.binary_cross_entropy_with_logits
    expected = entropy(real, torch.ones_like(real)) + entropy(fake, torch.zeros_like(fake))
    torch.testing.assert_close(non_saturating().discriminator(real, fake, None, 1.0), expected)
    torch.testing.assert_close(non_saturating().generator(fake), entropy(fake, torch.ones_like(fake)))


def test_the_hinge_gives_no_gradient_beyond_the_margin() -> None:
    real = torch.tensor([2.0, 0.0], requires_grad=True)
    hinge().discriminator(real, torch.tensor([-2.0]), None, 1.0).backward()
    assert real.grad is not None
    assert real.grad.tolist() == [0.0, -0.5]
