"""Power by simulation: normal differences with a known effect."""

import numpy as np
import pytest
from scipy import special, stats

from ndabench.reporting.intervals import equivalence_p, one_sided_p, paired_difference
from ndabench.reporting.power import (
    POWER,
    power,
    seeds_for,
    smallest_detectable,
    smallest_margin,
    upper_deviation,
)

SIMULATIONS = 20_000
"""Rates at this number have a standard error of at most 0.0036."""
TOLERANCE = 0.015


def statistics(n: int, effect: float, deviation: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Means and standard errors `[SIMULATIONS]` of `n` differences."""
    values = np.random.default_rng(n).normal(effect, deviation, (SIMULATIONS, n))
    return values.mean(1), values.std(1, ddof=1) / np.sqrt(n)


def rejections(n: int, effect: float, deviation: float, alpha: float) -> float:
    mean, error = statistics(n, effect, deviation)
    return float(np.mean(np.abs(mean / error) > special.stdtrit(n - 1, 1 - alpha / 2)))


@pytest.mark.parametrize("alpha", [0.05, 0.05 / 4])
@pytest.mark.parametrize("n", [3, 5, 8, 20])
def test_the_smallest_detectable_difference_is_found_in_eight_of_ten(n: int, alpha: float) -> None:
    deviation = 1.7
    smallest = smallest_detectable(deviation, n, alpha)
    assert smallest is not None
    assert rejections(n, smallest, deviation, alpha) == pytest.approx(POWER, abs=TOLERANCE)
    assert rejections(n, 0.0, deviation, alpha) == pytest.approx(alpha, abs=TOLERANCE / 2)


@pytest.mark.parametrize(("difference", "deviation"), [(0.5, 0.6), (0.5, 1.0), (2.0, 1.0), (0.3, 1.0)])
def test_the_suggested_seeds_are_enough_and_one_fewer_is_not(difference: float, deviation: float) -> None:
    n = seeds_for(difference, deviation)
    assert n is not None
    assert rejections(n, difference, deviation, 0.05) > POWER - TOLERANCE
    assert rejections(n - 1, difference, deviation, 0.05) < POWER + TOLERANCE
    assert power(difference, deviation, n) >= POWER > power(difference, deviation, n - 1)


def test_textbook_numbers() -> None:
    """A paired design with d = 0.5 needs 34 pairs for 80 % power (Cohen 1988)."""
    assert seeds_for(0.5, 1.0) == 34
    assert seeds_for(1e-6, 1.0) is None
    assert smallest_detectable(0.0, 5) is None
    assert smallest_detectable(1.0, 1) is None


@pytest.mark.parametrize("pilot", [3, 5, 10])
def test_cautious_seeds_have_the_power_after_eight_of_ten_pilots(pilot: int) -> None:
    """With the pilot's own s about half of the plans, or fewer, reach the power."""
    _, error = statistics(pilot, 0.0)
    plans = error[:1000] * np.sqrt(pilot)
    cautious = [seeds_for(1.0, upper_deviation(float(s), pilot)) for s in plans]
    own = [seeds_for(1.0, float(s)) for s in plans]
    enough = seeds_for(1.0, 1.0)
    assert enough is not None
    assert np.mean([n is not None and n >= enough for n in cautious]) >= 0.78
    assert np.mean([n is not None and n >= enough for n in own]) < 0.65


@pytest.mark.parametrize(("n", "sides"), [(5, 1), (5, 2), (10, 1), (10, 2)])
def test_margins_are_met_in_eight_of_ten_without_and_in_one_of_twenty_at_the_margin(
    n: int, sides: int
) -> None:
    margin = smallest_margin(1.0, n, 0.05, sides)
    assert margin is not None
    critical = special.stdtrit(n - 1, 0.95)

    def met(effect: float) -> float:
        mean, error = statistics(n, effect)
        below, above = (mean - margin) / error < -critical, (mean + margin) / error > critical
        return float(np.mean(below & (above if sides == 2 else True)))

    assert POWER - TOLERANCE < met(0.0) < POWER + 0.06
    assert met(margin) <= 0.05 + TOLERANCE / 2


def test_one_sided_p_values_are_scipys() -> None:
    values = [0.1, -0.4, 0.3, 0.2, -0.1]
    difference = paired_difference(values)
    below = stats.ttest_1samp(values, 0.5, alternative="less").pvalue
    above = stats.ttest_1samp(values, -0.5, alternative="greater").pvalue
    assert one_sided_p(difference, 0.5) == pytest.approx(below)
    assert equivalence_p(difference, 0.5) == pytest.approx(max(below, above))
    assert one_sided_p(paired_difference([0.1]), 0.5) is None
