"""The report: sections computed from records, then rendered with one template into one file.

A new kind of result (a probe, detections, film strips) is a function from frames to blocks and a line in
`report_spec`.
"""

import base64
import hashlib
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timezone
from importlib import resources

import jinja2
from markupsafe import Markup, escape

from ndabench.errors import UserError
from ndabench.foreign_text import escaped
from ndabench.records import LATER_FILE, SWEEP_FILE, RecordStore, SweepStatus, read_status
from ndabench.records.damage import warn_once
from ndabench.reporting import drawing, paper
from ndabench.reporting.checks import check_sentences, check_tables
from ndabench.reporting.claim_sentences import claim_sentences
from ndabench.reporting.comparison import Comparison, comparisons
from ndabench.reporting.costs import costs_table
from ndabench.reporting.figures import lambda_figures, measure_figures, step_figures
from ndabench.reporting.formatting import count, duration
from ndabench.reporting.frames import METRICS_GONE, Frames, load
from ndabench.reporting.headline import headline, of_earlier_files
from ndabench.reporting.negatives import negatives_table
from ndabench.reporting.overview import overview
from ndabench.reporting.provenance import pretty, protocols, provenance_table, sizes_table
from ndabench.reporting.search import search_blocks
from ndabench.reporting.search_figure import search_figure
from ndabench.reporting.sheets import EXAMPLES, sheet_specs, with_pictures
from ndabench.reporting.specs import (
    Block,
    CodeSpec,
    Fact,
    ReportSpec,
    Section,
    Sheet,
    SheetSpec,
    TableSpec,
    TextSpec,
)
from ndabench.reporting.tables import BEST_RULE, comparison_table
from ndabench.reporting.trade_off import trade_off_figures, trade_off_tables, trade_offs
from ndabench.reporting.trial_tables import trials_table, unfinished_table

REPORT_FILE = "report.html"
MOST_DAMAGED = 20
STATUSES = ("finished", "running", "pruned", "stopped", "diverged", "failed", METRICS_GONE)


def write_report(store: RecordStore, reload_seconds: float | None = None, *, all_seeds: bool = False) -> str:
    """Writes `report.html` into the records' folder, at any moment of a sweep; returns its path for display.

    With `reload_seconds` an open page reloads itself after that time. `all_seeds` is that of `frames.load`.
    """
    spec = replace(report_spec(store, all_seeds=all_seeds), reload_seconds=reload_seconds)
    store.write_bytes(REPORT_FILE, render(spec).encode())
    return store.local_path(REPORT_FILE)


def summary_tables(store: RecordStore) -> list[TableSpec]:
    """The report's tables of test metrics, for a terminal; of validation metrics if there are no others."""
    return summary(store)[0]


def summary(store: RecordStore, *, all_seeds: bool = False) -> tuple[list[TableSpec], list[str]]:
    """The tables of `summary_tables`; how to read them, what they do not show, and what became of claims."""
    frames = load(store, all_seeds=all_seeds)
    compared = comparisons(frames)
    shown = [comparison for comparison in compared if not comparison.on_validation] or compared
    rules = [BEST_RULE] if any(row.best for comparison in shown for row in comparison.rows) else []
    tables = [*trade_off_tables(frames, trade_offs(frames, compared)), *comparison_tables(shown)]
    return tables, [*rules, *of_earlier_files(frames), *claim_sentences(frames, compared)]


def report_spec(store: RecordStore, *, all_seeds: bool = False, trial_links: str = "") -> ReportSpec:
    """The whole content of the report, as plain structures.

    `trial_links` is what a trial's id follows in the address of its page; without it trials have no page.
    """
    damage: dict[str, None] = {}

    def note(line: str) -> None:
        damage[escaped(line)] = None
        warn_once(line)

    store = store.noting(note)
    frames = load(store, all_seeds=all_seeds)
    compared = comparisons(frames)
    only_checks = not frames.checks.empty and not compared
    pictures = sheet_specs(store, frames, compared)
    examples = [spec for spec in pictures if spec.id.removeprefix("sheet-") in EXAMPLES]
    negatives = [table for table in [negatives_table(frames)] if table]
    searched = [group for group in [search_figure(frames, compared)] if group]
    sections = [
        Section("results", "Results", [] if only_checks else _results(frames, compared, pictures)),
        Section("checks", "Checks of a machine", check_tables(frames)),
        Section("negatives", "Negatives", [*examples, *negatives]),
        Section("over-lambda", "Over λ", [group for group in [lambda_figures(frames, compared)] if group]),
        Section("search", "Search", [*search_blocks(frames), *searched]),
        Section("over-training", "Over training", step_figures(frames, compared)),
        Section("two-measures", "Two measures", measure_figures(frames, compared)),
        Section("pictures", "Pictures", [spec for spec in pictures if spec not in examples]),
        Section("trials-section", "Trials", trial_blocks(frames, trial_links)),
        Section("protocols", "Protocols", protocol_blocks(frames)),
        Section("provenance", "Provenance", _provenance(frames, store)),
    ]
    return ReportSpec(
        title=", ".join(frames.trials["sweep"].unique()) or "Empty sweep",
        facts=[
            *_facts(frames),
            *_left(store),
            written_now(),
        ],
        headline=[
            *check_sentences(frames),
            *([] if only_checks else headline(frames, compared)),
            *_damage(list(damage)),
        ],
        sections=[section for section in sections if section.blocks],
    )


def _damage(lines: list[str]) -> list[str]:
    """What the report leaves out because it is damaged, as sentences."""
    hidden = len(lines) - MOST_DAMAGED
    more = [f"{count(hidden, 'more line')} about damage in the log."] if hidden > 0 else []
    return [f"Left out: {line}." for line in lines[:MOST_DAMAGED]] + more


def _results(frames: Frames, compared: list[Comparison], pictures: Sequence[SheetSpec]) -> list[Block]:
    if not compared:
        return [TextSpec(["No finished trial has measured anything that can be compared yet."])]
    found = trade_offs(frames, compared)
    figures = [group for group in [trade_off_figures(frames, found)] if group]
    tables: list[Block] = [
        *trade_off_tables(frames, found),
        *figures,
        *with_pictures(overview(frames, compared), pictures, frames, compared),
        *once(comparison_tables(compared)),
    ]
    kinds = {(c.group.task, c.measured_on, c.conditional): None for c in compared}
    published = [
        (measure, *kind[1:])
        for kind in kinds
        for measure in paper.published(*kind)
        if not measure.only_next_to_measured
    ]
    if frames.doubled:
        again = count(frames.doubled, "finished trial")
        tables.append(TextSpec([f"{again} left out: a later one has the same arm, setting and seed."]))
    costs = costs_table(frames)
    return [*tables, *([costs] if costs else []), *(paper.reference_table(*key) for key in published)]


def once(tables: Sequence[TableSpec]) -> list[Block]:
    """The tables, with notes that all of those on the test split share above them instead of below each."""
    shown = [table for table in tables if not table.collapsed]
    shared = [note for note in shown[0].notes if all(note in t.notes for t in shown)] if shown[1:] else []
    kept = [replace(table, notes=[note for note in table.notes if note not in shared]) for table in tables]
    return [*([TextSpec([" ".join(shared)])] if shared else []), *kept]


def comparison_tables(compared: Sequence[Comparison]) -> list[TableSpec]:
    """One table per comparison. Titles name task and data if there are several."""
    several = len({comparison.group for comparison in compared}) > 1
    tables = []
    for place, comparison in enumerate(compared, start=1):
        same = [c for c in compared if (c.group, c.name) == (comparison.group, comparison.name)]
        tables.append(comparison_table(comparison, place, same, name_group=several))
    return tables


def trial_blocks(frames: Frames, links: str = "") -> list[Block]:
    """Every trial, those that did not finish first; `links` as in `report_spec`."""
    unfinished = unfinished_table(frames, links)
    return [*([unfinished] if unfinished else []), trials_table(frames, links)] if len(frames.trials) else []


def protocol_blocks(frames: Frames) -> list[Block]:
    """How each value was measured."""
    used = protocols(frames)
    text = "How each value was measured. Values under different protocols are never averaged or compared."
    return [TextSpec([text]), *used] if used else []


def _provenance(frames: Frames, store: RecordStore) -> list[Block]:
    if frames.trials.empty:
        return []
    first = frames.trials.iloc[0]
    title = f"Configuration of the first trial, {frames.trials.index[0]}"
    blocks: list[Block] = [provenance_table(frames), sizes_table(store)]
    if frames.sweep_text:
        blocks.append(CodeSpec("sweep-file", f"Sweep file ({SWEEP_FILE})", frames.sweep_text))
    if (later := store.read_bytes(LATER_FILE)) is not None:
        text = "\n".join(map(escaped, later.decode(errors="replace").split("\n")))
        blocks.append(CodeSpec("later", f"Measured after the sweep ({LATER_FILE})", text))
    return [*blocks, CodeSpec("first-configuration", title, pretty(first["config_json"]))]


def _facts(frames: Frames) -> list[Fact]:
    trials = frames.trials
    counts = trials["status"].value_counts()
    statuses = ", ".join(f"{counts[status]:,} {status}" for status in STATUSES if status in counts)
    times = [time for time in (trials["started"].min(), trials["finished"].max()) if time == time and time]
    days = [f"{time:%Y-%m-%d} " for time in times]
    same_day = days[1:] == days[:1]
    when = " to ".join(
        f"{'' if same_day and place else day}{time:%H:%M}"
        for place, (day, time) in enumerate(zip(days, times, strict=True))
    )
    return [
        Fact("task and data", "; ".join(dict.fromkeys(group.label for group in frames.groups)) or "none yet"),
        Fact("arms", ", ".join(frames.arms) or "none yet"),
        Fact("trials", f"{len(trials):,}: {statuses}" if len(trials) else "none yet"),
        Fact("ran", f"{when} UTC" if when else "not yet"),
    ]


def status_of(store: RecordStore) -> SweepStatus | None:
    """The sweep's status; None where there is none that can be read, perhaps because a later version wrote
    it: the report does not depend on it."""
    try:
        return read_status(store)
    except UserError:
        return None


def _left(store: RecordStore) -> list[Fact]:
    """The trials and the time left, while a driver runs."""
    status = status_of(store)
    if status is None or status.exit_code is not None or status.is_silent():
        return []
    parts = [
        f"{number_of} {name}" for name in ("running", "waiting") if (number_of := status.trials.get(name))
    ]
    parts += [f"about {duration(status.seconds_left)}"] if status.seconds_left is not None else []
    return [Fact("left", ", ".join(parts))] if parts else []


def written_now() -> Fact:
    """When this report was written."""
    now = datetime.now(timezone.utc)
    return Fact("written", f"{now:%Y-%m-%d %H:%M} UTC", now)


def render(report: ReportSpec) -> str:
    """One HTML file. Its security policy lets it load nothing and use only its own script and styles."""
    templates = resources.files("ndabench.reporting") / "templates"
    style, script = ((templates / name).read_text("utf-8") for name in ("report.css", "report.js"))
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.globals.update(
        kind=lambda block: type(block).__name__, draw=drawing.draw, ring=drawing.ring, swatch=drawing.swatch
    )
    environment.filters |= {"data_uri": _data_uri, "breakable": _breakable}
    template = environment.from_string((templates / "report.html.j2").read_text("utf-8"))
    return template.render(
        report=report,
        style=Markup(style),
        script=Markup(script),
        style_hash=_policy_hash(style),
        script_hash=_policy_hash(script),
    )


def _policy_hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _breakable(name: str) -> Markup:
    """A name that a narrow column may break after an underscore, and not before an arrow or around `=`."""
    return Markup(
        re.sub(" (?=[↑↓=])|(?<==) ", "\N{NO-BREAK SPACE}", str(escape(name))).replace("_", "_<wbr>")
    )


def _data_uri(sheet: Sheet) -> str:
    return f"data:{sheet.media_type};base64,{base64.b64encode(sheet.data).decode()}"
