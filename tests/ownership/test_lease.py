"""One driver at a time on an object store, as far as a lease can see to it."""

import dataclasses
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import pytest

from ndabench.errors import UserError
from ndabench.interruption import interruptible
from ndabench.ownership import lease as leases
from ndabench.ownership import sole_driver
from ndabench.ownership.lease import LEASE, Lease, LeaseTiming
from ndabench.records import RecordStore
from tests.object_stores import ObjectStore

QUICK = LeaseTiming(renewal=0.1, death=0.7, settling=0.2)
OTHER = {"driver": "another", "host": "node-8", "process": 2, "renewals": 1}


@pytest.fixture
def store(object_store: ObjectStore) -> RecordStore:
    return RecordStore(object_store.folder())


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "LeaseTiming", lambda: QUICK)


def lease(store: RecordStore, on_lost: Callable[[], None] = lambda: None) -> Lease:
    return Lease(store, on_lost, QUICK)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_second_driver_is_refused_while_the_first_lives(quick: None, store: RecordStore) -> None:
    with (
        sole_driver(store),
        pytest.raises(
            UserError, match=r"another driver is at work here \(process \d+ on .*\); wait, or stop"
        ),
        sole_driver(store),
    ):
        pass
    started = time.monotonic()
    with sole_driver(store):
        assert time.monotonic() - started < QUICK.death, (
            "a driver that ended in order leaves nothing to wait for"
        )
    assert store.read_bytes(LEASE) is None


def test_of_two_that_start_at_once_one_continues(store: RecordStore) -> None:
    together, outcomes = threading.Barrier(2), []
    both = [lease(store), lease(store)]

    def take(one: Lease) -> None:
        together.wait()
        try:
            one.take()
        except UserError:
            outcomes.append("refused")
        else:
            outcomes.append("taken")

    threads = [threading.Thread(target=take, args=(one,)) for one in both]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one in both:
        one.release()
    assert sorted(outcomes) == ["refused", "taken"]


def test_a_dead_drivers_lease_is_taken_after_a_while(
    store: RecordStore, caplog: pytest.LogCaptureFixture
) -> None:
    store.write_bytes(LEASE, json.dumps(OTHER).encode())
    started = time.monotonic()
    second = lease(store)
    second.take()
    second.release()
    assert time.monotonic() - started >= QUICK.death
    assert "a driver on node-8 held this sweep; waiting 1 s to see whether it lives" in caplog.messages[0]


def test_a_driver_that_was_silent_learns_that_it_was_replaced(store: RecordStore) -> None:
    lost = threading.Event()
    sleeper = lease(store, lost.set)
    sleeper.take()
    store.write_bytes(LEASE, json.dumps(OTHER).encode())
    assert lost.wait(30)
    assert sleeper.lost
    sleeper.release()
    assert json.loads(store.read_bytes(LEASE) or b"") == OTHER, "the other's lease stays"


def test_a_replaced_driver_stops_with_one_line(quick: None, store: RecordStore) -> None:
    def drive() -> None:
        with interruptible(), sole_driver(store):  # as a command does it
            store.write_bytes(LEASE, json.dumps(OTHER).encode())
            time.sleep(30)  # the driver's work, which the loss interrupts

    with pytest.raises(UserError, match="another driver took this sweep over"):
        drive()


@pytest.mark.slow
def test_a_lease_outlives_a_short_absence_of_the_storage(
    object_store: ObjectStore, store: RecordStore
) -> None:
    lost = threading.Event()
    first = lease(store, lost.set)
    first.take()
    object_store.stop()
    time.sleep(1)
    object_store.start()
    before = json.loads(store.read_bytes(LEASE) or b"")
    wait_for(lambda: json.loads(store.read_bytes(LEASE) or b"")["renewals"] > before["renewals"])
    first.release()
    assert not lost.is_set()
    assert dataclasses.asdict(LeaseTiming())["death"] > 2 * LeaseTiming().renewal


@pytest.mark.parametrize("content", [b"{", b"[1]", b'{"driver": 3}', b"\x00\xff"])
def test_a_damaged_lease_is_waited_for_and_then_taken(content: bytes, store: RecordStore) -> None:
    store.write_bytes(LEASE, content)
    mine = lease(store)
    mine.take()
    assert not mine.lost
    mine.release()
    assert store.read_bytes(LEASE) is None


IN_THE_BACKGROUND = """
import sys, time
from ndabench.command_line import run
from ndabench.ownership import lease, sole_driver
from ndabench.records import RecordStore

def drive(out: str) -> None:
    with sole_driver(RecordStore(out)):
        print("held", flush=True)
        time.sleep(120)

quick = lease.LeaseTiming(renewal=0.1, death=0.7, settling=0.2)
lease.LeaseTiming = lambda: quick
run(drive)
"""


def test_a_driver_in_the_background_of_a_script_ends_with_its_lease(store: RecordStore) -> None:
    """A shell that is not interactive lets what follows `&` ignore the signal that a lost lease sends."""
    command = ["env", "--ignore-signal=INT", sys.executable, "-c", IN_THE_BACKGROUND, store.root]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as driver:
        try:
            assert driver.stdout is not None
            assert driver.stdout.readline() == "held\n"
            store.write_bytes(LEASE, json.dumps(OTHER).encode())
            _, stderr = driver.communicate(timeout=30)
        finally:
            driver.kill()
    assert driver.returncode == 2
    assert stderr == (f"error: {store.root}: another driver took this sweep over while this one was silent\n")
