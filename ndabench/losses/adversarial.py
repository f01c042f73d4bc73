"""Adversarial losses with the λ-mixture of negative data augmentation.

NDA-GAN (Sinha et al., ICLR 2021, arXiv 2102.05113) trains

    min_G max_D  L_JS(λ·G + (1 − λ)·P̄, D)

where P̄ is the distribution of negatives T(x): the discriminator treats a negative as another fake, and the
two kinds of fakes share the weight that a plain GAN gives to its generated images. The generator's loss knows
neither λ nor P̄.

    >>> import torch
    >>> real, fake, negative = torch.tensor([0.5, 2.0]), torch.tensor([-2.0, 0.0]), torch.tensor([1.0, -1.0])
    >>> hinge().discriminator(real, fake, negative, lambda_=0.25)  # 0.25 + 0.25 · 0.5 + 0.75 · 1
    tensor(1.1250)
    >>> hinge().generator(fake)
    tensor(1.)
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class AdversarialLoss:
    """The losses of discriminator and generator, defined by the cost of one logit, `[N] -> [N]`."""

    real_cost: Callable[[Tensor], Tensor]
    """The discriminator's cost of the logit of a real image."""
    fake_cost: Callable[[Tensor], Tensor]
    """The discriminator's cost of the logit of a fake, generated or negative."""
    generator_cost: Callable[[Tensor], Tensor]
    """The generator's cost of the logit of an image that it made."""
    gradient_penalty: float = 0.0
    """Weight of `gradient_penalties.wasserstein_penalty`, which the caller adds to the loss of D."""
    ratio: Callable[[Tensor], Tensor] | None = None
    """Maps the logit of the optimal discriminator to the ratio of densities p/(λ·p_G + (1 − λ)·P̄); None where
    its logit does not determine the ratio."""

    def discriminator(self, real: Tensor, fake: Tensor, negative: Tensor | None, lambda_: float) -> Tensor:
        """E[real_cost(real)] + λ·E[fake_cost(fake)] + (1 − λ)·E[fake_cost(negative)].

        `real`, `fake` and `negative` are logits `[N]`; λ lies in (0, 1]. Without negatives λ must be 1, and
        the loss is the plain GAN's to the bit.
        """
        loss = self.real_cost(real).mean() + lambda_ * self.fake_cost(fake).mean()
        if negative is None:
            assert lambda_ == 1, "without negatives there is nothing for the fakes to share their weight with"
            return loss
        return loss + (1 - lambda_) * self.fake_cost(negative).mean()

    def generator(self, fake: Tensor) -> Tensor:
        """The generator's loss for the logits `[N]` of its images, a scalar."""
        return self.generator_cost(fake).mean()


def hinge() -> AdversarialLoss:
    """The hinge loss (Lim and Ye, arXiv 1705.02894), with which the paper trains."""
    return AdversarialLoss(
        real_cost=lambda logit: F.relu(1 - logit),
        fake_cost=lambda logit: F.relu(1 + logit),
        generator_cost=lambda logit: -logit,
    )


def non_saturating() -> AdversarialLoss:
    """The cross-entropy with the generator's non-saturating form (Goodfellow et al., arXiv 1406.2661)."""
    return AdversarialLoss(
        real_cost=lambda logit: F.softplus(-logit),
        fake_cost=F.softplus,
        generator_cost=lambda logit: F.softplus(-logit),
        ratio=lambda logit: logit.exp(),
    )


def saturating() -> AdversarialLoss:
    """The cross-entropy as a game of zero sum: the generator minimises what the discriminator maximises."""
    return replace(non_saturating(), generator_cost=lambda logit: -F.softplus(logit))


def wasserstein_gp(*, gradient_penalty: float) -> AdversarialLoss:
    """The critic's loss (Arjovsky et al., arXiv 1701.07875) with a penalty on its gradient (Gulrajani et al.,
    arXiv 1704.00028)."""
    return AdversarialLoss(
        real_cost=lambda logit: -logit,
        fake_cost=lambda logit: logit,
        generator_cost=lambda logit: -logit,
        gradient_penalty=gradient_penalty,
    )
