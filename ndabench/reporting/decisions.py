"""Decides the claims of the sweep file, if the controls allow it; docs/statistics.md has the rules.

The claims are one family of tests, over which Holm's method adjusts; every setting of a claimed arm is a
claim. Controls gate all of them: a claim is shown only where each control passed, so the controls need no
share of the family's error. `Frames.replanned` says whether the plan changed after the start, which makes all
of it exploratory.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

from ndabench.claims import Claim
from ndabench.reporting.comparison import DIRECTED, Compared, Comparison
from ndabench.reporting.frames import Frames
from ndabench.reporting.intervals import (
    SIGNIFICANT,
    Difference,
    at_confidence,
    equivalence_p,
    holm,
    one_sided_p,
)

Undecided = Literal["control failed", "control missing", "pair missing", "untested"]
Verdict = Literal["shown", "opposite", "not shown"] | Undecided


@dataclass(frozen=True)
class Control:
    """A control arm's setting; `passed` is None before it can be tested."""

    kind: Literal["positive", "negative"]
    arm: str
    comparison: Comparison
    row: Compared | None
    passed: bool | None


@dataclass(frozen=True)
class Decision:
    """A claim about one setting."""

    claim: Claim
    comparison: Comparison
    row: Compared | None
    """None: the arm has no value yet."""
    difference: Difference | None
    """With p adjusted over the claims, and the interval at the level of that decision."""
    verdict: Verdict
    missing: int
    """Planned pairs of seeds without a value."""

    @property
    def undecided(self) -> bool:
        return self.verdict in get_args(Undecided)


@dataclass(frozen=True)
class Decisions:
    """All claims and controls. `decides` is False if a control failed, None if one is not measured yet."""

    claims: list[Decision]
    controls: list[Control]

    @property
    def decides(self) -> bool | None:
        return _all_passed(self.controls)


def decisions(frames: Frames, comparisons: Sequence[Comparison]) -> Decisions:
    """Of the primary measure on the test split; nothing where no trial has measured it."""
    primary = [
        comparison
        for comparison in comparisons
        if comparison.name == frames.measure
        and not comparison.on_validation
        and comparison.better in DIRECTED
    ]
    controls = [control for comparison in primary for control in _controls(frames, comparison)]
    decides = _all_passed(controls)
    undecided = [
        (claim, comparison, row)
        for comparison in primary
        for claim in (frames.claim.that if frames.claim is not None else ())
        for row in _rows(comparison, claim.arm)
    ]
    p_values = [
        _p(claim, row.difference, comparison.better) if row else None for claim, comparison, row in undecided
    ]
    adjusted = holm(p_values)
    num_tests = sum(p is not None for p in p_values)
    claims = []
    for (claim, comparison, row), p, p_adjusted in zip(undecided, p_values, adjusted, strict=True):
        difference: Difference | None = None
        if row is not None and row.difference is not None and p is not None and p_adjusted is not None:
            level = _level(claim, p, p_adjusted, num_tests)
            difference = at_confidence(replace(row.difference, p=p, p_adjusted=p_adjusted), level)
        pairs = row.difference.summary.n if row is not None and row.difference is not None else 0
        missing = max(len(frames.seeds) - pairs, 0)
        verdict = _verdict(claim, difference, missing, decides)
        claims.append(Decision(claim, comparison, row, difference, verdict, missing))
    return Decisions(claims, controls)


def _rows(comparison: Comparison, arm: str) -> Sequence[Compared | None]:
    rows = [row for row in comparison.rows if row.setting.arm == arm and row.repeated]
    return rows or [None]


def _no_worse_p(difference: Difference, margin: float, better: str) -> float | None:
    if better == "higher":
        difference = replace(difference, summary=replace(difference.summary, mean=-difference.summary.mean))
    return one_sided_p(difference, margin)


P_VALUES: Mapping[str, Callable[[Difference, float, str], float | None]] = {
    "lower": lambda difference, margin, better: difference.p,
    "higher": lambda difference, margin, better: difference.p,
    "no_worse": _no_worse_p,
    "equivalent": lambda difference, margin, better: equivalence_p(difference, margin),
}


def _p(claim: Claim, difference: Difference | None, better: str) -> float | None:
    return None if difference is None else P_VALUES[claim.is_](difference, claim.margin or 0.0, better)


def _level(claim: Claim, p: float, p_adjusted: float, num_tests: int) -> float:
    """The confidence of the interval that belongs to the decision, see `intervals.decided`; one-sided tests
    at α belong to a two-sided interval at 1 − 2α."""
    steps = range(num_tests, 0, -1) if p_adjusted < SIGNIFICANT else [num_tests]
    tests = next((step for step in steps if step * p < SIGNIFICANT), num_tests)
    return 1 - (1 if claim.margin is None else 2) * SIGNIFICANT / tests


def _verdict(claim: Claim, difference: Difference | None, missing: int, decides: bool | None) -> Verdict:
    """By the rules in the order of their precedence: the controls, all planned pairs, the test."""
    if decides is False:
        return "control failed"
    if decides is None:
        return "control missing"
    if missing:  # a stop before all pairs are in would choose the moment by what was seen
        return "pair missing"
    if difference is None:
        return "untested"
    if not difference.significant:
        return "not shown"
    if claim.margin is not None:
        return "shown"
    return "shown" if (difference.summary.mean < 0) == (claim.is_ == "lower") else "opposite"


def _all_passed(controls: Sequence[Control]) -> bool | None:
    results = [control.passed for control in controls]
    return False if False in results else None if None in results else True


def _controls(frames: Frames, comparison: Comparison) -> list[Control]:
    kinds: Sequence[tuple[Literal["positive", "negative"], tuple[str, ...]]] = (
        ("positive", frames.controls.positive),
        ("negative", frames.controls.negative),
    )
    return [
        Control(kind, arm, comparison, row, _passed(kind, row, comparison.better, len(frames.seeds)))
        for kind, arms in kinds
        for arm in arms
        for row in _rows(comparison, arm)
    ]


def _passed(kind: str, row: Compared | None, better: str, planned: int) -> bool | None:
    """At p < 0.05 without adjustment: to fail is the cautious side. None before all planned pairs are in."""
    difference = row.difference if row is not None else None
    if difference is None or difference.summary.n < max(planned, 2):
        return None
    if difference.p is None and difference.summary.mean != 0:  # no spread, no test
        return None
    differs = difference.p is not None and difference.p < SIGNIFICANT
    if kind == "negative":
        return not differs
    return differs and (difference.summary.mean < 0) == (better == "lower")
