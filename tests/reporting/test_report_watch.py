"""The report kept current: written when records change, and only then, until the sweep ends."""

import json
import sys
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from ndabench.errors import UserError
from ndabench.records import RecordStore, RunningTrial, SweepStatus, read_status, write_status
from ndabench.report import report
from ndabench.reporting.page import report_spec
from ndabench.reporting.specs import Fact
from ndabench.reporting.watch import watch
from tests.reporting.synthetic import Trial, finals, record

NOW = datetime.now(timezone.utc)
RUNNING = SweepStatus(
    sweep="synthetic",
    state="running",
    exit_code=None,
    host="node7",
    pid=42,
    started=NOW,
    updated=NOW,
    seconds_left=90.0,
    trials={
        "total": 3,
        "waiting": 1,
        "running": 1,
        "finished": 1,
        "pruned": 0,
        "stopped": 0,
        "diverged": 0,
        "failed": 0,
    },
    running=(
        RunningTrial(
            trial_id="none-1", label="none seed 1", step=5, num_steps=10, objective=None, seconds_left=5.0
        ),
    ),
)
OVER = replace(RUNNING, state="complete", exit_code=0, running=())


@pytest.fixture(autouse=True)
def now(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests may run long after this file was read, and a status grows old."""
    module = sys.modules[__name__]
    time = datetime.now(timezone.utc)
    running = replace(RUNNING, started=time, updated=time)
    over = replace(running, state="complete", exit_code=0, running=())
    for name, value in {"NOW": time, "RUNNING": running, "OVER": over}.items():
        monkeypatch.setattr(module, name, value)


@pytest.fixture
def store(tmp_path: Path) -> RecordStore:
    return RecordStore(str(tmp_path / "synthetic"))


def test_a_status_is_read_as_it_was_written(store: RecordStore) -> None:
    assert read_status(store) is None
    write_status(store, RUNNING)
    assert read_status(store) == RUNNING
    plain = json.loads(Path(store.local_path("status.json")).read_text())
    assert plain["schema_version"] == 2
    assert plain["exit_code"] is None
    assert plain["running"][0]["step"] == 5


def test_a_status_of_another_time_is_understood_or_refused(store: RecordStore) -> None:
    write_status(store, OVER)
    plain = json.loads(Path(store.local_path("status.json")).read_text())
    store.write_bytes("status.json", json.dumps({**plain, "mood": "good"}).encode())
    assert read_status(store) == OVER
    later, undated = {**plain, "schema_version": 3}, {**plain, "started": "soon"}
    wrong: object
    for wrong in (later, undated, [], {"schema_version": 1}):
        store.write_bytes("status.json", json.dumps(wrong).encode())
        with pytest.raises(UserError, match=r"status\.json: "):
            read_status(store)


def test_a_report_is_written_only_when_records_change(store: RecordStore) -> None:
    page, written, script = Path(store.local_path("report.html")), [], iter(range(6))

    def between(seconds: float) -> None:
        assert seconds >= 7
        written.append(page.stat().st_mtime_ns if page.exists() else 0)
        match next(script):
            case 0:
                record(store, Trial("none", 1, 0), finals(1.0))
            case 2:
                record(store, Trial("none", 1, 1, "running"), {})
                write_status(store, RUNNING)
            case 3:  # the same file again, with another content of the same length
                record(store, Trial("none", 1, 1, "stopped"), {})
                write_status(store, replace(RUNNING, updated=NOW + timedelta(seconds=9)))
            case 5:
                write_status(store, OVER)

    lines = list(watch(store, 7, between))
    assert lines == [
        f"waiting for the first records in {store.root}",
        f"{store.root}/report.html",
        f"1 of 3 trials ended, 1 running: {page}",
        f"1 of 3 trials ended, 1 running: {page}",
        f"1 of 3 trials ended, 1 running: {page}",
    ]
    assert written[0] == 0
    assert 0 < written[1] == written[2] < written[3] < written[4] == written[5]
    assert "data-reload" not in page.read_text()


def test_a_page_reloads_while_the_sweep_runs(store: RecordStore) -> None:
    record(store, Trial("none", 1, 0), finals(1.0))
    write_status(store, RUNNING)
    next(watch(store, 7))
    text = Path(store.local_path("report.html")).read_text()
    assert '<html lang="en" data-reload="7">' in text
    assert Fact("left", "1 running, 1 waiting, about 90 s") in report_spec(store).facts
    write_status(store, replace(RUNNING, seconds_left=None))
    assert Fact("left", "1 running, 1 waiting") in report_spec(store).facts
    for other in (
        OVER,
        replace(RUNNING, seconds_left=None, trials={}),
        replace(RUNNING, updated=NOW - timedelta(hours=1)),
    ):
        write_status(store, other)
        assert "left" not in [fact.name for fact in report_spec(store).facts]
    store.write_bytes("status.json", b"torn")
    assert report_spec(store).facts


def test_the_command_ends_with_the_sweep(store: RecordStore, capsys: pytest.CaptureFixture) -> None:
    record(store, Trial("none", 1, 0), finals(1.0))
    write_status(store, OVER)
    report(store.root, watch=True, every=1)
    first, *_, last = capsys.readouterr().out.splitlines()
    assert first.endswith(f"  1 of 3 trials ended, 1 running: {store.root}/report.html")
    assert last == f"report   {store.root}/report.html"


def test_watching_outlives_trouble_and_says_it_once(store: RecordStore) -> None:
    record(store, Trial("none", 1, 0), finals(1.0))
    table = Path(store.local_path("trials/broken.parquet"))
    table.write_bytes(b"no table")
    rounds = iter(range(4))

    def between(seconds: float) -> None:
        match next(rounds):
            case 1:
                table.unlink()
            case 2:
                write_status(store, replace(RUNNING, updated=NOW - timedelta(hours=1)))
            case 3:
                write_status(store, OVER)

    damaged, first, silent, last = watch(store, 1, between)
    assert damaged == first, "the other trials are shown"
    assert first == store.local_path("report.html")
    assert silent.startswith("the driver on node7 has written nothing since ")
    assert last.endswith("report.html")
