"""Records are passed on whole and in order, whatever happens to a tracker; the sweep never waits for it."""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from ndabench.records import RecordStore, TrialRow
from ndabench.tracking import mirror as module
from ndabench.tracking.mirror import Mirror
from tests.tracking.tracked import write_row, write_step


class Listener:
    """A tracker that writes down what it is told, and raises while it is `away`."""

    def __init__(self, name: str = "listener", has: int = -1) -> None:
        self.name, self.has, self.away, self.closed = name, has, False, False
        self.heard: list[tuple] = []

    def _hear(self, *what: object) -> None:
        if self.away:
            raise ConnectionError("no\nroute")
        self.heard.append(what)

    def begin(self, row: TrialRow) -> int:
        self._hear("begin", row.trial_id)
        return self.has

    def log(self, trial_id: str, step: int, values: Mapping[str, float]) -> None:
        self._hear(step, dict(values))

    def end(self, row: TrialRow) -> None:
        self._hear("end", row.status)

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def store(tmp_path: Path) -> RecordStore:
    return RecordStore(str(tmp_path))


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_trial_is_followed_from_its_start_to_its_end(store: RecordStore) -> None:
    listener = Listener()
    with Mirror(store, [listener], pause=0.01) as mirror:
        mirror.changed("jigsaw-01")  # started, and nothing recorded yet
        write_row(store, "running")
        write_step(store, 0, loss=3.0)
        write_step(store, 9, loss=2.0, val_fd=7.0)
        mirror.changed("jigsaw-01")
        until(lambda: len(listener.heard) == 3)
        write_step(store, 10, loss=1.0)
        write_row(store, "finished")
        for _ in range(3):
            mirror.changed("jigsaw-01")
            time.sleep(0.03)
    assert listener.heard == [
        ("begin", "jigsaw-01"),
        (0, {"loss": 3.0}),
        (9, {"loss": 2.0, "val_fd": 7.0}),
        (10, {"loss": 1.0}),
        ("end", "finished"),
    ]
    assert listener.closed


def test_what_is_open_at_the_end_is_looked_at_once_more(store: RecordStore) -> None:
    listener = Listener()
    write_row(store, "running")
    with Mirror(store, [listener], pause=0.01) as mirror:
        mirror.changed("jigsaw-01")
        until(lambda: bool(listener.heard))
        write_step(store, 5, loss=1.0)
        write_row(store, "stopped")
    assert listener.heard[1:] == [(5, {"loss": 1.0}), ("end", "stopped")]


def test_a_resumed_sweep_tells_only_what_is_new(store: RecordStore) -> None:
    write_row(store, "running")
    for step in (1, 2, 3):
        write_step(store, step, loss=float(step))
    listener = Listener(has=2)
    with Mirror(store, [listener], pause=0.01) as mirror:
        mirror.changed("jigsaw-01")
    assert listener.heard == [("begin", "jigsaw-01"), (3, {"loss": 3.0})]


def test_a_tracker_that_was_away_misses_nothing(store: RecordStore, caplog: pytest.LogCaptureFixture) -> None:
    away, other = Listener("away"), Listener("other")
    away.away = True
    write_row(store, "running")
    write_step(store, 1, loss=1.0)
    with caplog.at_level(logging.WARNING, "ndabench"), Mirror(store, [away, other], pause=0.01) as mirror:
        mirror.changed("jigsaw-01")
        until(lambda: len(caplog.messages) > 0)
        time.sleep(0.1)
        away.away = False
        write_step(store, 2, loss=2.0)
        write_row(store, "finished")
        mirror.changed("jigsaw-01")
    expected = [("begin", "jigsaw-01"), (1, {"loss": 1.0}), (2, {"loss": 2.0}), ("end", "finished")]
    assert away.heard == other.heard == expected
    assert caplog.messages == ["away: ConnectionError: no route; the sweep continues and tries this again"]


def test_a_tracker_that_hangs_does_not_hold_the_sweep(
    store: RecordStore, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.2)
    hanging, freed = Listener("hanging"), threading.Event()
    monkeypatch.setattr(hanging, "begin", lambda row: freed.wait(30) and -1)
    write_row(store, "running")
    began = time.monotonic()
    with Mirror(store, [hanging], pause=0.01) as mirror:
        mirror.changed("jigsaw-01")
        time.sleep(0.1)
        mirror.changed("jigsaw-01")
    assert time.monotonic() - began < 5
    assert caplog.messages == ["hanging had not received everything after 0.2 s"]
    freed.set()


def test_without_trackers_nothing_runs(store: RecordStore) -> None:
    before = threading.active_count()
    with Mirror(store, []) as mirror:
        mirror.changed("jigsaw-01")
        assert threading.active_count() == before
