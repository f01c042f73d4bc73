"""What a sweep does with Tune's trials that are lost, restarted or given up, without running Ray."""

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray.tune.search import Searcher
from rich.console import Console

from ndabench.config import parse
from ndabench.errors import UserError
from ndabench.orchestration.sweep_supervisor import SweepSupervisor
from ndabench.orchestration.terminal_view import TerminalView
from ndabench.orchestration.tune_adapters import (
    EarlyStoppingScheduler,
    QueueSearcher,
    SweepCallback,
    SweepStopper,
)
from ndabench.planning.outcomes import count_statuses
from ndabench.planning.plan import ListedPlan
from ndabench.planning.restarts import Restarts
from ndabench.planning.successive_halving import ArmwiseHalving
from ndabench.planning.sweep_file import SweepConfig
from ndabench.planning.sweep_state import SweepState
from ndabench.planning.trial_queue import TrialQueue
from ndabench.records import RecordStore
from ndabench.sweep import trial_counts
from ndabench.trials.config import Provenance, planned_row

BASE = {
    "name": "tiny",
    "task": {"name": "gan", "num_steps": 90},
    "data": {"name": "digits"},
    "arms": ["none"],
    "evaluate": [{"name": "fd", "every": 10}],
    "objective": {"metric": "fd_classifier"},
}
RATES = {"learning_rate": [1e-4, 1e-3]}
SWEEP = parse(SweepConfig, {**BASE, "seeds": [0], "search": RATES}, "test")
HALVED = parse(
    SweepConfig,
    {
        **BASE,
        "seeds": [1],
        "search": {**RATES, "sampler": "random", "trials_per_arm": 2, "seed": 0},
        "scheduler": {"name": "asha", "grace_steps": 10, "reduction_factor": 3},
    },
    "test",
)
FIRST, SECOND = SWEEP.grid_trials()


def tunes_trial(tune_id: str, **changes: Any) -> SimpleNamespace:
    return SimpleNamespace(
        **{"trial_id": tune_id, "last_result": None, "error_file": None, "status": "RUNNING", **changes}
    )


class Sweep:
    """All that takes part in a sweep, with a clock that the test sets."""

    def __init__(self, folder: Path, most_restarts: int) -> None:
        self.text, self.now = io.StringIO(), 0.0
        self.store = RecordStore(str(folder))
        self.queue = TrialQueue(ListedPlan(SWEEP, {}), Restarts(most_restarts, lambda: self.now), slots=1)
        state, watched = SweepState(2, {}), "val_fd_classifier"
        view = TerminalView(Console(file=self.text, width=500), state, watched)
        state.subscribe("the terminal", view.observe)
        self.supervisor = SweepSupervisor(self.queue, state, self.store, Provenance("tiny"), (watched,))
        self.callback, self.searcher = SweepCallback(self.supervisor), QueueSearcher(self.supervisor)

    def lose(self, trial: SimpleNamespace) -> None:
        """As Tune does it, where an actor dies or raises."""
        self.searcher.on_trial_complete(trial.trial_id, error=True)
        self.callback.on_trial_error(0, [trial], trial)

    def said(self) -> list[str]:
        """The printed lines, without the time left."""
        return [line.partition(" · ")[0] for line in self.text.getvalue().splitlines()]


@pytest.fixture
def sweep(tmp_path: Path) -> Callable[[int], Sweep]:
    return lambda most_restarts: Sweep(tmp_path, most_restarts)


def test_a_process_that_dies_before_it_begins_restarts_and_is_given_up_at_last(
    sweep: Callable[[int], Sweep],
) -> None:
    it = sweep(1)
    assert it.searcher.suggest("a") == {"trial": FIRST.to_json(), "wait": 0.0}
    it.lose(tunes_trial("a"))
    assert it.searcher.suggest("b") == {"trial": SECOND.to_json(), "wait": 0.0}
    it.callback.on_trial_start(0, [], tunes_trial("b"))
    it.callback.on_trial_result(0, [], tunes_trial("b"), {"step": 90, "num_steps": 90})
    it.store.write_bytes(f"checkpoints/{SECOND.trial_id}/000000090.pt", b"")
    it.lose(tunes_trial("b", last_result={"error": "ValueError: no (x.py:3)"}))
    for tune_id, trial in (("c", FIRST), ("d", SECOND)):
        it.now += 60
        assert it.searcher.suggest(tune_id)["trial"] == trial.to_json()
        assert it.searcher.suggest("none") is None, "somebody may still be lost"
        it.lose(tunes_trial(tune_id))
    assert it.searcher.suggest("e") == Searcher.FINISHED
    label, other = FIRST.label, SECOND.label
    assert it.said() == [
        f"{label}: its process was lost; restarting from scratch in 1 s, restart 1 of 1 without progress",
        f"{other}: ValueError: no (x.py:3); resuming from its checkpoint in 1 s, "
        "restart 1 of 1 without progress",
        f"[1/2] {label}: failed (its process was lost; given up after 1 restart without progress)",
        f"[2/2] {other}: failed (its process was lost; given up after 1 restart without progress)",
    ]
    rows = it.store.read_trials().to_pylist()
    assert [row["status"] for row in rows] == ["failed", "failed"], "also where a trial never wrote a row"
    assert it.supervisor.problem is None


def test_a_process_that_was_killed_for_its_silence_and_one_that_could_not_be_reused(
    sweep: Callable[[int], Sweep],
) -> None:
    it = sweep(0)
    it.searcher.suggest("a")
    it.supervisor.reasons["a"] = "its process sent no heartbeat for 120 s and was killed"
    it.lose(tunes_trial("a"))
    it.searcher.suggest("b")
    it.callback.on_step_end(0, [tunes_trial("a", status="ERROR"), tunes_trial("b", status="ERROR")])
    assert it.said() == [
        f"[1/2] {FIRST.label}: failed (its process sent no heartbeat for 120 s and was killed)",
        f"[2/2] {SECOND.label}: failed (its process was lost)",
    ]
    assert it.searcher.suggest("c") == Searcher.FINISHED


def test_a_restarted_trial_passes_its_milestones_once(sweep: Callable[[int], Sweep]) -> None:
    """Counted twice, its own values would be among those that it is compared with."""
    it = sweep(2)
    asha: Any = EarlyStoppingScheduler(ArmwiseHalving(HALVED), it.queue)

    def decision(tune_id: str, step: int, objective: float) -> str:
        result = {"step": step, "objective": objective, "objective_step": step}
        return asha.on_trial_result(None, tunes_trial(tune_id), result)

    it.searcher.suggest("a")
    asha.on_trial_add(None, tunes_trial("a"))
    assert decision("a", 10, 5.0) == asha.CONTINUE
    it.lose(tunes_trial("a"))
    it.searcher.suggest("b")  # the other trial goes first
    it.lose(tunes_trial("b"))
    it.now += 60
    it.searcher.suggest("c")
    assert it.queue["c"] == FIRST
    asha.on_trial_add(None, tunes_trial("c"))
    assert decision("c", 10, 50.0) == asha.CONTINUE, "its milestone was passed with 5.0"
    asha.on_trial_complete(None, tunes_trial("c"), {"step": 10, "objective": 50.0})


def test_records_out_of_reach_end_the_sweep_and_nothing_more_is_tried(
    sweep: Callable[[int], Sweep], monkeypatch: pytest.MonkeyPatch
) -> None:
    it = sweep(0)
    it.searcher.suggest("a")
    it.callback.on_trial_start(0, [], tunes_trial("a"))
    problem = UserError("out: cannot be written (the disk is full)")

    def fail(*_: object) -> None:
        raise problem

    monkeypatch.setattr(it.store, "write_trial", fail)
    stop = SweepStopper(it.supervisor, None)
    assert not stop.stop_all()
    it.lose(tunes_trial("a"))
    assert it.supervisor.problem is problem
    assert stop.stop_all()
    assert stop.stopped is None
    monkeypatch.undo()
    it.searcher.suggest("b")
    it.callback.on_trial_error(0, [], tunes_trial("b"))
    it.searcher.on_trial_complete("b", {"objective": 1.0})
    assert it.store.read_trials().num_rows == 0
    assert it.said() == []


def test_a_trial_that_ends_without_a_report_is_told_by_its_record(sweep: Callable[[int], Sweep]) -> None:
    it = sweep(0)
    it.searcher.suggest("a")
    it.callback.on_trial_start(0, [], tunes_trial("a"))
    it.store.write_trial(replace(planned_row(FIRST, Provenance("tiny")), status="finished", seconds=3.0))
    ended = tunes_trial(
        "a", last_result={"objective": 2.0}, metric_analysis={"x": 1}, metric_n_steps={"x": 1}
    )
    it.searcher.on_trial_complete("a", ended.last_result)
    it.callback.on_trial_complete(0, [], ended)
    assert it.said() == [f"[1/2] {FIRST.label}: finished in 3 s"]
    assert (ended.metric_analysis, ended.metric_n_steps) == ({}, {}), "Tune would keep them to the end"
    assert it.searcher.suggest("b") == {"trial": SECOND.to_json(), "wait": 0.0}


def test_a_sweep_is_complete_only_when_every_planned_trial_has_ended(sweep: Callable[[int], Sweep]) -> None:
    """Tune tells nobody of trials that it stops with the sweep, nor of those that are starting."""
    it = sweep(0)
    it.searcher.suggest("a")
    assert it.supervisor.conclude(None) == "interrupted", "nothing has started"
    it.callback.on_trial_start(0, [], tunes_trial("a"))
    finished = replace(planned_row(FIRST, Provenance("tiny")), status="finished", seconds=3.0)
    it.store.write_trial(finished)
    it.searcher.on_trial_complete("a", {"objective": 2.0})
    it.supervisor.ended("a", "")
    assert it.supervisor.conclude("out of time") == "out of time", "the second was never handed out"
    it.searcher.suggest("b")
    assert it.searcher.suggest("c") is None, "the whole plan is handed out"
    assert it.supervisor.conclude("out of time") == "out of time", "the last process is still starting"
    assert it.supervisor.conclude(None) == "interrupted"
    it.store.write_trial(planned_row(SECOND, Provenance("tiny")))
    it.callback.on_trial_start(0, [], tunes_trial("b"))
    assert it.supervisor.conclude(None) == "interrupted", "the last trial runs"
    assert {row["status"] for row in it.store.read_trials().to_pylist()} == {"finished", "stopped"}


def test_an_interrupted_sweep_says_how_many_trials_were_starting(sweep: Callable[[int], Sweep]) -> None:
    """Their processes have written no row yet."""
    it = sweep(0)
    it.searcher.suggest("a")
    it.callback.on_trial_start(0, [], tunes_trial("a"))
    assert it.supervisor.conclude(None) == "interrupted"
    state = it.supervisor.state
    assert (state.starting, state.counts()["waiting"], state.counts()["stopped"]) == (1, 2, 0)
    assert trial_counts(count_statuses(it.store), state.starting) == "1 starting"
    assert trial_counts({"stopped": 1, "finished": 3}, 2) == "3 finished, 1 stopped, 2 starting"
    assert trial_counts({}, 0) == "no trial has begun"


def test_a_sweep_whose_trials_have_all_ended_is_complete(sweep: Callable[[int], Sweep]) -> None:
    it = sweep(0)
    it.searcher.suggest("a")
    it.lose(tunes_trial("a"))
    it.searcher.suggest("b")
    it.callback.on_trial_start(0, [], tunes_trial("b"))
    it.store.write_trial(replace(planned_row(SECOND, Provenance("tiny")), status="diverged"))
    it.searcher.on_trial_complete("b", {})
    it.supervisor.ended("b", "")
    assert it.supervisor.conclude("out of time") == "complete"


def test_a_sweep_stops_when_its_time_is_spent(sweep: Callable[[int], Sweep]) -> None:
    it = sweep(0)
    stop = SweepStopper(it.supervisor, 10, clock=lambda: it.now)
    it.now = 9.9
    assert not stop.stop_all()
    it.now = 10
    assert stop.stop_all()
    assert stop.stopped == "out of time"
