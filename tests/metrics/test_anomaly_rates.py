"""AUROC, AUPR and FPR@95TPR against scikit-learn, and the coverage of their bootstrap intervals."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.metrics import roc_curve as sklearn_roc_curve

from ndabench.metrics.anomaly.rates import (
    RATES,
    ScoreCounts,
    Scores,
    auroc,
    bootstrap_intervals,
    rates,
    roc_curve,
)

CASES = {
    "random": lambda random: (random.normal(1, 1, 700), random.normal(0, 2, 400)),
    "tied": lambda random: (random.integers(0, 6, 500) / 1.0, random.integers(2, 9, 300) / 1.0),
    "a few of many ties": lambda random: (random.integers(0, 2, 41) * 1.0, random.normal(0, 1, 57).round(1)),
    "constant": lambda random: (np.zeros(30), np.zeros(50)),
    "separated": lambda random: (random.uniform(1, 2, 99), random.uniform(-1, 0, 101)),
    "upside down": lambda random: (random.uniform(-1, 0, 99), random.uniform(1, 2, 101)),
    "one on each side": lambda random: (np.array([1.0]), np.array([0.0])),
    "exactly 95 %": lambda random: (np.arange(100.0), np.arange(100.0) - 30.5),
}


def by_scikit_learn(inside: Scores, outside: Scores) -> dict[str, float]:
    labels = np.concatenate([np.ones(len(inside)), np.zeros(len(outside))])
    scores = np.concatenate([inside, outside])
    false, true, _ = sklearn_roc_curve(labels, scores, drop_intermediate=False)
    return {
        "auroc": roc_auc_score(labels, scores),
        "aupr_in": average_precision_score(labels, scores),
        "aupr_out": average_precision_score(1 - labels, -scores),
        "fpr95": false[np.argmax(true >= 0.95)],
    }


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("seed", range(3))
def test_rates_are_scikit_learns(case: str, seed: int) -> None:
    inside, outside = CASES[case](np.random.default_rng(seed))
    found = rates(ScoreCounts.of(inside, outside))
    expected = by_scikit_learn(inside, outside)
    assert tuple(found) == RATES
    for name in RATES:
        assert found[name] == pytest.approx(expected[name], abs=1e-12), name


def test_the_order_of_equal_scores_does_not_matter() -> None:
    inside, outside = np.array([1.0, 1, 2]), np.array([1.0, 0])
    assert auroc(ScoreCounts.of(inside, outside)) == pytest.approx((0.5 + 1 + 0.5 + 1 + 1 + 1) / 6)
    assert rates(ScoreCounts.of(inside[::-1], outside[::-1])) == rates(ScoreCounts.of(inside, outside))


@pytest.mark.parametrize("wrong", [np.array([np.nan, 1.0]), np.array([np.inf]), np.array([])])
def test_scores_that_cannot_be_ranked_are_refused(wrong: Scores) -> None:
    with pytest.raises(ValueError, match=r"not finite|both sides"):
        ScoreCounts.of(wrong, np.array([1.0]))


def test_intervals_are_a_function_of_the_seed_and_hold_the_value() -> None:
    random = np.random.default_rng(0)
    counts = ScoreCounts.of(random.normal(1, 1, 200), random.normal(0, 1, 300))
    intervals = bootstrap_intervals(counts, num_resamples=200, seed=3)
    assert intervals == bootstrap_intervals(counts, num_resamples=200, seed=3)
    assert intervals != bootstrap_intervals(counts, num_resamples=200, seed=4)
    for name, value in rates(counts).items():
        low, high = intervals[name]
        assert low < value < high, name


def test_intervals_of_the_auroc_cover_the_truth() -> None:
    """Two unit Gaussians with means one apart: AUROC Φ(1/√2) = 0.7602. n = 150 repetitions."""
    random, truth, covered = np.random.default_rng(1), 0.760250, 0
    for repetition in range(150):
        counts = ScoreCounts.of(random.normal(1, 1, 100), random.normal(0, 1, 100))
        low, high = bootstrap_intervals(counts, num_resamples=200, seed=repetition)["auroc"]
        covered += low <= truth <= high
    assert 132 <= covered <= 149  # 95 % ± 4 standard deviations, and a little below for small samples


def test_a_resampling_in_parts_equals_one_in_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = ScoreCounts.of(np.arange(50.0), np.arange(30.0) - 5)
    whole = bootstrap_intervals(counts, num_resamples=40, seed=0)
    assert all(0 <= low <= high <= 1 for low, high in whole.values())
    monkeypatch.setattr("ndabench.metrics.anomaly.rates.RESAMPLES_AT_ONCE", 300)
    parts = bootstrap_intervals(counts, num_resamples=40, seed=0)
    for name, (low, high) in parts.items():  # other draws of the same distribution
        assert low == pytest.approx(whole[name][0], abs=0.1)
        assert high == pytest.approx(whole[name][1], abs=0.1)


def test_the_curve_runs_from_corner_to_corner() -> None:
    random = np.random.default_rng(0)
    counts = ScoreCounts.of(random.normal(1, 1, 5000), random.normal(0, 1, 3000))
    false, true = roc_curve(counts, 200)
    assert len(false) == len(true) == 200
    assert (false[0], true[0], false[-1], true[-1]) == (0, 0, 1, 1)
    assert (np.diff(false) >= 0).all()
    assert (np.diff(true) >= 0).all()
    assert np.trapezoid(true, false) == pytest.approx(float(auroc(counts)), abs=0.01)
