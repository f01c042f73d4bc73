"""States the findings as sentences."""

from ndabench.errors import first_of
from ndabench.reporting.claim_sentences import claim_sentences, could_find
from ndabench.reporting.comparison import DIRECTED, Compared, Comparison
from ndabench.reporting.formatting import count, decimals_of, interval, number, p_value
from ndabench.reporting.frames import METRICS_GONE, Frames
from ndabench.reporting.intervals import Summary
from ndabench.reporting.tables import lost
from ndabench.reporting.trade_off import trade_off_sentences, trade_offs

MOST_SENTENCES = 6
FEW_SEEDS = 5
MOST_LOSSES = 4


def headline(frames: Frames, comparisons: list[Comparison]) -> list[str]:
    """What was found on the test split by the objective or, without one, by every metric; what these claims
    do not cover; or what is missing, if nothing can be claimed yet. By several metrics of an objective: the
    Pareto set, and no claim."""
    if frames.trials.empty:
        return ["No trial has been recorded yet."]
    test = [c for c in comparisons if not c.on_validation and c.better in DIRECTED]
    if not test:
        return [_nothing_measured(frames)]
    if found := trade_offs(frames, comparisons):
        return [*trade_off_sentences(frames, found), *_cautions(frames, test)]
    if claims := claim_sentences(frames, comparisons):
        return [*claims, *_cautions(frames, test)]
    claimed = [comparison for comparison in test if comparison.claimed]
    if not any(comparison.baselines for comparison in claimed):
        return [
            "No finished trial of the baseline arm was measured on the test split: nothing can be compared."
        ]
    sentences = [sentence for comparison in claimed for sentence in _findings(frames, comparison)]
    hidden = len(sentences) - MOST_SENTENCES
    if hidden > 0:
        sentences = [*sentences[:MOST_SENTENCES], f"{count(hidden, 'more finding')} below, table by table."]
    return [*sentences, *_families(claimed, test), *_cautions(frames, test)]


def _nothing_measured(frames: Frames) -> str:
    finished = int((frames.trials["status"] == "finished").sum())
    if gone := int((frames.trials["status"] == METRICS_GONE).sum()):
        return f"The metrics of {count(gone, 'finished trial')} are gone, and nothing else can be compared."
    if not finished:
        return f"None of {count(len(frames.trials), 'trial')} has finished yet: there is nothing to compare."
    return f"{count(finished, 'trial')} finished, but none measured anything on the test split to compare."


def _findings(frames: Frames, comparison: Comparison) -> list[str]:
    """A sentence for each setting that differs significantly, the clearest first; else for the closest."""
    if not comparison.baselines:
        return []
    tested = sorted(comparison.tested, key=lambda row: (_p(row), _unadjusted(row)))
    significant = [row for row in tested if row.difference and row.difference.significant]
    if significant:
        return [_difference_sentence(row, comparison, _place(frames, comparison)) for row in significant]
    place = _place(frames, comparison)
    baseline = comparison.baseline_label
    if not tested:
        reason = (
            "a paired test needs two shared seeds that differ"
            if any(row.against for row in comparison.rows)
            else "it has no finished repeat at the same setting"
        )
        return [f"{comparison.name}{place}: no arm could be tested against {baseline} ({reason})."]
    nearest = tested[0]
    return [
        f"{comparison.name}{place}: no arm is shown to differ from {baseline}. The clearest, "
        f"{nearest.setting.label}, differs by {_amount(nearest)} ({_how(nearest)})"
        f"{could_find(nearest.difference, comparison.num_tests)}."
    ]


def _difference_sentence(row: Compared, comparison: Comparison, place: str) -> str:
    assert row.difference is not None
    assert row.against is not None
    summary = row.difference.summary
    lowers = summary.mean < 0
    size = summary if not lowers else Summary(summary.n, -summary.mean, summary.half_width)
    decimals = decimals_of(size)
    verdict = "" if _is_better(row, comparison) else ", which is worse"
    return (
        f"{row.setting.label} {'lowers' if lowers else 'raises'} {comparison.name}{place} by "
        f"{number(size.mean, decimals)} {interval(size)} against {row.against.label} over "
        f"{count(summary.n, 'seed')}{verdict} ({_how(row)})."
    )


def _amount(row: Compared) -> str:
    assert row.difference is not None
    summary = row.difference.summary
    mean = number(summary.mean, decimals_of(summary), signed=True)
    return f"{mean} {interval(summary)} over {count(summary.n, 'seed')}"


def _how(row: Compared) -> str:
    p = p_value(_p(row))
    return f"paired t, Holm-adjusted p {p if p.startswith('<') else '= ' + p}"


def _p(row: Compared) -> float:
    adjusted = row.difference.p_adjusted if row.difference else None
    return 1.0 if adjusted is None else adjusted


def _unadjusted(row: Compared) -> float:
    """Orders settings whose p values Holm's adjustment made equal."""
    return 1.0 if row.difference is None or row.difference.p is None else row.difference.p


def _is_better(row: Compared, comparison: Comparison) -> bool:
    assert row.difference is not None
    return (row.difference.summary.mean < 0) == (comparison.better == "lower")


def _place(frames: Frames, comparison: Comparison) -> str:
    """Names the task and data if the report has several."""
    return f" ({comparison.group.label})" if len(frames.groups) > 1 else ""


def _losses(row: Compared) -> str:
    """`cutout at λ = 0.5 (1 diverged, 1 left)`; empty where no repeat was lost."""
    reasons = [f"{number_of} {why}" for why, number_of in lost(row).items()]
    return f"{row.setting.label} ({', '.join(reasons)}, {row.summary.n} left)" if reasons else ""


def _families(claimed: list[Comparison], test: list[Comparison]) -> list[str]:
    """Over which tests p and intervals are adjusted, and which metrics the claims leave out."""
    sentences = []
    names = list(dict.fromkeys(comparison.name for comparison in claimed))
    if tests := claimed[0].num_tests:
        of_which = names[0] if len(names) == 1 else f"{len(names)} metrics"
        sentences.append(
            f"p and intervals are adjusted together over {count(tests, 'test')}: every arm and setting that "
            f"was compared by {of_which}."
        )
    others = list(dict.fromkeys(comparison.name for comparison in test if not comparison.claimed))
    if others:
        sentences.append(
            f"No claim is made about {count(len(others), 'other metric')}: the table of each adjusts for its "
            "own tests alone."
        )
    return sentences


def of_earlier_files(frames: Frames) -> list[str]:
    """What is in the records and no longer in the sweep file, and whether the tables show it."""
    sentences, trials = [], frames.left_out
    if len(trials):
        seeds = sorted(trials["seed"].unique().tolist())
        sentences.append(
            f"Left out: {count(len(trials), 'finished trial')} of {count(len(seeds), 'seed')} that the sweep "
            f"file no longer names ({first_of(seeds)}); `ndabench report DIR --all-seeds` counts them in."
        )
    if frames.all_seeds:
        sentences.append("Seeds that the sweep file no longer names are counted in (--all-seeds).")
    if frames.arms_left:
        sentences.append(f"No longer in the sweep file, but in the tables: {first_of(frames.arms_left)}.")
    return sentences


def _cautions(frames: Frames, test: list[Comparison]) -> list[str]:
    cautions = of_earlier_files(frames)
    seeds = max((row.difference.summary.n for c in test for row in c.tested if row.difference), default=0)
    if 2 <= seeds < FEW_SEEDS:
        cautions.append(
            f"With {count(seeds, 'seed')} only differences that are large compared with the spread can be "
            "distinguished from noise."
        )
    losses = list(dict.fromkeys(text for c in test for row in c.rows if (text := _losses(row))))
    if losses:
        others = (
            [f"and {count(len(losses) - MOST_LOSSES, 'other setting')}"] if len(losses) > MOST_LOSSES else []
        )
        cautions.append(
            f"Repeats were lost, and the remaining repeats alone may make a setting look better than it is: "
            f"{', '.join([*losses[:MOST_LOSSES], *others])}."
        )
    unfinished = int((frames.trials["status"] == "running").sum())
    if unfinished:
        cautions.append(f"{count(unfinished, 'trial')} had not ended when this was written.")
    metrics = [comparison.name for comparison in test]
    if len(set(metrics)) < len(metrics) and len(frames.groups) == 1:
        cautions.append(
            "At least one metric was measured under several protocols; the report shows them separately."
        )
    return cautions
