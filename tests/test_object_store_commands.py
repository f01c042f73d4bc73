"""The commands with results on an object store: trained, found done, reported; a wrong place is one line."""

from dataclasses import replace
from datetime import datetime, timezone

import pytest

from ndabench.records import RecordStore, SweepStatus, TrialRow, write_status
from ndabench.report import report
from ndabench.reporting.watch import watch
from ndabench.train import train
from tests.command_lines import CommandLine
from tests.object_stores import ObjectStore


def test_training_and_reporting(command_line: CommandLine, object_store: ObjectStore) -> None:
    out, file = object_store.folder(), command_line.file()
    assert command_line(train, file, "--out", out)[0] == 0
    store = RecordStore(out)
    assert store.read_trials()["status"].to_pylist() == ["finished"]
    code, stderr = command_line(train, file, "--out", out, "--resume")
    assert (code, stderr) == (2, f"error: {out}: none seed 0 is finished already; choose another --out\n")
    assert command_line(train, file, "--arm", "jigsaw", "--out", out, "--resume") == (0, "")
    assert command_line(report, out) == (0, "")
    assert b"<html" in (store.read_bytes("report.html") or b"")
    assert store.read_bytes("sweep.yaml")


@pytest.mark.slow
def test_a_place_that_was_never_there_is_not_waited_for(
    command_line: CommandLine, object_store: ObjectStore
) -> None:
    line = command_line.error(train, command_line.file(), "--out", "s3://no-such-bucket/out")
    assert "s3://no-such-bucket/out/plan.yaml: cannot be written (NO_SUCH_BUCKET: The specified" in line
    object_store.stop()
    line = command_line.error(report, object_store.folder())
    assert "cannot be read (NETWORK_CONNECTION: " in line


@pytest.mark.slow
def test_watching(object_store: ObjectStore) -> None:
    """While the store is away the page waits, and the watcher says so."""
    store = RecordStore(object_store.folder())
    now = datetime.now(timezone.utc)
    status = SweepStatus(
        sweep="tiny", state="running", exit_code=None, host="head", pid=1, started=now, updated=now
    )
    row = TrialRow(
        sweep="tiny",
        trial_id="none-01",
        task="gan",
        dataset="digits",
        arm="none",
        seed=0,
        config_json="{}",
        status="running",
        started=now,
    )
    rounds = iter(range(3))

    def between(seconds: float) -> None:
        match next(rounds):
            case 0:
                write_status(store, status)
                store.write_trial(row)
            case 1:
                object_store.stop()
            case 2:
                object_store.start()
                store.write_trial(replace(row, status="finished", finished=now))
                write_status(store, replace(status, state="complete", exit_code=0))

    page = store.local_path("report.html")
    waiting, first, away, last = watch(store, 1, between)
    assert waiting == f"waiting for the first records in {store.root}"
    assert first == last == f"0 of 0 trials ended, 0 running: {page}"
    assert "cannot be read (NETWORK_CONNECTION: " in away
