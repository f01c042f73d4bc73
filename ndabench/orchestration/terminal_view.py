"""What a person sees while a sweep runs: one line per trial, and the time left.

On a terminal, live progress bars follow below the lines. In a log, such as that of a submitted job, one line
a minute says what the bars would show.
"""

import time
from collections.abc import Callable

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from ndabench.foreign_text import escaped, shortened
from ndabench.planning.sweep_state import (
    Event,
    Notice,
    SweepState,
    Tick,
    TrialEnded,
    TrialInterrupted,
    TrialProgressed,
    TrialRestarted,
    TrialStarted,
)

STATUS_STYLE = {
    "finished": "green",
    "pruned": "yellow",
    "stopped": "yellow",
    "diverged": "red",
    "failed": "red",
}
SECONDS_PER_LINE = 60
LONGEST_ERROR = 300
"""Characters; the records and the report have all of it."""
MOST_NAMED = 8
"""How many running trials a line of a log names."""


class TerminalView:
    """An observer of a sweep that prints to `console`; shows bars while its `with` block lasts.

    `watched` is the recorded name of the objective, None without one.
    """

    def __init__(
        self,
        console: Console,
        state: SweepState,
        watched: str | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._console, self._state, self._watched = console, state, watched
        self._bar_of: dict[str, TaskID] = {}
        self._clock, self._last_line, self._changes = clock, clock(), state.changes
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
        self._overall = self._bars.add_task("all trials", total=state.total, completed=state.ended, note="")

    def __enter__(self) -> "TerminalView":
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def observe(self, event: Event) -> None:
        match event:
            case TrialStarted(active) if self._console.is_terminal:
                label = f"  {escape(active.trial.label)}"
                self._bar_of[active.trial.trial_id] = self._bars.add_task(label, total=1.0, note="")
            case TrialProgressed(active):
                if (bar := self._bar_of.get(active.trial.trial_id)) is not None:
                    value = active.objective
                    note = f"{self._watched} {value:.4g}" if value is not None else ""
                    self._bars.update(bar, completed=active.share, note=note)
                self._update_overall()
            case TrialRestarted(active, message):
                self._print_above_bars(f"{escape(active.trial.label)}: {escape(message)}")
            case TrialEnded(active):
                self._remove_bar(active.trial.trial_id)
                self._print_above_bars(self._line_of_ended(event))
                self._last_line = self._clock()
            case TrialInterrupted(active):
                self._remove_bar(active.trial.trial_id)
            case Notice(line):
                self._print_above_bars(escape(line))
            case Tick():
                self._remind()

    def _line_of_ended(self, ended: TrialEnded) -> str:
        active = ended.trial
        parts = [
            f"[{self._state.ended}/{self._state.total}]",
            f"{escape(active.trial.label)}:",
            f"[{STATUS_STYLE.get(ended.status, 'red')}]{ended.status}[/]",
            f"{self._watched} {active.objective:.4g}" if active.objective is not None else "",
            f"in {ended.seconds:.0f} s" if ended.seconds is not None else "",
            f"({escape(shortened(ended.error, LONGEST_ERROR))})" if ended.error else "",
            f"({escape(ended.notes)})" if ended.notes else "",
            self._left(),
        ]
        return " ".join(filter(None, parts))

    def _remind(self) -> None:
        """In a log, prints a line if none was printed for a while and something has changed."""
        if self._console.is_terminal or self._clock() - self._last_line < SECONDS_PER_LINE:
            return
        self._last_line = self._clock()
        running = list(self._state.running.values())
        if not running or self._changes == self._state.changes:
            return
        self._changes = self._state.changes
        named = [f"{escape(active.trial.label)} {active.share:.0%}" for active in running[:MOST_NAMED]]
        parts = [
            f"[{self._state.ended}/{self._state.total}]",
            ", ".join(named),
            f"and {len(running) - MOST_NAMED} more" if len(running) > MOST_NAMED else "",
            self._left(),
        ]
        self._print_above_bars(" ".join(filter(None, parts)))

    def _print_above_bars(self, line: str) -> None:
        self._bars.console.print(escaped(line), highlight=False, soft_wrap=True)

    def _remove_bar(self, trial_id: str) -> None:
        if trial_id in self._bar_of:
            self._bars.remove_task(self._bar_of.pop(trial_id))
        self._update_overall()

    def _update_overall(self) -> None:
        note = self._left().removeprefix("· ")
        self._bars.update(self._overall, completed=self._state.share_ended, note=note)

    def _left(self) -> str:
        """`· about 3 min left`; empty before there is an estimate."""
        seconds = self._state.seconds_left()
        if seconds is None:
            return ""
        return f"· about {seconds / 60:.0f} min left" if seconds >= 90 else f"· about {seconds:.0f} s left"
