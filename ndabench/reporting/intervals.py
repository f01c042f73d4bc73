"""Means with 95 % t-intervals, paired differences, and Holm's correction for several comparisons."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

CONFIDENCE = 0.95
ROUNDING = 1e-12
"""A spread below this fraction of the mean is rounding, not spread."""


@dataclass(frozen=True)
class Summary:
    """The mean over `n` seeds; the `half_width` of its 95 % t-interval is None for fewer than two values."""

    n: int
    mean: float
    half_width: float | None

    @property
    def low(self) -> float | None:
        return None if self.half_width is None else self.mean - self.half_width

    @property
    def high(self) -> float | None:
        return None if self.half_width is None else self.mean + self.half_width


@dataclass(frozen=True)
class Difference:
    """Mean of the differences between two arms at equal seeds, and its two-sided paired t-test.

    `p` is None for fewer than two pairs, and if every pair differs by exactly the same amount: without
    spread there is no test.
    """

    summary: Summary
    p: float | None
    p_adjusted: float | None = None


def half_widths(n: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    """t(0.975, n − 1) · s / √n for every element; NaN where n < 2."""
    n = np.asarray(n, float)
    degrees = np.where(n > 1, n - 1, np.nan)
    quantile = stats.t.ppf((1 + CONFIDENCE) / 2, degrees)
    return quantile * np.asarray(deviation, float) / np.sqrt(np.maximum(n, 1))


def summarise(values: Sequence[float]) -> Summary:
    """Mean and interval of the finite values; a mean of NaN if there are none."""
    finite = np.asarray([value for value in values if math.isfinite(value)], float)
    n = len(finite)
    if n == 0:
        return Summary(0, math.nan, None)
    if n == 1:
        return Summary(1, float(finite[0]), None)
    mean, deviation = float(finite.mean()), float(finite.std(ddof=1))
    if deviation <= ROUNDING * abs(mean):
        return Summary(n, mean, 0.0)
    return Summary(n, mean, float(half_widths(np.array([n]), np.array([deviation]))[0]))


def paired_difference(differences: Sequence[float]) -> Difference:
    """The paired t-test of the differences at equal seeds."""
    summary = summarise(differences)
    if not summary.half_width:
        return Difference(summary, None)
    degrees = summary.n - 1
    standard_error = summary.half_width / stats.t.ppf((1 + CONFIDENCE) / 2, degrees)
    p = 2 * stats.t.sf(abs(summary.mean) / standard_error, degrees)
    return Difference(summary, float(p))


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm's step-down adjustment (1979) over the values that are not None."""
    present = [index for index, p in enumerate(p_values) if p is not None]
    ordered = sorted(present, key=lambda index: p_values[index] or 0.0)
    adjusted: list[float | None] = [None] * len(p_values)
    running = 0.0
    for rank, index in enumerate(ordered):
        running = max(running, min(1.0, (len(ordered) - rank) * (p_values[index] or 0.0)))
        adjusted[index] = running
    return adjusted
