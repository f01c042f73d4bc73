"""Statistics against SciPy's own tests and textbook values."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from ndabench.reporting.formatting import number
from ndabench.reporting.intervals import holm, paired_difference, summarise

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
    assert number(4.7e-15, 1, signed=True) == "+0.0"
    assert number(3e-5, 6) == "3e−05"
