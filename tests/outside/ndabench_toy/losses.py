"""The toy loss: least squares, whose targets are ± a number."""

from ndabench.losses.adversarial import AdversarialLoss


def least_squares(*, target: float) -> AdversarialLoss:
    """LSGAN (Mao et al., arXiv 1611.04076) with a = −`target`, b = c = `target`."""
    return AdversarialLoss(
        taken_for_real=lambda logit: (logit - target) ** 2,
        taken_for_fake=lambda logit: (logit + target) ** 2,
        not_fooled=lambda logit: (logit - target) ** 2,
    )
