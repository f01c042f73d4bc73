"""The f-GAN forms of NDA's theorem (Nowozin et al., arXiv 1606.00709, tables 1 and 2).

With Q = λ·p_G + (1 − λ)·P̄, the discriminator's logit v gives T = g(v) and maximises

    E_p[g(v)] − λ·E_G[f*(g(v))] − (1 − λ)·E_P̄[f*(g(v))] ≤ D_f(p ‖ Q) = E_Q[f(p/Q)],

with equality at T = f′(p/Q); the generator minimises the same. `docs/theory.md` has the theorem.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from ndabench.losses.adversarial import AdversarialLoss

Function = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class FDivergence:
    """D_f by its f, the activation g of the output, and what follows from both; all map `[N] -> [N]`."""

    f: Function
    """Convex on (0, ∞) with f(1) = 0."""
    activation: Function
    """g, onto the domain of f*."""
    conjugate_of_activation: Function
    """f*(g(v)) as one expression that stays finite for large v."""
    ratio: Function
    """p/Q, which the logit v estimates: the solution of f′(p/Q) = g(v)."""

    @property
    def loss(self) -> AdversarialLoss:
        """Both players' costs in the game as the theorem has it; the generator's is the saturating one."""
        return AdversarialLoss(
            real_cost=lambda logit: -self.activation(logit),
            fake_cost=self.conjugate_of_activation,
            generator_cost=lambda logit: -self.conjugate_of_activation(logit),
            ratio=self.ratio,
        )


F_DIVERGENCES = {
    "kl": FDivergence(
        f=lambda u: u * u.log(),
        activation=lambda logit: logit,
        conjugate_of_activation=lambda logit: (logit - 1).exp(),
        ratio=lambda logit: (logit - 1).exp(),
    ),
    "reverse_kl": FDivergence(
        f=lambda u: -u.log(),
        activation=lambda logit: -(-logit).exp(),
        conjugate_of_activation=lambda logit: logit - 1,
        ratio=lambda logit: logit.exp(),
    ),
    "pearson": FDivergence(
        f=lambda u: (u - 1) ** 2,
        activation=lambda logit: logit,
        conjugate_of_activation=lambda logit: logit**2 / 4 + logit,
        ratio=lambda logit: F.relu(logit / 2 + 1),
    ),
    "squared_hellinger": FDivergence(
        f=lambda u: (u.sqrt() - 1) ** 2,
        activation=lambda logit: 1 - (-logit).exp(),
        conjugate_of_activation=lambda logit: logit.exp() - 1,
        ratio=lambda logit: (2 * logit).exp(),
    ),
    "jensen_shannon": FDivergence(
        f=lambda u: u * u.log() - (u + 1) * ((u + 1) / 2).log(),
        activation=lambda logit: math.log(2) - F.softplus(-logit),
        conjugate_of_activation=lambda logit: F.softplus(logit) - math.log(2),
        ratio=lambda logit: logit.exp(),
    ),
}
