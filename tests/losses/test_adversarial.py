"""The adversarial losses against a NumPy loop, and what λ may and may not change."""

import math

import numpy as np
import pytest
import torch

from ndabench.losses.adversarial import ADVERSARIAL_LOSSES, HINGE, NON_SATURATING


def _logits(seed: int, count: int = 7) -> torch.Tensor:
    return 2 * torch.randn(count, generator=torch.Generator().manual_seed(seed))


def _softplus(value: float) -> float:
    return math.log1p(math.exp(-abs(value))) + max(value, 0.0)


ORACLES = {
    "hinge": (lambda v: max(0.0, 1 - v), lambda v: max(0.0, 1 + v), lambda v: -v),
    "wasserstein": (lambda v: -v, lambda v: v, lambda v: -v),
    "non_saturating": (lambda v: _softplus(-v), _softplus, lambda v: _softplus(-v)),
}


@pytest.mark.parametrize("name", ADVERSARIAL_LOSSES)
@pytest.mark.parametrize("lambda_", [0.25, 0.5, 1.0])
def test_losses_agree_with_a_loop(name: str, lambda_: float) -> None:
    real, fake, negative = _logits(0), _logits(1, 5), _logits(2, 9)
    as_real, as_fake, not_fooled = ORACLES[name]

    def mean(penalty, logits):  # type: ignore[no-untyped-def]
        return float(np.mean([penalty(v) for v in logits.double().tolist()]))

    expected = mean(as_real, real) + lambda_ * mean(as_fake, fake) + (1 - lambda_) * mean(as_fake, negative)
    loss = ADVERSARIAL_LOSSES[name]
    assert loss.discriminator(real, fake, negative, lambda_).item() == pytest.approx(expected, rel=1e-6)
    assert loss.generator(fake).item() == pytest.approx(mean(not_fooled, fake), rel=1e-6)


@pytest.mark.parametrize("loss", ADVERSARIAL_LOSSES.values(), ids=ADVERSARIAL_LOSSES)
class TestMixture:
    def test_lambda_one_is_the_plain_gan_to_the_bit(self, loss) -> None:  # type: ignore[no-untyped-def]
        real, fake = _logits(0), _logits(1)
        plain = loss.taken_for_real(real).mean() + loss.taken_for_fake(fake).mean()
        assert torch.equal(loss.discriminator(real, fake, None, 1.0), plain)
        assert torch.equal(loss.discriminator(real, fake, _logits(2), 1.0), plain)

    def test_negatives_like_the_fakes_change_nothing(self, loss) -> None:  # type: ignore[no-untyped-def]
        """The weights of the two kinds of fakes sum to one."""
        real, fake = _logits(0), _logits(1)
        mixed = loss.discriminator(real, fake, fake.clone(), 0.25)
        torch.testing.assert_close(mixed, loss.discriminator(real, fake, None, 1.0))

    def test_order_within_a_batch_does_not_matter(self, loss) -> None:  # type: ignore[no-untyped-def]
        real, fake, negative = _logits(0), _logits(1), _logits(2)
        turned = loss.discriminator(real.flip(0), fake.roll(2), negative.flip(0), 0.25)
        torch.testing.assert_close(turned, loss.discriminator(real, fake, negative, 0.25))


def test_non_saturating_loss_is_the_cross_entropy() -> None:
    real, fake = _logits(0), _logits(1)
    entropy = torch.nn.functional.binary_cross_entropy_with_logits
    expected = entropy(real, torch.ones_like(real)) + entropy(fake, torch.zeros_like(fake))
    torch.testing.assert_close(NON_SATURATING.discriminator(real, fake, None, 1.0), expected)
    torch.testing.assert_close(NON_SATURATING.generator(fake), entropy(fake, torch.ones_like(fake)))


def test_hinge_gives_no_gradient_beyond_the_margin() -> None:
    real = torch.tensor([2.0, 0.0], requires_grad=True)
    HINGE.discriminator(real, torch.tensor([-2.0]), None, 1.0).backward()
    assert real.grad is not None
    assert real.grad.tolist() == [0.0, -0.5]


def test_weight_without_negatives_is_a_bug() -> None:
    with pytest.raises(AssertionError, match="nothing for the fakes"):
        HINGE.discriminator(_logits(0), _logits(1), None, 0.25)
