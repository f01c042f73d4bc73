"""Losses: tensors and floats in, scalars out. `__all__` has all that a training loop needs."""

from ndabench.losses.adversarial import AdversarialLoss, hinge, non_saturating, saturating, wasserstein_gp
from ndabench.losses.contrastive import NdaKeys, info_nce, nt_xent
from ndabench.losses.dense_info_nce import NdaTargets, dense_info_nce
from ndabench.losses.gradient_penalties import r1, wasserstein_penalty

__all__ = [
    "AdversarialLoss",
    "NdaKeys",
    "NdaTargets",
    "dense_info_nce",
    "hinge",
    "info_nce",
    "non_saturating",
    "nt_xent",
    "r1",
    "saturating",
    "wasserstein_gp",
    "wasserstein_penalty",
]
