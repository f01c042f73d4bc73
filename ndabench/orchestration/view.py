"""What a person sees while a sweep runs: one line a trial, and the time left.

On a terminal a live bar stands below the lines; in a log, such as that of a submitted job, a line a minute
says what the bar would show.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from ndabench.orchestration.standing import Running, Standing
from ndabench.records import TrialRow
from ndabench.trials import TrialConfig

STATUS_STYLE = {
    "finished": "green",
    "pruned": "yellow",
    "stopped": "yellow",
    "diverged": "red",
    "failed": "red",
}
SECONDS_PER_LINE = 60
MOST_NAMED = 8
"""Running trials that a line of a log names."""


class View:
    """Lines for a log, the same lines above a live display on a terminal; keeps `standing` current."""

    def __init__(
        self,
        console: Console,
        standing: Standing,
        watched: str | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._console, self._standing, self._watched = console, standing, watched
        self._bar_of: dict[str, TaskID] = {}
        self._clock, self._said, self._changes = clock, clock(), standing.changes
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.percentage:>3.0f}%"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._overall = self._bars.add_task(
            "all trials", total=standing.total, completed=standing.ended, note=""
        )

    def __enter__(self) -> "View":
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    @property
    def running(self) -> list[str]:
        """The ids of the trials that have started and not ended."""
        return list(self._standing.running)

    def started(self, trial: TrialConfig) -> None:
        if self._standing.started(trial) and self._console.is_terminal:
            label = f"  {escape(trial.label)}"
            self._bar_of[trial.trial_id] = self._bars.add_task(label, total=1.0, note="")

    def progressed(self, trial_id: str, result: Mapping[str, Any]) -> None:
        running = self._standing.progressed(trial_id, result)
        if trial_id in self._bar_of:
            note = f"{self._watched} {running.objective:.4g}" if running.objective is not None else ""
            self._bars.update(self._bar_of[trial_id], completed=running.share, note=note)
        self._update_overall()

    def lost(self, trial_id: str, what: str) -> None:
        """The trial's process is gone, and `what` says why and what comes next; the trial is not over."""
        label = escape(self._standing.restarted(trial_id).trial.label)
        self._bars.console.print(f"{label}: {escape(what)}", highlight=False, soft_wrap=True)

    def say(self, line: str) -> None:
        """A line of the log that is about no trial of its own."""
        self._bars.console.print(escape(line), highlight=False, soft_wrap=True)

    def ended(self, trial_id: str, row: TrialRow | None, reason: str) -> None:
        """Prints the trial's one line. Where it never came to have a record, it failed for that `reason`."""
        status, error = (row.status, row.error) if row is not None else ("failed", reason)
        running = self.closed(trial_id, status)
        value = running.objective
        parts = [
            f"[{self._standing.ended}/{self._standing.total}]",
            f"{escape(running.trial.label)}:",
            f"[{STATUS_STYLE.get(status, 'red')}]{status}[/]",
            f"{self._watched} {value:.4g}" if value is not None else "",
            f"in {row.seconds:.0f} s" if row is not None and row.seconds is not None else "",
            f"({escape(error)})" if error else "",
            f"({escape(row.notes)})" if row is not None and row.notes else "",
            f"· {self._left()}" if self._left() else "",
        ]
        self._bars.console.print(" ".join(filter(None, parts)), highlight=False, soft_wrap=True)
        self._said = self._clock()

    def closed(self, trial_id: str, status: str) -> Running:
        """The trial runs no more; says nothing."""
        running = self._standing.closed(trial_id, status)
        if trial_id in self._bar_of:
            self._bars.remove_task(self._bar_of.pop(trial_id))
        self._update_overall()
        return running

    def remind(self) -> None:
        """In a log, a line where nothing was said for a while and something has moved; to be called often."""
        if self._console.is_terminal or self._clock() - self._said < SECONDS_PER_LINE:
            return
        self._said = self._clock()
        running = list(self._standing.running.values())
        if not running or self._changes == self._standing.changes:
            return
        self._changes = self._standing.changes
        named = [f"{escape(one.trial.label)} {one.share:.0%}" for one in running[:MOST_NAMED]]
        parts = [
            f"[{self._standing.ended}/{self._standing.total}]",
            ", ".join(named),
            f"and {len(running) - MOST_NAMED} more" if len(running) > MOST_NAMED else "",
            f"· {self._left()}" if self._left() else "",
        ]
        self._console.print(" ".join(filter(None, parts)), highlight=False, soft_wrap=True)

    def _update_overall(self) -> None:
        self._bars.update(self._overall, completed=self._standing.share_ended, note=self._left())

    def _left(self) -> str:
        """`about 3 min left`, or nothing while there is no telling."""
        seconds = self._standing.seconds_left()
        if seconds is None:
            return ""
        return f"about {seconds / 60:.0f} min left" if seconds >= 90 else f"about {seconds:.0f} s left"
