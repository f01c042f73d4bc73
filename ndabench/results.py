"""The results of a sweep for Python: `load(DIR)` gives tables as data frames, and the trained networks.

    results = ndabench.load("reports/quickstart")
    results.compare("fd_classifier")
    images = results.samples(results.best(), num=16)

The numbers are those of the report, computed by the same code.
"""

import html
import math
from collections.abc import Sequence
from functools import cached_property
from os import PathLike
from typing import TYPE_CHECKING

import pandas as pd

from ndabench.errors import UserError, unknown
from ndabench.records import RecordStore
from ndabench.reporting import frames as recorded
from ndabench.reporting.comparison import DIRECTED, Comparison, comparisons
from ndabench.reporting.figures import curves_over_seeds
from ndabench.reporting.headline import headline
from ndabench.reporting.page import summary_tables, write_report
from ndabench.reporting.rows import rows
from ndabench.reporting.several import require_records
from ndabench.reporting.specs import TableSpec

if TYPE_CHECKING:
    from torch import Tensor, nn

INTERNAL = ["group", "setting"]
"""Columns that hold positions in lists of the report."""


def load(folder: str | PathLike[str]) -> "Results":
    """The results in the folder of a sweep, a path or a pyarrow filesystem URI, at any moment of the sweep.

    They are those of now: load again to see what a running sweep has added. `UserError` where there are none.
    """
    store = RecordStore(str(folder))
    require_records([store])
    return Results(store)


class Results:
    """What a sweep has recorded. Frames are new copies at each access; change them as you like."""

    def __init__(self, store: RecordStore) -> None:
        self._store = store

    @cached_property
    def _frames(self) -> recorded.Frames:
        return recorded.load(self._store)

    @cached_property
    def _comparisons(self) -> list[Comparison]:
        return comparisons(self._frames)

    @property
    def folder(self) -> str:
        """Where the records are."""
        return self._store.root

    @property
    def trials(self) -> pd.DataFrame:
        """A row for each trial, by its id; docs/records.md describes the columns.

        `repeat` is False for the trials of a search, which are compared with nothing.
        """
        return self._frames.trials.drop(columns=INTERNAL)

    @property
    def metrics(self) -> pd.DataFrame:
        """A row for each value: trial, arm, λ, seed, step, what was measured, and how.

        `name` is what the report calls it, such as `val_fd_classifier`; `kind` is `curve` or `metric`.
        """
        values = self._frames.metrics.drop(columns=INTERNAL)
        return values.join(self._frames.trials[["arm", "lambda"]], on="trial_id")

    @property
    def findings(self) -> list[str]:
        """What was found, in the report's sentences."""
        return headline(self._frames, self._comparisons)

    def compare(self, metric: str | None = None) -> pd.DataFrame:
        """The report's tables: a row for each setting under each metric, data set and protocol.

        `metric` is a name that the report shows, such as `fd_classifier`; None: all that were measured on the
        test split. `low` and `high` bound the 95 % interval of the mean over `n` seeds. The difference from
        the baseline is paired by seed; its interval and `p_adjusted` belong to all tests of its family.
        docs/commands.md describes all columns, which are those of `ndabench export --format json`.
        """
        chosen = self._named(metric) if metric is not None else self._on_test()
        return pd.DataFrame(rows(chosen))

    def curves(self, name: str | None = None) -> pd.DataFrame:
        """Means over the seeds at each step with their 95 % intervals, of one curve or metric, or of all."""
        curves, _ = curves_over_seeds(self._frames)
        if name is not None:
            known = curves["name"].unique()
            if name not in known:
                raise unknown("curve or metric", name, known)
            curves = curves[curves["name"] == name]
        settings = self._frames.settings
        return pd.DataFrame(
            {
                "name": curves["name"].astype(str),
                "arm": [settings[place].arm for place in curves["setting"]],
                "lambda": [settings[place].lambda_ for place in curves["setting"]],
                "setting": [settings[place].label for place in curves["setting"]],
                "step": curves["step"],
                "n": curves["count"],
                "mean": curves["mean"],
                "low": curves["mean"] - curves["half_width"],
                "high": curves["mean"] + curves["half_width"],
                "protocol_json": curves["protocol_json"].astype(str),
            }
        ).reset_index(drop=True)

    def best(self, metric: str | None = None, *, arm: str | None = None) -> str:
        """The id of the finished trial with the best value of `metric`, among all arms or those of one.

        `metric` is by default the sweep's primary measure, if it has one. Validation values choose where
        there are any: a choice by test values would make these look better than they are.
        """
        if metric is None and len(names := self._frames.objectives) > 1:
            raise UserError(f"no trial is the best by {' and '.join(names)}; name one metric")
        name = metric or self._frames.measure or next((one.name for one in self._on_test()), None)
        if name is None:
            raise UserError(f"{self.folder}: nothing has been measured yet by which one trial is the best")
        finals = self._frames.finals
        values = finals[
            finals["name"].astype(str).isin([f"val_{name}", name]) & (finals["better"].isin(DIRECTED))
        ]
        if values.empty:
            raise unknown("metric", name, (one.name for one in self._comparisons))
        if (values["split"] == "validation").any():
            values = values[values["split"] == "validation"]
        values = values[values["value"].map(math.isfinite)].join(self._frames.trials["arm"], on="trial_id")
        if arm is not None:
            if arm not in self._frames.arms:
                raise unknown("arm", arm, self._frames.arms)
            values = values[values["arm"] == arm]
        if values.empty:
            raise UserError(f"{self.folder}: no finished trial has a value of {name}")
        by_trial = values.set_index("trial_id")["value"]
        return str(by_trial.idxmin() if values["better"].iloc[0] == "lower" else by_trial.idxmax())

    def generator(self, trial_id: str) -> "nn.Module":
        """The trial's generator with the weights that are measured, in evaluation mode.

        That of a GAN takes noise `[N, latent_dim]` and labels `[N]` and gives images `[N, C, H, W]` in
        [-1, 1]. `UserError` where the trial trained none, or its checkpoint is gone.
        """
        from ndabench.trials.trained import network  # late: reading results needs no torch

        return network(self._store, trial_id, "generator")

    def encoder(self, trial_id: str) -> "nn.Module":
        """The trial's encoder without its head, in evaluation mode: float images `[N, C, H, W]` or clips
        `[N, C, T, H, W]` in [-1, 1] to features `[N, d]`. `UserError` as in `generator`."""
        from ndabench.trials.trained import network  # late: reading results needs no torch

        return network(self._store, trial_id, "encoder")

    def samples(self, trial_id: str, num: int = 64) -> "Tensor":
        """Images from the trial's generator, uint8 `[num, C, H, W]`: first those that its evaluations at that
        step looked at. `UserError` as in `generator`."""
        from ndabench.trials.trained import samples_of  # late: reading results needs no torch

        return samples_of(self._store, trial_id, num)[0]

    def report(self) -> str:
        """Writes report.html into the folder; returns its path."""
        return write_report(self._store)

    def __repr__(self) -> str:
        counts = self._frames.trials["status"].value_counts()
        statuses = ", ".join(f"{number} {status}" for status, number in counts.items())
        return f"Results of {self.folder}: {statuses}; arms {', '.join(self._frames.arms)}"

    def _repr_html_(self) -> str:
        """What a notebook shows: the findings and the table of the primary measure."""
        findings = "".join(f"<li>{html.escape(sentence)}</li>" for sentence in self.findings)
        tables = summary_tables(self._store)[:1]
        return f"<p>{html.escape(repr(self))}</p><ul>{findings}</ul>{''.join(map(_as_html, tables))}"

    def _on_test(self) -> list[Comparison]:
        on_test = [one for one in self._comparisons if not one.on_validation]
        return on_test or self._comparisons

    def _named(self, metric: str) -> list[Comparison]:
        named = [one for one in self._comparisons if one.name == metric]
        if not named:
            raise unknown("metric", metric, (one.name for one in self._comparisons))
        return named


def _as_html(table: TableSpec) -> str:
    def row(cells: Sequence[str], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"

    head = row([column.name for column in table.columns], "th")
    body = "".join(row([cell.text for cell in cells], "td") for cells in table.rows)
    notes = "".join(f"<p>{html.escape(note)}</p>" for note in table.notes)
    return f"<h4>{html.escape(table.title)}</h4><table>{head}{body}</table>{notes}"
