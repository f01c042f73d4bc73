"""The state of a running sweep, and the events that tell its observers of every change.

    state = SweepState(total=12, ended={"finished": 3})
    state.subscribe("the terminal", view.observe)
    state.start(trial)                     # view.observe receives TrialStarted
    state.progress(trial.trial_id, {"step": 50, "num_steps": 100})

Observers read the state and never change it. They know nothing of each other, and an observer that raises
does not end the sweep: the log gets a line, and the other observers still receive the event.
"""

import logging
import math
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ndabench.records import RunningTrial
from ndabench.records.schema import ENDED
from ndabench.trials.config import TrialConfig

LEAST_SHARE = 0.3
"""The share of one trial that must be done before the state estimates the time left."""

Ending = Literal["complete", "interrupted", "out of time", "over a limit", "no baseline"]

logger = logging.getLogger(__name__)


@dataclass
class ActiveTrial:
    """A trial that has started and not ended."""

    trial: TrialConfig
    step: int = 0
    num_steps: int | None = None
    objective: float | None = None
    since: float | None = None
    """The time of its first report since it last started: its pace is measured from there."""
    since_step: int = 0

    @property
    def share(self) -> float:
        """The share of its steps that is done, in [0, 1]."""
        return self.step / max(1, self.num_steps) if self.num_steps is not None else 0.0

    def seconds_left(self, now: float) -> float | None:
        if self.since is None or self.num_steps is None or self.step <= self.since_step:
            return None
        return (now - self.since) * (self.num_steps - self.step) / (self.step - self.since_step)

    def summary(self, now: float) -> RunningTrial:
        """The trial as `status.json` shows it."""
        finite = self.objective is not None and math.isfinite(self.objective)
        return RunningTrial(
            trial_id=self.trial.trial_id,
            label=self.trial.label,
            step=self.step,
            num_steps=self.num_steps,
            objective=self.objective if finite else None,
            seconds_left=rounded(self.seconds_left(now)),
        )


@dataclass(frozen=True)
class TrialStarted:
    trial: ActiveTrial


@dataclass(frozen=True)
class TrialProgressed:
    trial: ActiveTrial


@dataclass(frozen=True)
class TrialRestarted:
    """The trial lost its process and will start again; `message` says why and when."""

    trial: ActiveTrial
    message: str


@dataclass(frozen=True)
class TrialEnded:
    trial: ActiveTrial
    status: str
    error: str = ""
    notes: str = ""
    seconds: float | None = None
    """How long the trial ran, in all attempts; None where it was never recorded."""


@dataclass(frozen=True)
class TrialInterrupted:
    """The sweep was interrupted while the trial ran; `--resume` continues it."""

    trial: ActiveTrial


@dataclass(frozen=True)
class Notice:
    """A line for the user that concerns no single trial."""

    line: str


@dataclass(frozen=True)
class Tick:
    """Comes several times a second: for observers that act after some time has passed."""


@dataclass(frozen=True)
class SweepEnded:
    """No trial runs any more."""

    ending: Ending
    exit_code: int


Event = (
    TrialStarted
    | TrialProgressed
    | TrialRestarted
    | TrialEnded
    | TrialInterrupted
    | Notice
    | Tick
    | SweepEnded
)
Observer = Callable[[Event], None]


class SweepState:
    """The ended and running trials, their progress, and how long the rest may take.

    `changes` counts the changes, so that an observer can tell whether there was one since it last looked.
    """

    def __init__(
        self, total: int, ended: Mapping[str, int], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.total, self.changes = total, 0
        self.running: dict[str, ActiveTrial] = {}
        self.starting = 0
        """How many trials had started and recorded nothing when the sweep was interrupted."""
        self._statuses = Counter(ended)
        self._already_ended = self._statuses.total()
        self._clock, self._began = clock, clock()
        self._observers: dict[str, Observer] = {}
        self._failures: dict[str, str] = {}

    def subscribe(self, name: str, observer: Observer) -> None:
        """From now on calls `observer` with every event. The log calls it by `name` if it raises."""
        self._observers[name] = observer

    # What happens to the sweep: each of these tells the observers.

    def start(self, trial: TrialConfig) -> None:
        """A trial starts. A trial that restarts is running already, and the observers hear nothing new."""
        self.changes += 1
        if trial.trial_id not in self.running:
            active = self.running[trial.trial_id] = ActiveTrial(trial)
            self._tell(TrialStarted(active))

    def progress(self, trial_id: str, result: Mapping[str, Any]) -> None:
        """A running trial reports its `step`, `num_steps` and perhaps its `objective`."""
        active = self.running[trial_id]
        active.step, active.num_steps = result["step"], result["num_steps"]
        active.objective = result.get("objective")
        if active.since is None or active.step < active.since_step:
            active.since, active.since_step = self._clock(), active.step
        self.changes += 1
        self._tell(TrialProgressed(active))

    def restart(self, trial_id: str, message: str) -> None:
        """A running trial was lost and will start again, for the reason that `message` gives."""
        active = self.running[trial_id]
        active.since = None  # it resumes from its checkpoint: its pace is measured anew
        self.changes += 1
        self._tell(TrialRestarted(active, message))

    def end(
        self, trial_id: str, status: str, *, error: str = "", notes: str = "", seconds: float | None = None
    ) -> None:
        """A running trial has ended with a recorded `status`."""
        self._tell(TrialEnded(self._remove(trial_id, status), status, error, notes, seconds))

    def interrupt(self, trial_id: str, *, recorded: bool) -> None:
        """A running trial stops because the sweep is interrupted; it has perhaps `recorded` nothing yet."""
        self.starting += not recorded
        self._tell(TrialInterrupted(self._remove(trial_id, "stopped" if recorded else None)))

    def announce(self, line: str) -> None:
        """Something that concerns no single trial."""
        self._tell(Notice(line))

    def tick(self) -> None:
        """Some time has passed."""
        self._tell(Tick())

    def end_sweep(self, ending: Ending, exit_code: int) -> None:
        """No trial runs any more. Fewer may have been planned than a search of so many trials could have."""
        if ending == "complete":
            self.total = self.ended
        self._tell(SweepEnded(ending, exit_code))

    # What there is to know.

    @property
    def ended(self) -> int:
        """How many trials have ended, under this driver or before it."""
        return self._statuses.total()

    @property
    def share_ended(self) -> float:
        """How many trials have ended, plus the finished shares of the running ones."""
        return self.ended + sum(active.share for active in self.running.values())

    def seconds_left(self) -> float | None:
        """Estimated from the work done since the driver began; None before there is enough of it."""
        done = self.share_ended - self._already_ended
        remaining = self.total - self._already_ended - done
        if done < LEAST_SHARE or remaining <= 0:
            return None
        return (self._clock() - self._began) * remaining / done

    def counts(self) -> dict[str, int]:
        """`total`, `waiting`, `running`, and how many trials have ended with each status."""
        waiting = max(0, self.total - self.ended - len(self.running))
        counts = {"total": self.total, "waiting": waiting, "running": len(self.running)}
        return counts | {name: self._statuses[name] for name in ENDED}

    def summaries(self) -> tuple[RunningTrial, ...]:
        """The running trials as `status.json` shows them."""
        now = self._clock()
        return tuple(active.summary(now) for active in self.running.values())

    def _remove(self, trial_id: str, status: str | None) -> ActiveTrial:
        if status is not None:
            self._statuses[status] += 1
        self.changes += 1
        return self.running.pop(trial_id)

    def _tell(self, event: Event) -> None:
        for name, observer in self._observers.items():
            try:
                observer(event)
            except Exception as error:  # a full disk, a closed terminal, a bug: no reason to end the sweep
                failure = " ".join(f"{type(error).__name__}: {error}".split())[:300]
                if self._failures.get(name) != failure:
                    logger.warning("%s: %s; the sweep continues", name, failure)
                self._failures[name] = failure


def rounded(seconds: float | None) -> float | None:
    """To a tenth of a second."""
    return None if seconds is None else round(seconds, 1)
