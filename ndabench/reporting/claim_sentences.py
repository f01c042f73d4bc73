"""States what became of the claims and the controls, as the first sentences of the report."""

from collections.abc import Mapping, Sequence

from ndabench.claims import Claim
from ndabench.reporting.comparison import Compared, Comparison
from ndabench.reporting.decisions import Control, Decision, Verdict, decisions
from ndabench.reporting.formatting import count, decimals_for, decimals_of, interval, number, p_value
from ndabench.reporting.frames import Frames
from ndabench.reporting.intervals import SIGNIFICANT, Difference, standard_deviation
from ndabench.reporting.power import detectable, smallest_margin

RELATIONS = {
    "lower": "lowers {}",
    "higher": "raises {}",
    "no_worse": "is worse than {1} by less than {2:g} in {0}",
    "equivalent": "is within {2:g} of {1} in {0}",
}
VERDICTS: Mapping[Verdict, str] = {
    "shown": "shown",
    "opposite": "refuted, the opposite is shown",
    "not shown": "not shown",
    "control failed": "undecided, a control failed",
    "control missing": "undecided until the controls are measured",
    "pair missing": "undecided, {missing} of {planned} missing",
    "untested": "undecided, no test is possible (no pairs, or all of them differ by the same amount)",
}


def claim_sentences(frames: Frames, comparisons: Sequence[Comparison]) -> list[str]:
    """The controls if they failed, each claim, then the controls; empty for a sweep with neither."""
    results = decisions(frames, comparisons)
    if not results.claims and not results.controls:
        return []
    failed = [control for control in results.controls if control.passed is False]
    sentences = []
    if failed:
        why = "; ".join(map(_why_failed, failed))
        sentences.append(f"This setting decides nothing: {why}.")
    tests = sum(decision.difference is not None for decision in results.claims)
    for decision in results.claims:
        sentences.append(_claim(frames, decision, tests))
    if results.claims:
        sentences.append(
            f"p and intervals of claims are adjusted together over {count(tests, 'claim')}. Everything else "
            "is exploratory."
        )
    sentences += [_control(control) for control in results.controls]
    if not results.claims:
        sentences.append("No claim was named before the run: every difference is exploratory.")
    return sentences


def _claim(frames: Frames, decision: Decision, tests: int) -> str:
    claim, comparison = decision.claim, decision.comparison
    baseline = comparison.baseline_label if comparison.baselines else "the baseline"
    relation = RELATIONS[claim.is_].format(comparison.name, baseline, claim.margin or 0.0)
    arm = decision.row.setting.label if decision.row is not None else claim.arm
    exploratory = f"exploratory, {' and '.join(frames.replanned)} changed after the start"
    planned = count(len(frames.seeds), "planned pair")
    verdict = VERDICTS[decision.verdict].format(missing=decision.missing, planned=planned)
    kind = f"Claim ({exploratory})" if frames.replanned else "Claim"
    return f"{kind}: {arm} {relation}: {verdict}{_numbers(decision, tests)}."


def _numbers(decision: Decision, tests: int) -> str:
    difference = decision.difference
    if difference is None:
        return ""
    summary = difference.summary
    p, could_show = p_value(difference.p_adjusted), _of_claim(decision.claim, difference, tests)
    mean = number(summary.mean, decimals_of(summary), signed=True)
    return (
        f". The difference is {mean} {interval(summary)} over {count(summary.n, 'seed')} "
        f"(Holm-adjusted p {p if p.startswith('<') else '= ' + p}){could_show}"
    )


def _of_claim(claim: Claim, difference: Difference, tests: int) -> str:
    """What the claim's test could have shown."""
    if claim.margin is None:
        return could_find(difference, tests)
    deviation, sides = standard_deviation(difference), 1 if claim.is_ == "no_worse" else 2
    if deviation is None:
        return ""
    least = smallest_margin(deviation, difference.summary.n, SIGNIFICANT / max(tests, 1), sides)
    if least is None:
        return ""
    return f"; a margin of {number(least, decimals_for(least, least))} would be met with 80 % power"


def could_find(difference: Difference | None, tests: int) -> str:
    """What the test of `difference`, one of `tests`, could have shown; empty where that is not known."""
    least = detectable(difference, tests)
    if least is None:
        return ""
    return f"; a difference of {number(least, decimals_for(least, least))} would be found with 80 % power"


def _control(control: Control) -> str:
    label = control.row.setting.label if control.row is not None else control.arm
    results = {True: "passed", False: "failed", None: "not measured yet"}
    return f"{control.kind.capitalize()} control {label}: {results[control.passed]}{_seen(control.row)}."


def _why_failed(control: Control) -> str:
    label = control.row.setting.label if control.row is not None else control.arm
    expected = (
        "is told apart from the baseline"
        if control.kind == "negative"
        else f"is not shown to be better (p ≥ {SIGNIFICANT:g})"
    )
    return f"its {control.kind} control {label} {expected}"


def _seen(row: Compared | None) -> str:
    if row is None or row.difference is None or row.difference.p is None:
        return ""
    summary, p = row.difference.summary, p_value(row.difference.p)
    mean = number(summary.mean, decimals_of(summary), signed=True)
    return (
        f", {mean} over {count(summary.n, 'seed')} (p {p if p.startswith('<') else '= ' + p}, unadjusted)"
        f"{could_find(row.difference, 1)}"
    )
