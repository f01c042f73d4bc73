"""The toy loss: least squares, whose targets are ± a number."""

from ndabench.losses.adversarial import AdversarialLoss


def least_squares(*, target: float) -> AdversarialLoss:
    """LSGAN (Mao et al., arXiv 1611.04076) with a = −`target`, b = c = `target`."""
    return AdversarialLoss(
        real_cost=lambda logit: (logit - target) ** 2,
        fake_cost=lambda logit: (logit + target) ** 2,
        generator_cost=lambda logit: (logit - target) ** 2,
    )
