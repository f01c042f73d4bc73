"""Comparisons as tables, with the paper's values where the metric is the paper's."""

import json
import math

from ndabench.measurement import OF_LIVE_WEIGHTS
from ndabench.reporting import paper
from ndabench.reporting.comparison import Compared, Comparison
from ndabench.reporting.formatting import (
    NOTHING,
    count,
    decimals_for,
    interval,
    number,
    p_value,
    with_interval,
)
from ndabench.reporting.frames import Setting, decoded
from ndabench.reporting.intervals import SIGNIFICANT, Difference
from ndabench.reporting.paper import Published
from ndabench.reporting.power import detectable
from ndabench.reporting.specs import Cell, Column, TableSpec, Verdict
from ndabench.reporting.trial_tables import TROUBLE

MOST_SEARCHED = 20
"""Per arm, the number of settings shown that only the search has tried."""
LIVE = (
    "A diagnostic of the moving average, and no objective: the same for the generator's weights in training. "
    "An average that is much worse lags behind them; one that is much better steadies a training whose last "
    "weights are a matter of chance."
)
BEST, NEAR_BEST = " ★", " ≈"
BEST_RULE = (
    "★ best mean among the settings with the most seeds; ≈ not shown to differ from it: paired t-tests at "
    "equal seeds, Holm-adjusted over this table."
)
VERDICTS = {"good": " better", "bad": " worse", "": ""}
DIRECTIONS = {"lower": "↓ lower is better", "higher": "↑ higher is better", "neither": ""}


def comparison_table(
    comparison: Comparison, place: int, siblings: list[Comparison], *, name_group: bool
) -> TableSpec:
    """The table of one comparison; `siblings` are the comparisons of the same metric, including this one.

    A metric measured under several protocols has one table per protocol, and each says what differs.
    """
    names = sorted({name for row in comparison.rows for name in row.setting.shown_parameters})
    measure = _published(comparison)
    several = any(row.setting.sweep for row in comparison.rows)
    columns = [
        Column("arm"),
        *([Column("sweep")] if several else []),
        Column("λ", comparison.lambda_meaning, numeric=True),
        *(Column(name, "searched parameter", numeric=True) for name in names),
        Column("n", "seeds with a finite value (and repeats without one)", numeric=True),
        Column("mean ± 95 %", "mean over seeds with its 95 % t-interval", numeric=True),
        *_difference_columns(comparison),
        *(
            [Column("paper", "the paper's value for this arm, data set and λ", numeric=True)]
            if measure
            else []
        ),
    ]
    rows = [_row(comparison, row, names, measure, several) for row in _shown(comparison)]
    return TableSpec(
        id=f"table-{place}",
        title=_title(comparison, siblings) + (f", {comparison.group.label}" if name_group else ""),
        columns=columns,
        rows=rows,
        notes=_notes(comparison, siblings, measure),
        collapsed=comparison.on_validation or not comparison.claimed,
    )


def _shown(comparison: Comparison) -> list[Compared]:
    """Every repeated setting, and each arm's best of those that only the search has tried."""
    sign = -1 if comparison.better == "higher" else 1
    searched = [row for row in comparison.rows if not row.repeated]
    searched.sort(key=lambda row: sign * row.summary.mean if row.summary.n else math.inf)
    by_arm: dict[str, list[Compared]] = {}
    for row in searched:
        by_arm.setdefault(row.setting.arm, []).append(row)
    hidden = {id(row) for rows in by_arm.values() for row in rows[MOST_SEARCHED:]}
    return [row for row in comparison.rows if id(row) not in hidden]


def _title(comparison: Comparison, siblings: list[Comparison]) -> str:
    direction = DIRECTIONS.get(comparison.better, "")
    unit = f" in {comparison.unit}" if comparison.unit else ""
    split = ", validation split" if comparison.on_validation else ", test split"
    which = f", protocol {siblings.index(comparison) + 1} of {len(siblings)}" if len(siblings) > 1 else ""
    return f"{comparison.name}{unit} {direction}".rstrip() + split + which


def _difference_columns(comparison: Comparison) -> list[Column]:
    if not comparison.baselines:
        return []
    name = f"difference from {comparison.baseline_label}"
    mean = "mean difference at equal seeds, with "
    if comparison.on_validation:
        return [Column(name, f"{mean}its 95 % t-interval", numeric=True)]
    return [
        Column(name, f"{mean}the interval that belongs to p", numeric=True),
        Column("p", "two-sided paired t-test, Holm-adjusted over its family of tests", numeric=True),
        Column(
            "detectable",
            "smallest difference that this n and spread show with 80 % power, at 0.05 / m for m tests",
            numeric=True,
        ),
    ]


def _row(
    comparison: Comparison, row: Compared, names: list[str], measure: Published | None, several: bool
) -> list[Cell]:
    setting, parameters = row.setting, row.setting.shown_parameters
    cells = [
        Cell(
            setting.arm + ("" if row.repeated else " (search only)"),
            setting.arm,
            mark="best" if row.best else "",
        ),
        *([Cell(setting.sweep, setting.sweep)] if several else []),
        Cell(NOTHING) if setting.lambda_ is None else Cell(f"{setting.lambda_:g}", setting.lambda_),
        *(_parameter(parameters.get(name)) for name in names),
        _n(row),
        Cell(
            with_interval(row.summary) + (BEST if row.best else NEAR_BEST if row.near_best else ""),
            row.summary.mean,
            note=_values_note(row),
            mark="best" if row.best else "",
        ),
    ]
    if comparison.baselines:
        cells += _difference(comparison, row)[: len(_difference_columns(comparison))]
    if measure:
        cells.append(_paper(comparison, measure, setting))
    return cells


def _parameter(text: str | None) -> Cell:
    if text is None:
        return Cell(NOTHING)
    try:
        return Cell(text, float(text))
    except ValueError:
        return Cell(text, text)


def _n(row: Compared) -> Cell:
    """`1 (+2 diverged)`."""
    if not row.missing:
        return Cell(str(row.summary.n), row.summary.n)
    missing = ", ".join(f"+{number_of} {why}" for why, number_of in row.missing.items())
    return Cell(f"{row.summary.n} ({missing})", row.summary.n, mark="bad" if lost(row) else "")


def lost(row: Compared) -> dict[str, int]:
    """The repeats that will never have a value, counted by reason."""
    return {why: number_of for why, number_of in row.missing.items() if why in ("NaN", *TROUBLE)}


def _values_note(row: Compared) -> str:
    decimals = decimals_for(row.summary.half_width, row.summary.mean)
    return ", ".join(f"seed {seed}: {number(value, decimals)}" for seed, value in sorted(row.values.items()))


def _difference(comparison: Comparison, row: Compared) -> list[Cell]:
    if row.setting in [baseline.setting for baseline in comparison.baselines]:
        return [
            Cell("baseline" if comparison.reference is None else "reference"),
            Cell(NOTHING),
            Cell(NOTHING),
        ]
    difference = row.difference
    if difference is None:
        return [Cell(NOTHING)] * 3
    if difference.summary.n == 0:
        no_pair = "no seed with a value in common with the baseline"
        return [Cell(NOTHING, note=no_pair), Cell(NOTHING), Cell(NOTHING)]
    mark = verdict(difference, comparison.better)
    shown = with_interval(difference.summary, signed=True) + VERDICTS[mark]
    limits = interval(difference.summary)
    level = f"{100 * difference.confidence:.3g} % interval {limits} " if limits else ""
    note = f"{level}over {count(difference.summary.n, 'pair')}"
    least = detectable(difference, comparison.num_tests) if not comparison.on_validation else None
    return [
        Cell(shown, difference.summary.mean, note=note, mark=mark),
        Cell(
            p_value(difference.p_adjusted),
            difference.p_adjusted,
            note=_why_no_p(difference),
        ),
        Cell(number(least, decimals_for(least, least or 0.0)), least),
    ]


def verdict(difference: Difference | None, better: str) -> Verdict:
    """Whether a difference from the baseline is significant, and in which direction, if either is better."""
    if difference is None or not difference.significant or better == "neither":
        return ""
    return "good" if (difference.summary.mean < 0) == (better == "lower") else "bad"


def _why_no_p(difference: Difference) -> str:
    if difference.p_adjusted is not None:
        return ""
    few = difference.summary.n < 2
    return "a test needs at least two pairs" if few else "every pair differs by the same amount"


def _published(comparison: Comparison) -> Published | None:
    """The paper's measure that the metric follows, if the paper has it on this data."""
    if comparison.on_validation or comparison.reference is not None:
        return None
    known = paper.published(comparison.group.task, comparison.measured_on, comparison.conditional)
    return next((measure for measure in known if measure.metric == comparison.metric), None)


def _paper(comparison: Comparison, measure: Published, setting: Setting) -> Cell:
    """An arm without augmentation is the paper's only if it is the baseline or one of the paper's other
    methods: the rest differ in a way that the paper does not know."""
    plain = not setting.negative and not setting.positive
    known = {row.setting.arm for row in comparison.baselines} | {*paper.OTHER_METHODS}
    if plain and setting.arm not in known:
        return Cell(NOTHING)
    value = paper.paper_value(
        measure,
        comparison.measured_on,
        comparison.conditional,
        setting.negative,
        setting.positive,
        setting.lambda_,
        setting.arm,
    )
    return Cell(NOTHING) if value is None else Cell(value.text, value.value, note=value.standing)


def _notes(comparison: Comparison, siblings: list[Comparison], measure: Published | None) -> list[str]:
    notes = []
    if len(siblings) > 1:
        notes.append(
            f"{comparison.name} was measured under {len(siblings)} protocols, which are never averaged or "
            f"compared with each other. This table: {_differing(comparison, siblings)}."
        )
    if comparison.later is not None:
        number_of, when = comparison.later
        notes.append(f"Measured after the trials had ended, {when}: {count(number_of, 'value')}.")
    if comparison.metric.endswith(OF_LIVE_WEIGHTS):
        notes.append(LIVE)
    elif comparison.on_validation:
        notes.append("Searches and schedulers use these values; compare arms on the test split.")
    notes += _difference_notes(comparison)
    if any(row.summary.n == 1 for row in comparison.rows):
        notes.append("One seed gives no interval and no test.")
    if any(not row.repeated for row in comparison.rows):
        notes.append(
            "“search only”: tried once, with the search's own seed; neither repeated nor tested. A search "
            "chooses what to repeat by the validation values at that seed; the repeats took no part in it."
        )
    if hidden := len(comparison.rows) - len(_shown(comparison)):
        settings = count(hidden, "more searched setting")
        notes.append(
            f"{settings} not shown: only the best {MOST_SEARCHED} of each arm are. The records have all."
        )
    if any(row.best for row in comparison.rows):
        notes.append(BEST_RULE)
    if measure:
        notes += [measure.protocol, paper.STANDINGS]
    return notes


def _difference_notes(comparison: Comparison) -> list[str]:
    if not comparison.baselines:
        of = "the baseline arm" if comparison.reference is None else comparison.reference
        return [f"No difference is shown: {of} has no finished repeat to compare with."]
    tested = comparison.tested
    if tested:
        notes = [
            f"Differences are paired by seed; p of a two-sided paired t-test, Holm-adjusted over "
            f"{_family(comparison)}. A difference's interval belongs to its p and is as wide as that "
            f"adjustment makes it: it excludes 0 exactly where p < {SIGNIFICANT:g}."
        ]
    else:
        with_intervals = ", with their 95 % t-interval" if comparison.on_validation else ""
        notes = [f"Differences are paired by seed{with_intervals}."]
    if len({row.setting.arm for row in tested}) < len(tested):
        notes.append(
            "Every repeated setting is tested. The best-looking of several settings tends to look better "
            "than it is; to estimate its difference, repeat it with new seeds."
        )
    if any(row.repeated and row.summary.n and not row.against for row in _others(comparison)):
        of = "the baseline" if comparison.reference is None else comparison.reference
        notes.append(f"Where there is no difference, {of} has no finished repeat at the same setting.")
    if comparison.reference is not None:
        notes.append(f"Each setting is compared with the same one in {comparison.reference}.")
    elif len(comparison.baselines) > 1 and not comparison.baselines[0].setting.shown_parameters:
        notes.append(f"Each setting is compared with {comparison.baseline_label} in the same sweep.")
    elif len(comparison.baselines) > 1:
        names = " and ".join(comparison.baselines[0].setting.shown_parameters)
        notes.append(
            f"Each setting is compared with {comparison.baseline_label} at the same {names}. The table does "
            "not test whether an arm at its best differs from the baseline at its best: for that, use a "
            "sampled search (random, tpe, …), which chooses both with a separate seed."
        )
    return notes


def _family(comparison: Comparison) -> str:
    """The tests over which p is adjusted: `4 tests, those that the headline reports`."""
    tests = count(comparison.num_tests, "test")
    if comparison.exploratory:
        return f"{tests}; this is exploratory, the headline decides the claims"
    if comparison.claimed:
        return f"{tests}, all that the headline draws on"
    return f"{tests} of {comparison.name}; the headline makes no claim about this metric"


def _others(comparison: Comparison) -> list[Compared]:
    """The rows that are neither of the baseline's arm nor of the reference."""
    first = comparison.baselines[0].setting
    if comparison.reference is not None:
        return [row for row in comparison.rows if row.setting.sweep != comparison.reference]
    return [row for row in comparison.rows if row.setting.arm != first.arm]


def _differing(comparison: Comparison, siblings: list[Comparison]) -> str:
    protocols = [decoded(sibling.protocol_json) for sibling in siblings]
    mine = decoded(comparison.protocol_json)
    keys = sorted({key for protocol in protocols for key in protocol})
    differing = [key for key in keys if len({json.dumps(p.get(key), sort_keys=True) for p in protocols}) > 1]
    return ", ".join(f"{key} = {json.dumps(mine.get(key), ensure_ascii=False)}" for key in differing)
