"""Power of the paired t-test: the smallest difference that n seeds can show, and the seeds for a difference.

With differences of deviation σ at equal seeds, T = mean / (s / √n) follows the noncentral t distribution of
n − 1 degrees of freedom and noncentrality √n·Δ/σ. A two-sided test at α rejects where
|T| > t(1 − α/2, n − 1).
"""

import math

from scipy import optimize, special

from ndabench.reporting.intervals import SIGNIFICANT, Difference, standard_deviation

POWER = 0.8
MOST_SEEDS = 100_000
ASSURANCE = 0.8
"""The probability that the true deviation lies below the upper bound of a pilot's."""


def power(difference: float, deviation: float, n: int, alpha: float = SIGNIFICANT) -> float:
    """The probability that the two-sided paired t-test at `alpha` with `n` pairs finds `difference`."""
    degrees, shift = n - 1, math.sqrt(n) * abs(difference) / deviation
    critical = float(special.stdtrit(degrees, 1 - alpha / 2))
    below = float(special.nctdtr(degrees, shift, critical))
    other_side = float(special.nctdtr(degrees, shift, -critical))
    return 1 - below + (0.0 if math.isnan(other_side) else other_side)


def smallest_detectable(deviation: float, n: int, alpha: float = SIGNIFICANT) -> float | None:
    """The difference that `n` pairs of this deviation show with a power of `POWER`; None for n < 2 or
    without spread."""
    if n < 2 or not deviation > 0:
        return None
    high = 1.0
    while power(high, 1.0, n, alpha) < POWER:
        high *= 2
    return deviation * float(optimize.brentq(lambda size: power(size, 1.0, n, alpha) - POWER, 0.0, high))


def smallest_margin(deviation: float, n: int, alpha: float, sides: int) -> float | None:
    """The margin within which `n` pairs show no difference, with a power of `POWER`, where there is none.

    `sides` is 1 for "no worse" and 2 for equivalence, both of whose tests must reject: each errs in at most
    half of the cases. None for n < 2 or without spread.
    """
    if n < 2 or not deviation > 0:
        return None
    wanted, critical = 1 - (1 - POWER) / sides, float(special.stdtrit(n - 1, 1 - alpha))

    def lacking(size: float) -> float:
        return 1 - float(special.nctdtr(n - 1, math.sqrt(n) * size, critical)) - wanted

    high = 1.0
    while lacking(high) < 0:
        high *= 2
    return deviation * float(optimize.brentq(lacking, 0.0, high))


def seeds_for(difference: float, deviation: float, alpha: float = SIGNIFICANT) -> int | None:
    """The least number of pairs that show `difference` with a power of `POWER`; None above `MOST_SEEDS`."""
    low, high = 1, 2
    while power(difference, deviation, high, alpha) < POWER:
        low, high = high, 2 * high
        if high > MOST_SEEDS:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        enough = power(difference, deviation, middle, alpha) >= POWER
        low, high = (low, middle) if enough else (middle, high)
    return high


def upper_deviation(deviation: float, n: int) -> float:
    """The bound that the true deviation is below in `ASSURANCE` of pilots of `n` pairs (normal values).

    A plan with the pilot's own deviation has too few seeds in every second pilot (Browne 1995).
    """
    degrees = n - 1
    return deviation * math.sqrt(degrees / float(special.chdtri(degrees, ASSURANCE)))


def detectable(difference: Difference | None, num_tests: int) -> float | None:
    """What `difference`'s test among `num_tests` could have shown, at Bonferroni's α, which Holm's is never
    below."""
    if difference is None:
        return None
    deviation = standard_deviation(difference)
    return (
        None
        if deviation is None
        else smallest_detectable(deviation, difference.summary.n, SIGNIFICANT / max(num_tests, 1))
    )
