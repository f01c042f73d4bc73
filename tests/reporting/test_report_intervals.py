"""Statistics against SciPy's own tests and textbook values."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from ndabench.reporting.formatting import interval, number, p_value, with_interval
from ndabench.reporting.intervals import Difference, decided, holm, paired_difference, summarise

VALUES = st.lists(st.floats(-100, 100).map(lambda x: round(x, 3)), min_size=2, max_size=8)


@settings(deadline=None, max_examples=50)
@given(VALUES)
def test_intervals_equal_scipys(values: list[float]) -> None:
    summary = summarise(values)
    assert summary.n == len(values)
    assert summary.mean == pytest.approx(np.mean(values))
    error = stats.sem(values)
    if error > 1e-9:
        low, high = stats.t.interval(0.95, len(values) - 1, loc=np.mean(values), scale=error)
        assert (summary.low, summary.high) == pytest.approx((low, high))


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 1000), st.integers(2, 9))
def test_paired_p_equals_scipys(seed: int, n: int) -> None:
    first, second = np.random.default_rng(seed).normal(size=(2, n))
    difference = paired_difference(list(first - second))
    assert difference.p == pytest.approx(stats.ttest_rel(first, second).pvalue)


def test_one_value_has_no_interval_and_none_has_no_mean() -> None:
    assert (summarise([3.0]).mean, summarise([3.0]).half_width) == (3.0, None)
    assert summarise([]).n == 0
    assert math.isnan(summarise([math.nan, math.inf]).mean)
    assert summarise([1.0, math.nan, 3.0]).n == 2


@pytest.mark.parametrize("differences", [[], [1.0], [0.5, 0.5, 0.5], [0.1 + 0.2, 0.3], [math.nan, 1.0]])
def test_no_test_without_spread_or_pairs(differences: list[float]) -> None:
    assert paired_difference(differences).p is None
    assert paired_difference(differences).summary.half_width is None


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, None, 0.5]) == [1.0, None, 1.0]
    assert holm([]) == []


@settings(deadline=None, max_examples=50)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_lies_between_raw_and_bonferroni(p_values: list[float]) -> None:
    for raw, adjusted in zip(p_values, holm(p_values), strict=True):
        assert adjusted is not None
        assert raw <= adjusted <= min(1.0, raw * len(p_values)) + 1e-12


def test_what_is_negligible_next_to_its_interval_is_shown_as_nothing() -> None:
    assert number(4.7e-15, 1, signed=True) == "0.0"
    assert number(3e-5, 6) == "3e−05"


def rejected_by_steps(p_values: list[float]) -> set[int]:
    """Holm's procedure as he states it: test the smallest p at .05 / m, the next at .05 / (m − 1), …; stop at
    the first that is not below its level."""
    found: set[int] = set()
    for place in sorted(range(len(p_values)), key=lambda index: p_values[index]):
        if p_values[place] >= 0.05 / (len(p_values) - len(found)):
            break
        found.add(place)
    return found


def family(
    generator: np.random.Generator, effects: list[float], n: int
) -> tuple[np.ndarray, list[Difference]]:
    """Pairs [tests, n] of arms that share a baseline and have these effects, and what is decided of them."""
    baseline = generator.normal(size=n)
    pairs = np.array(effects)[:, None] + generator.normal(size=(len(effects), n)) - baseline
    found = decided([paired_difference(list(one)) for one in pairs])
    return pairs, [difference for difference in found if difference is not None]


@settings(deadline=None, max_examples=100)
@given(st.integers(0, 10**6), st.integers(1, 7), st.integers(2, 6), st.sampled_from([0, 1, 3, 10]))
def test_decisions_and_their_intervals_equal_those_of_an_independent_implementation(
    seed: int, tests: int, n: int, effect: float
) -> None:
    effects = [effect * place for place in range(tests)]
    pairs, found = family(np.random.default_rng(seed), effects, n)
    oracles = [stats.ttest_1samp(one, 0) for one in pairs]
    raw = [float(oracle.pvalue) for oracle in oracles]
    rejected = rejected_by_steps(raw)
    for place, (difference, oracle) in enumerate(zip(found, oracles, strict=True)):
        assert difference.significant == (place in rejected)
        steps = [m for m in range(tests, 0, -1) if raw[place] < 0.05 / m] if place in rejected else []
        expected = oracle.confidence_interval(1 - 0.05 / (steps[0] if steps else tests))
        low, high = difference.summary.low, difference.summary.high
        assert low is not None
        assert high is not None
        assert (low, high) == pytest.approx(tuple(expected), rel=1e-9, abs=1e-9)
        assert (low <= 0 <= high) == (place not in rejected)


@settings(deadline=None, max_examples=300)
@given(st.integers(0, 10**6), st.floats(-4, 4).filter(bool), st.integers(1, 5))
def test_what_is_shown_never_contradicts_the_decision(seed: int, closeness: float, tests: int) -> None:
    """Also where an end is so close to 0, or p so close to .05, that rounding would move it across."""
    generator = np.random.default_rng(seed)
    values = generator.normal(size=3)
    half_width = decided([paired_difference(list(values)), *[paired_difference([1.0, -1.0])] * (tests - 1)])[
        0
    ]
    assert half_width is not None
    assert half_width.summary.half_width is not None
    mean = half_width.summary.half_width * (1 + np.sign(closeness) * 10.0 ** -abs(2 * closeness))
    values = values - values.mean() + mean
    difference = decided([paired_difference(list(values)), *[paired_difference([1.0, -1.0])] * (tests - 1)])[
        0
    ]
    assert difference is not None
    low, high = (float(end) for end in interval(difference.summary).strip("[]").replace("−", "-").split(", "))
    centre, half = (float(part) for part in with_interval(difference.summary).replace("−", "-").split(" ± "))
    shown = p_value(difference.p_adjusted)
    assert (shown.startswith("<") or float(shown) < 0.05) == difference.significant
    assert (not low <= 0 <= high) == difference.significant
    assert (abs(centre) > half) == difference.significant


def test_at_most_a_twentieth_of_families_without_effects_has_a_claim() -> None:
    """Six arms that share a baseline, four seeds, 500 families; without adjustment about 23 % have one."""
    generator = np.random.default_rng(36)
    families = [family(generator, [0.0] * 6, n=4)[1] for _ in range(500)]
    limit = 0.05 + 3 * math.sqrt(0.05 * 0.95 / 500)
    assert np.mean([any(one.significant for one in found) for found in families]) <= limit
    raw = np.mean([any(one.p is not None and one.p < 0.05 for one in found) for found in families])
    assert raw > limit


def test_intervals_of_a_family_with_effects_hold_the_truth_together() -> None:
    """All but one of six arms differ from the baseline, the worst case: that one is tested without
    adjustment, and Bonferroni's intervals of the others may also miss; 500 families."""
    effects = [0.0, 8.0, 9.0, 10.0, 11.0, 12.0]
    generator = np.random.default_rng(37)
    families = [family(generator, effects, n=5)[1] for _ in range(500)]
    held = [
        all(
            one.summary.low is not None
            and one.summary.high is not None
            and one.summary.low <= effect <= one.summary.high
            for one, effect in zip(found, effects, strict=True)
        )
        for found in families
    ]
    assert np.mean(held) >= 0.9
