"""How well a score tells the images of a distribution from others: AUROC, AUPR and FPR at a fixed TPR.

    >>> counts = ScoreCounts.of(inside=np.array([0.9, 0.8, 0.4]), outside=np.array([0.5, 0.1]))
    >>> round(float(rates(counts)["auroc"]), 3)  # five of the six pairs are in order; 0.5 is chance
    0.833
    >>> low, high = bootstrap_intervals(counts, num_resamples=1000, seed=0)["auroc"]
    >>> low < 0.833 <= high
    True

A higher score says that an image is more like the distribution. With n scores s_i inside and m scores t_j
outside of it:

    AUROC     = (1/nm) Σ_ij ([s_i > t_j] + [s_i = t_j] / 2)          ties count half (midranks)
    AUPR-in   = Σ_k (R_k - R_{k-1}) P_k over the distinct scores, highest first; inside is positive
    AUPR-out  = the same from the lowest score on; outside is positive
    FPR@95TPR = the share of outliers accepted by the highest threshold that accepts 95 % of the inside

where R_k and P_k are recall and precision when all images with at least the k-th score are accepted: equal
scores are accepted together, so that their order never matters. AUPR is the average precision (no
interpolation), and depends on n / m.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Scores = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]

RATES = ("auroc", "aupr_in", "aupr_out", "fpr95")
"""The names of the rates; `fpr95` is better lower, the others higher."""
TPR_PERCENT = 95
CONFIDENCE = 0.95
"""Coverage of the bootstrap intervals."""
RESAMPLES_AT_ONCE = 2**24
"""Counts in memory at a time."""


@dataclass(frozen=True)
class ScoreCounts:
    """How many images have each distinct score, int64 `[..., k]`, the highest score first."""

    inside: Counts
    outside: Counts

    @classmethod
    def of(cls, inside: Scores, outside: Scores) -> "ScoreCounts":
        """The counts of scores `[n]` and `[m]`; `ValueError` where one is empty or not finite."""
        if not len(inside) or not len(outside):
            raise ValueError("scores are needed on both sides")
        scores = np.concatenate([inside, outside])
        if not np.isfinite(scores).all():
            raise ValueError(f"{(~np.isfinite(scores)).sum()} of {len(scores)} scores are not finite")
        distinct, places = np.unique(-scores, return_inverse=True)
        return cls(
            np.bincount(places[: len(inside)], minlength=len(distinct)),
            np.bincount(places[len(inside) :], minlength=len(distinct)),
        )

    @property
    def reversed(self) -> "ScoreCounts":
        """The counts with the sides swapped, the lowest score first: outliers are what is looked for."""
        return ScoreCounts(self.outside[..., ::-1], self.inside[..., ::-1])


def rates(counts: ScoreCounts) -> dict[str, Scores]:
    """All `RATES`, each `[...]` in [0, 1]."""
    return {
        "auroc": auroc(counts),
        "aupr_in": average_precision(counts),
        "aupr_out": average_precision(counts.reversed),
        "fpr95": fpr_at_tpr(counts, TPR_PERCENT),
    }


def auroc(counts: ScoreCounts) -> Scores:
    """The area under the ROC curve, `[...]`."""
    below = counts.outside.sum(-1, keepdims=True) - counts.outside.cumsum(-1)
    pairs = counts.inside.sum(-1) * counts.outside.sum(-1)
    wins: Scores = (counts.inside * (2 * below + counts.outside)).sum(-1) / (2 * pairs)
    return wins


def average_precision(counts: ScoreCounts) -> Scores:
    """The average precision of the inside, `[...]`."""
    accepted = counts.inside.cumsum(-1)
    precision = accepted / np.maximum(1, accepted + counts.outside.cumsum(-1))
    found: Scores = (counts.inside * precision).sum(-1) / counts.inside.sum(-1)
    return found


def fpr_at_tpr(counts: ScoreCounts, percent: int) -> Scores:
    """The share of outliers above the highest threshold that accepts `percent` of the inside, `[...]`."""
    enough = 100 * counts.inside.cumsum(-1) >= percent * counts.inside.sum(-1, keepdims=True)
    first = enough.argmax(-1)
    accepted = np.take_along_axis(counts.outside.cumsum(-1), first[..., None], -1)[..., 0]
    share: Scores = accepted / counts.outside.sum(-1)
    return share


def bootstrap_intervals(
    counts: ScoreCounts, *, num_resamples: int, seed: int
) -> Mapping[str, tuple[float, float]]:
    """Percentile intervals of all rates for other images from the same two distributions.

    Inside and outside are resampled separately, with replacement, by `seed`. The intervals leave
    out the variance between trainings.
    """
    random = np.random.default_rng(seed)
    at_once = max(1, RESAMPLES_AT_ONCE // counts.inside.shape[-1])
    parts = []
    for start in range(0, num_resamples, at_once):
        size = min(at_once, num_resamples - start)
        resampled = ScoreCounts(
            _resampled(counts.inside, size, random), _resampled(counts.outside, size, random)
        )
        parts.append(rates(resampled))
    tails = [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]
    intervals = {}
    for name in RATES:
        low, high = np.quantile(np.concatenate([part[name] for part in parts]), tails)
        intervals[name] = (float(low), float(high))
    return intervals


def _resampled(counts: Counts, num_resamples: int, random: np.random.Generator) -> Counts:
    """Counts `[num_resamples, k]` of as many images, drawn with replacement."""
    total = counts.sum()
    return random.multinomial(total, counts / total, size=num_resamples)


def roc_curve(counts: ScoreCounts, num_points: int) -> tuple[Scores, Scores]:
    """False and true positive rates at up to `num_points` thresholds, from (0, 0) to (1, 1)."""
    false = np.concatenate([[0.0], counts.outside.cumsum() / counts.outside.sum()])
    true = np.concatenate([[0.0], counts.inside.cumsum() / counts.inside.sum()])
    kept = np.unique(np.linspace(0, len(false) - 1, num_points).round().astype(np.int64))
    return false[kept], true[kept]
