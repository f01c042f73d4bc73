"""The Inception Score (Salimans et al., NeurIPS 2016, arXiv 1606.03498).

The protocol is the authors': the images are put in random order and cut into equal splits, and the score is
the mean over the splits. With a classifier other than Inception-v3 it has another name and another range
(1 to the number of that classifier's classes).

    >>> sure_and_spread = 100 * torch.eye(4).repeat(5, 1)
    >>> inception_score(sure_and_spread, num_splits=1, generator=Generator())
    (4.0, 0.0)
"""

import math

import torch
from torch import Generator, Tensor


def inception_score(logits: Tensor, *, num_splits: int, generator: Generator) -> tuple[float, float]:
    """exp E_x KL(p(y|x) ‖ p(y)) from logits `[n, k]`: its mean and standard deviation over the splits.

    `num_splits` is at most n; `generator` lives on the CPU. Computed in float64.
    """
    shuffled = logits[torch.randperm(len(logits), generator=generator).to(logits.device)]
    log_p = shuffled.to(torch.float64).log_softmax(1)
    scores = torch.stack([_score(part) for part in log_p.tensor_split(num_splits)])
    return scores.mean().item(), scores.std(correction=0).item()


def _score(log_p: Tensor) -> Tensor:
    log_marginal = log_p.logsumexp(0) - math.log(len(log_p))
    return (log_p.exp() * (log_p - log_marginal)).sum(1).mean().exp()
