"""The page of one trial: what it measured, its curves and pictures, what happened, and how it was made."""

from dataclasses import replace
from typing import Any

from ndabench.records import RecordStore
from ndabench.records.trial_log import read_log
from ndabench.reporting.figures import step_figures
from ndabench.reporting.formatting import NOTHING, decimals_for, duration, natural_order, number
from ndabench.reporting.frames import Frames, load
from ndabench.reporting.page import protocol_blocks, written_now
from ndabench.reporting.provenance import pretty, provenance_table
from ndabench.reporting.sheets import sheet_specs
from ndabench.reporting.specs import Cell, CodeSpec, Column, Fact, ReportSpec, Section, TableSpec


def trial_spec(store: RecordStore, trial_id: str, sweep_link: str = "") -> ReportSpec | None:
    """The whole content of the page; None where there is no such trial. `sweep_link` leads to the report."""
    frames = load(store)
    if trial_id not in frames.trials.index:
        return None
    frames = _alone(frames, trial_id)
    trial: dict[Any, Any] = frames.trials.loc[trial_id].to_dict()
    setting = frames.settings[trial["setting"]].label
    log = read_log(store, trial_id)
    happened = [text for text in (trial["error"], trial["notes"]) if isinstance(text, str) and text]
    sections = [
        Section("measured", "What it measured", [_values(frames)] if len(frames.metrics) else []),
        Section("over-training", "Over training", step_figures(frames, [])),
        Section("pictures", "Pictures", sheet_specs(store, frames, [])),
        Section("log", "Log", [CodeSpec("log-tail", "Its last lines, UTC", "\n".join(log))] if log else []),
        Section("protocols", "Protocols", protocol_blocks(frames)),
        Section(
            "provenance",
            "Provenance",
            [
                _facts(trial, sweep_link),
                provenance_table(frames),
                CodeSpec("configuration", "Configuration", pretty(trial["config_json"])),
            ],
        ),
    ]
    return ReportSpec(
        title=f"{setting}, seed {trial['seed']}",
        facts=[
            Fact("trial", trial_id),
            Fact("task and data", frames.groups[trial["group"]].label),
            Fact("status", trial["status"]),
            Fact("time", duration(trial["seconds"])),
            written_now(),
        ],
        headline=happened,
        sections=[section for section in sections if section.blocks],
    )


def _alone(frames: Frames, trial_id: str) -> Frames:
    """The frames with this trial alone; it counts as a repeat, also where only a search ran it."""
    tables = (frames.metrics, frames.checks, frames.artifacts)
    metrics, checks, artifacts = (table[table["trial_id"] == trial_id] for table in tables)
    trials = frames.trials.loc[[trial_id]].assign(repeat=True)
    return replace(frames, trials=trials, metrics=metrics, checks=checks, artifacts=artifacts)


def _values(frames: Frames) -> TableSpec:
    """The last value of each measure, then of each curve."""
    last = frames.metrics.sort_values("step", kind="stable").groupby(["kind", "name"], observed=True).tail(1)
    found: list[dict[Any, Any]] = last.to_dict("records")
    rows = sorted(found, key=lambda row: (row["kind"] == "curve", natural_order(row["name"])))
    cells = [
        [
            Cell(str(row["name"]), str(row["name"])),
            Cell(number(row["value"], decimals_for(None, row["value"])), row["value"]),
            Cell(str(row["unit"]), str(row["unit"])),
            Cell(f"{row['step']:,}", row["step"]),
            Cell(str(row["kind"]), str(row["kind"])),
        ]
        for row in rows
    ]
    columns = [
        Column("name"),
        Column("last value", numeric=True),
        Column("unit"),
        Column("step", "training steps done when it was measured", numeric=True),
        Column("kind", "a metric is the result of an evaluation, a curve is one of the training"),
    ]
    return TableSpec("values", "Last values", columns, cells)


def _facts(trial: dict[Any, Any], sweep_link: str) -> TableSpec:
    times = {name: trial[name] for name in ("started", "finished")}
    facts = {
        "negative": trial["negative"],
        "positive": trial["positive"],
        **{name: f"{time:%Y-%m-%d %H:%M:%S} UTC" for name, time in times.items() if time == time and time},
        "attempts": trial["attempts"] if trial["attempts"] == trial["attempts"] else "",
    }
    rows = [[Cell("sweep"), Cell(trial["sweep"], link=sweep_link)]]
    rows += [[Cell(name), Cell(str(value) or NOTHING)] for name, value in facts.items()]
    return TableSpec("trial", "The trial", [Column("what"), Column("value")], rows)
