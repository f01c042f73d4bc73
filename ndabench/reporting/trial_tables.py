"""Tables of the trials themselves: which did not finish and why, and how long each one took."""

import math
from typing import Any
from urllib.parse import quote

from ndabench.reporting.formatting import NOTHING, count, duration
from ndabench.reporting.frames import METRICS_GONE, Frames
from ndabench.reporting.specs import Cell, Column, TableSpec

TROUBLE = ("failed", "diverged", METRICS_GONE)
MOST_ROWS = 2000
"""As many as a browser can sort at once; the records have all."""


def unfinished_table(frames: Frames, links: str = "") -> TableSpec | None:
    """Every trial that did not finish, and why; None if all did."""
    rows = [row for row in _rows(frames) if row["status"] != "finished"]
    if not rows:
        return None
    last = frames.metrics.groupby("trial_id", observed=True)["step"].max().to_dict()
    columns = [
        Column("status"),
        Column("setting"),
        Column("seed", numeric=True),
        Column("last measured step", numeric=True),
        Column("reason"),
        Column("trial"),
    ]
    cells = [
        [
            Cell(row["status"], row["status"], mark="bad" if row["status"] in TROUBLE else ""),
            _setting(frames, row),
            Cell(str(row["seed"]), row["seed"]),
            _number(last.get(row["trial_id"]), "{:,}"),
            Cell(row["error"] or _unexplained(row["status"])),
            _trial(row["trial_id"], links),
        ]
        for row in sorted(rows, key=lambda row: row["status"] not in TROUBLE)[:MOST_ROWS]
    ]
    return TableSpec("unfinished", "Trials that did not finish", columns, cells, _left_out(len(rows)))


def _trial(trial_id: str, links: str) -> Cell:
    return Cell(trial_id, trial_id, link=f"{links}{quote(trial_id)}/" if links else "")


def _unexplained(status: str) -> str:
    return "still running, or killed suddenly" if status == "running" else "no reason was recorded"


def trials_table(frames: Frames, links: str = "") -> TableSpec:
    """Every trial with its timings; its id leads to its page, if what comes before it in `links` is given."""
    rows = _rows(frames)
    columns = [
        Column("status"),
        Column("setting"),
        Column("seed", numeric=True),
        Column("time", "over all attempts", numeric=True),
        Column(
            "images/s", "real images, or clips, that all workers together train on per second", numeric=True
        ),
        Column("device"),
        Column("trial"),
    ]
    cells = [
        [
            Cell(row["status"], row["status"], mark="bad" if row["status"] in TROUBLE else ""),
            _setting(frames, row),
            Cell(str(row["seed"]), row["seed"]),
            Cell(duration(row["seconds"]), _sortable(row["seconds"])),
            _number(row["images_per_second"], "{:,.1f}"),
            Cell(row["device"] or NOTHING, row["device"]),
            _trial(row["trial_id"], links),
        ]
        for row in rows[:MOST_ROWS]
    ]
    title = f"All {count(len(rows), 'trial')}"
    return TableSpec("trials", title, columns, cells, _left_out(len(rows)), collapsed=True)


def _left_out(rows: int) -> list[str]:
    return [f"The first {MOST_ROWS:,} of {rows:,}; the records have all."] if rows > MOST_ROWS else []


def _rows(frames: Frames) -> list[dict[Any, Any]]:
    return frames.trials.sort_values(["setting", "seed"]).reset_index().to_dict("records")


def _setting(frames: Frames, row: dict[Any, Any]) -> Cell:
    """A cell that sorts by the order of the report, not by the alphabet."""
    return Cell(frames.settings[row["setting"]].label, row["setting"])


def _number(value: float | None, form: str) -> Cell:
    return Cell(NOTHING) if _sortable(value) is None else Cell(form.format(value), value)


def _sortable(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else value
