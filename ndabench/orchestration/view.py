"""What a person sees while a sweep runs: one line a trial, a live bar on a terminal, and the time left."""

import time
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from ndabench.records import TrialRow
from ndabench.trials import TrialConfig

STATUS_STYLE = {"finished": "green", "stopped": "yellow", "diverged": "red", "failed": "red"}


@dataclass
class Running:
    trial: TrialConfig
    share: float = 0.0
    bar: TaskID | None = None
    values: dict[str, Any] = field(default_factory=dict)


class View:
    """Lines for a log, the same lines above a live display on a terminal."""

    def __init__(self, console: Console, total: int, already: int, watched: str | None) -> None:
        self._console, self._total, self._already, self._watched = console, total, already, watched
        self._ended = already
        self._running: dict[str, Running] = {}
        self._clock = time.monotonic()
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
        self._overall = self._bars.add_task("all trials", total=total, completed=already, note="")

    def __enter__(self) -> "View":
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    @property
    def running(self) -> list[str]:
        """The ids of the trials that have started and not ended."""
        return list(self._running)

    def started(self, trial: TrialConfig) -> None:
        if trial.trial_id in self._running:  # restarted after a lost process
            return
        running = Running(trial)
        if self._console.is_terminal:
            running.bar = self._bars.add_task(f"  {escape(trial.label)}", total=1.0, note="")
        self._running[trial.trial_id] = running

    def progressed(self, trial_id: str, result: dict[str, Any]) -> None:
        running = self._running[trial_id]
        running.share = result["step"] / max(1, result["num_steps"])
        running.values = result
        if running.bar is not None:
            note = f"{self._watched} {result['objective']:.4g}" if "objective" in result else ""
            self._bars.update(running.bar, completed=running.share, note=note)
        self._update_overall()

    def restarted(self, trial_id: str) -> None:
        label = escape(self._running[trial_id].trial.label)
        self._bars.console.print(
            f"{label}: a process was lost; going on from the checkpoint", highlight=False
        )

    def say(self, line: str) -> None:
        """A line of the log that is about no trial of its own."""
        self._bars.console.print(escape(line), highlight=False, soft_wrap=True)

    def ended(self, trial_id: str, row: TrialRow | None, reason: str) -> None:
        """Prints the trial's one line. Where it never came to have a record, it failed for that `reason`."""
        running = self._running.pop(trial_id)
        self._ended += 1
        if running.bar is not None:
            self._bars.remove_task(running.bar)
        status, error = (row.status, row.error) if row is not None else ("failed", reason)
        value = running.values.get("objective")
        parts = [
            f"[{self._ended}/{self._total}]",
            f"{escape(running.trial.label)}:",
            f"[{STATUS_STYLE.get(status, 'red')}]{status}[/]",
            f"{self._watched} {value:.4g}" if value is not None else "",
            f"in {row.seconds:.0f} s" if row is not None and row.seconds is not None else "",
            f"({escape(error)})" if error else "",
            f"({escape(row.notes)})" if row is not None and row.notes else "",
            f"· {self._left()}" if self._left() else "",
        ]
        self._bars.console.print(" ".join(filter(None, parts)), highlight=False, soft_wrap=True)
        self._update_overall()

    def _update_overall(self) -> None:
        done = self._ended + sum(running.share for running in self._running.values())
        self._bars.update(self._overall, completed=done, note=self._left())

    def _left(self) -> str:
        """`about 3 min left`, from the share of the work done since the start."""
        done = self._ended - self._already + sum(running.share for running in self._running.values())
        remaining = self._total - self._already - done
        if done < 0.3 or remaining <= 0:
            return ""
        seconds = (time.monotonic() - self._clock) * remaining / done
        return f"about {seconds / 60:.0f} min left" if seconds >= 90 else f"about {seconds:.0f} s left"
