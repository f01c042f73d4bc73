"""Contrastive losses in which negative augmentations are extra negatives.

InfoNCE (van den Oord et al., arXiv 1807.03748) as MoCo has it, and SimCLR's NT-Xent (Chen et al., arXiv
2002.05709), each with NDA keys k̄ of the query's own image (Sinha et al., ICLR 2021):

    L = −log  e^{q·k⁺/τ} / ( e^{q·k⁺/τ} + Σ_{k⁻} e^{q·k⁻/τ} + λ Σ_{k̄} e^{α q·k̄/τ} )

λ weighs the NDA term; λ → 0 is the plain loss. α scales the similarity inside the exponent (Ge et al.,
NeurIPS 2021, arXiv 2110.14189); α = 1 treats k̄ as any other negative. All vectors have length 1.

    >>> query, key = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.8, 0.6]])
    >>> negatives, jigsaws = torch.tensor([[0.0, 1.0], [-1.0, 0.0]]), torch.tensor([[[0.6, 0.8]]])
    >>> info_nce(query, key, negatives, temperature=0.5)["loss"]
    tensor(0.2064)
    >>> info_nce(query, key, negatives, temperature=0.5, nda=NdaKeys(jigsaws, weight=1.0))["loss"]
    tensor(0.6416)
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class NdaKeys:
    """The NDA term: M keys for each query, with its λ > 0 and α."""

    keys: Tensor
    """`[N, M, d]`."""
    weight: float
    """λ."""
    scale: float = 1.0
    """α."""

    def similarities(self, queries: Tensor) -> Tensor:
        """q·k̄, `[N, M]`."""
        return torch.einsum("nd,nmd->nm", queries, self.keys)

    def logits(self, queries: Tensor, temperature: float) -> Tensor:
        """α q·k̄/τ + log λ, `[N, M]`: the sum of their exponentials is the NDA term."""
        return self.similarities(queries) * (self.scale / temperature) + math.log(self.weight)


def info_nce(
    queries: Tensor, keys: Tensor, negatives: Tensor, *, temperature: float, nda: NdaKeys | None = None
) -> dict[str, Tensor]:
    """The mean loss of queries `[N, d]` with positives `[N, d]` and shared negatives `[K, d]`.

    Returns "loss" and, without gradient, the values that `_described` adds.
    """
    positive = (queries * keys).sum(1, keepdim=True) / temperature
    return _contrast(queries, positive, queries @ negatives.T / temperature, temperature, nda)


def nt_xent(
    queries: Tensor,
    candidates: Tensor,
    *,
    own: Tensor,
    partner: Tensor,
    temperature: float,
    nda: NdaKeys | None = None,
) -> dict[str, Tensor]:
    """The mean loss of queries `[N, d]` among candidates `[K, d]` that include them and their partners.

    `own` and `partner`, int64 `[N]`, are their positions: a query's partner is its positive, and all other
    candidates except the query itself are its negatives. Returns the same parts as `info_nce`.
    """
    logits = queries @ candidates.T / temperature
    positive = logits.gather(1, partner[:, None])
    barred = torch.stack([own, partner], 1)
    negatives = logits.scatter(1, barred, -math.inf)
    return _contrast(queries, positive, negatives, temperature, nda)


def _contrast(
    queries: Tensor, positive: Tensor, negatives: Tensor, temperature: float, nda: NdaKeys | None
) -> dict[str, Tensor]:
    """−log of the positive's share, from the logits of positive `[N, 1]` and negatives `[N, K]`."""
    logits = [positive, negatives]
    if nda is not None:
        logits.append(nda.logits(queries, temperature))
    loss = (torch.logsumexp(torch.cat(logits, 1), 1) - positive[:, 0]).mean()
    return {"loss": loss, **_described(queries, positive, negatives, temperature, nda)}


@torch.no_grad()
def _described(
    queries: Tensor, positive: Tensor, negatives: Tensor, temperature: float, nda: NdaKeys | None
) -> dict[str, Tensor]:
    """The share of queries nearer to their positive than to any negative but k̄, and mean similarities."""
    parts = {
        "contrast_accuracy": (positive > negatives.amax(1, keepdim=True)).float().mean(),
        "similarity_positive": positive.mean() * temperature,
    }
    if nda is not None:
        parts["similarity_nda"] = nda.similarities(queries).mean()
    return parts
