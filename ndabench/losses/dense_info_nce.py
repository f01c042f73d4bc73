"""DPC's contrastive loss over clips, future steps and locations, with negative augmentations as more columns.

Dense InfoNCE (Han et al., arXiv 1909.04656): among all targets k of the batch, the target at the same clip,
step and location should be the nearest one to the prediction p. The other targets are its negatives: the same
location at other steps (temporal), other locations of the same clip (spatial) and all other clips (easy).
With targets k̄ from negatives of the future blocks (Sinha et al., ICLR 2021):

    L = −log  e^{p·k⁺} / ( Σ_k e^{p·k} + λ Σ_{k̄} e^{α p·k̄} )

λ and α are those of `contrastive.py`; λ → 0 is the plain loss. As published there is no temperature, and the
vectors may have any length.
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor


@dataclass(frozen=True)
class NdaTargets:
    """The NDA term, with its λ > 0 and α."""

    targets: Tensor
    """Maps `[M, K, D, h, w]` of K blocks of M clips (K is all steps of all negatives of a clip)."""
    weight: float
    """λ."""
    scale: float = 1.0
    """α."""
    scope: Literal["clip", "batch"] = "clip"
    """Whether a prediction sees the negatives of its own clip alone (these are then in the predictions'
    order, M = N), or those of all M clips."""

    def similarities(self, predictions: Tensor) -> Tensor:
        """p·k̄ of predictions `[N, P, D, h, w]`, `[N * P * h * w, columns]`."""
        if self.scope == "batch":
            return _rows(predictions).flatten(0, 1) @ _rows(self.targets).flatten(0, 1).T
        return (_rows(predictions) @ _rows(self.targets).mT).flatten(0, 1)


def dense_info_nce(
    predictions: Tensor, candidates: Tensor, *, own: Tensor, nda: NdaTargets | None = None
) -> dict[str, Tensor]:
    """The mean loss of predictions `[N, P, D, h, w]` among candidates `[M, P, D, h, w]`.

    The candidates are the targets of all clips, those of other workers included; `own`, int64 `[N]`, says
    which of them belong to each clip. Returns "loss" and, without gradient, "contrast_accuracy" (top-1 among
    the candidates, k̄ left out), "similarity_positive" (mean p·k⁺) and, with `nda`, "similarity_nda" (mean
    p·k̄).
    """
    similarities = _rows(predictions).flatten(0, 1) @ _rows(candidates).flatten(0, 1).T
    within = torch.arange(len(similarities) // len(predictions), device=own.device)
    column = (own[:, None] * len(within) + within).view(-1, 1)
    positive = similarities.gather(1, column)
    share = torch.logsumexp(similarities, 1)
    parts = {}
    if nda is not None:
        to_nda = nda.similarities(predictions)
        share = torch.logaddexp(share, torch.logsumexp(to_nda * nda.scale, 1) + math.log(nda.weight))
        parts["similarity_nda"] = to_nda.detach().mean()
    with torch.no_grad():
        parts["contrast_accuracy"] = (similarities.argmax(1, keepdim=True) == column).float().mean()
        parts["similarity_positive"] = positive.mean()
    return {"loss": (share - positive[:, 0]).mean(), **parts}


def _rows(maps: Tensor) -> Tensor:
    """`[N, P, D, h, w] -> [N, P * h * w, D]`."""
    return maps.movedim(2, -1).flatten(1, 3)
