"""Sweeps on an object store: killed, gone on with while it is away, wanted by two drivers at once."""

import json
import time
from pathlib import Path

import pytest

from ndabench.ownership.lease import LEASE
from ndabench.records import RecordStore, read_status
from tests.end_to_end.driving import Bench, Command, Reference, metrics, statuses, wait_until
from tests.object_stores import ObjectStore

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

ENDLESS = {"task": {"num_steps": 4000}, "resources": {"max_concurrent": 1}}
"""Nothing of it is waited for."""
HERE = Path(__file__).parent
IMPATIENT = "import ndabench.records.retry as retry\nretry.SECONDS = 3.0\n"


def on_store(bench: Bench, object_store: ObjectStore, *folders: Path) -> Bench:
    """With the store's keys, and with more folders to import from."""
    path = ":".join([*map(str, folders), str(HERE), bench.environment.get("PYTHONPATH", "")])
    return Bench(bench.folder, {**bench.environment, **object_store.environment, "PYTHONPATH": path})


def measured(store: RecordStore) -> int:
    return len(store.list("metrics"))


def driver(store: RecordStore) -> str | None:
    return json.loads(store.read_bytes(LEASE) or b"{}").get("driver")


def test_a_killed_sweep_on_an_object_store_that_goes_away(
    bench: Bench, object_store: ObjectStore, reference: Reference
) -> None:
    """kill -9 of the driver, a new driver, and in its middle no storage for a while: the same numbers."""
    bench, out = on_store(bench, object_store), object_store.folder()
    file = bench.file(arms=["none"], resources={"max_concurrent": 1})
    arguments, store = ["hasty_sweep", "--no-check", file, "--out", out], RecordStore(out)
    command = bench.start(*arguments)
    try:
        wait_until(
            lambda: "finished" in statuses(out).values() or not command.running, "a trial is finished", 0.1
        )
    finally:
        command.kill()
    assert [status for status in statuses(out).values() if status == "finished"] == ["finished"]
    status = read_status(store)
    assert status is not None
    assert (status.state, status.exit_code) == ("running", None)
    dead, before = driver(store), measured(store)
    assert dead is not None

    command = bench.start(*arguments, "--resume")
    try:
        wait_until(lambda: measured(store) > before or not command.running, "the sweep has gone on", 0.3)
        assert driver(store) != dead
        object_store.stop()
        time.sleep(9)
        object_store.start()
        ended = command.ended()
    finally:
        command.kill()
    assert ended.code == 0, ended.stderr
    assert "held this sweep; waiting 10 s to see whether it lives" in ended.stderr
    assert "2 trials, 1 of them done" in ended.stdout
    assert ended.stdout.endswith("complete: 2 finished\n")
    assert f"report   {out}/report.html\n" in ended.stdout
    assert b"<html" in (store.read_bytes("report.html") or b"")
    assert metrics(out) == reference.metrics_of(statuses(out))
    assert driver(store) is None


def refused(bench: Bench, first: Command, *arguments: str) -> None:
    """A second driver ends with one line, and changes nothing while the first is at work."""
    *_, out = arguments
    claim = RecordStore(out).read_bytes("sweep.yaml")
    second = bench.run(*arguments, "--resume", "--set", "seeds=[5]")
    assert second.code == 2, second.stderr
    assert second.stderr.splitlines()[-1].startswith(f"error: {out}: another driver is at work here")
    assert RecordStore(out).read_bytes("sweep.yaml") == claim
    assert first.running


@pytest.mark.release
def test_two_drivers_and_a_storage_that_never_comes_back(bench: Bench, object_store: ObjectStore) -> None:
    site = bench.folder / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(IMPATIENT)
    bench, out = on_store(bench, object_store, site), object_store.folder()
    arguments = ["hasty_sweep", "--no-check", bench.file(**ENDLESS), "--out", out]
    store = RecordStore(out)
    command = bench.start(*arguments)
    try:
        wait_until(lambda: measured(store) > 0 or not command.running, "something is recorded", 0.3)
        refused(bench, command, *arguments)
        object_store.stop()
        ended = command.ended()
        wait_until(lambda: not command.processes(), "no process is left behind")
    finally:
        command.kill()
    assert ended.code == 2, ended.stderr
    last = ended.stderr.splitlines()[-1]
    assert last.startswith(f"error: {out}/")
    assert "(NETWORK_CONNECTION: Could not connect to server)" in last
    assert "Traceback" not in ended.stderr
    object_store.start()
    assert measured(store) > 0
    assert set(statuses(out).values()) == {"running"}, "--resume goes on with them"
