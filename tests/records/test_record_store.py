"""Records are whole or absent, never doubled, and readable by any Parquet reader at any moment."""

import dataclasses
import errno
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from datetime import datetime, timezone
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from ndabench.errors import UserError
from ndabench.measurement import Measurement
from ndabench.records import SCHEMA_VERSION, RecordStore, TrialRow
from ndabench.records.schema import ARTIFACTS, METRICS, TRIALS

ROW = TrialRow(
    sweep="synthetic",
    trial_id="0123",
    task="gan",
    dataset="digits",
    arm="jigsaw",
    seed=3,
    config_json='{"a": 1}',
    status="running",
    lambda_=0.25,
    started=datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc),
    hosts=("one", "two"),
)
METRIC = {"fid": Measurement(12.5, "lower", "", {"b": 2, "a": 1}, 0.5)}


@pytest.fixture(params=["disk", "filesystem without a disk", "object store"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> RecordStore:
    if request.param == "object store":
        return RecordStore(request.getfixturevalue("object_store").folder())
    return RecordStore(str(tmp_path / "out") if request.param == "disk" else "mock:///bucket/out")


@pytest.fixture
def disk(tmp_path: Path) -> RecordStore:
    return RecordStore(str(tmp_path / "out"))


def test_nothing_recorded_reads_as_empty_tables(store: RecordStore) -> None:
    assert store.read_trials().schema.equals(TRIALS)
    assert store.read_metrics().schema.equals(METRICS)
    assert store.read_artifacts().schema.equals(ARTIFACTS)
    assert store.read_trials().num_rows == store.read_metrics().num_rows == 0


def test_a_trial_comes_back_as_written_and_is_replaced(store: RecordStore) -> None:
    store.write_trial(ROW)
    store.write_trial(dataclasses.replace(ROW, status="finished", seconds=9.0))
    (row,) = store.read_trials().to_pylist()
    expected = dataclasses.asdict(dataclasses.replace(ROW, status="finished", seconds=9.0))
    expected["lambda"] = expected.pop("lambda_")
    expected["hosts"] = list(expected["hosts"])
    assert row == expected
    assert row["schema_version"] == SCHEMA_VERSION
    assert store.read_trial("0123") == dataclasses.replace(ROW, status="finished", seconds=9.0)
    assert store.read_trial("0124") is None


def test_progress_written_twice_is_there_once(store: RecordStore) -> None:
    for _ in range(2):
        store.write_progress("synthetic", "0123", 10, METRIC, {"samples.png": b"picture"})
    store.write_progress("synthetic", "0123", 20, METRIC, {})
    metrics, artifacts = store.read_metrics().to_pylist(), store.read_artifacts().to_pylist()
    assert [row["step"] for row in metrics] == [10, 20]
    assert metrics[0]["protocol_json"] == '{"a": 1, "b": 2}'
    assert metrics[0]["value"] == 12.5
    assert [(row["kind"], row["path"]) for row in artifacts] == [
        ("samples", "files/0123/000000010-samples.png")
    ]
    assert store.read_bytes(artifacts[0]["path"]) == b"picture"


def test_bytes_listing_and_deleting(store: RecordStore) -> None:
    store.write_bytes("notes/a.txt", b"a")
    store.write_bytes("notes/deep/b.txt", b"b")
    assert store.list("notes") == ["notes/a.txt", "notes/deep/b.txt"]
    assert store.list("nothing") == []
    assert store.read_bytes("notes/c.txt") is None
    store.delete("notes/a.txt")
    store.delete("notes/a.txt")
    store.delete("notes/deep")
    assert store.list("notes") == []


def test_a_store_travels_between_processes(disk: RecordStore) -> None:
    copy = pickle.loads(pickle.dumps(disk))
    copy.write_trial(ROW)
    assert disk.read_trials().num_rows == 1


@pytest.mark.parametrize("path", ["../x", "a/../../x", "/etc/x", "", ".", "a\\b", "a\0b"])
def test_paths_stay_inside_the_root(disk: RecordStore, path: str) -> None:
    with pytest.raises(UserError, match="inside"):
        disk.write_bytes(path, b"")
    with pytest.raises(UserError, match="inside"):
        disk.read_bytes(path)


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".hidden", "_x", "lambda=1", "x" * 129, "é"])
def test_unsafe_names_are_refused(disk: RecordStore, name: str) -> None:
    with pytest.raises(UserError, match="trial id"):
        disk.write_trial(dataclasses.replace(ROW, trial_id=name))
    with pytest.raises(UserError, match="artifact name"):
        disk.write_progress("s", "0123", 1, {}, {name: b""})


def test_pandas_pyarrow_and_duckdb_read_the_folders(disk: RecordStore) -> None:
    disk.write_trial(ROW)
    disk.write_progress("synthetic", "0123", 10, METRIC, {"samples.png": b"x"})
    for debris in ("trials/.0124.parquet.abc.tmp", "metrics/0123/.000000020.parquet.abc.tmp"):
        Path(disk.root, debris).write_bytes(b"cut off")
    trials, metrics = f"{disk.root}/trials", f"{disk.root}/metrics"
    assert pd.read_parquet(trials)["trial_id"].tolist() == ["0123"]
    assert pd.read_parquet(metrics)["trial_id"].tolist() == ["0123"]
    assert ds.dataset(metrics).to_table()["trial_id"].to_pylist() == ["0123"]
    query = """select arm, m.trial_id, value
        from read_parquet($trials) t join read_parquet($metrics) m using (trial_id)"""
    globs = {"trials": f"{trials}/*.parquet", "metrics": f"{metrics}/**/*.parquet"}
    with duckdb.connect() as connection:
        assert connection.execute(query, globs).fetchall() == [("jigsaw", "0123", 12.5)]


def test_every_column_is_described_in_the_file(disk: RecordStore) -> None:
    disk.write_trial(ROW)
    schema = pq.read_schema(f"{disk.root}/trials/0123.parquet")
    assert all(field.metadata[b"description"] for field in schema)
    assert set(schema.names) == {field.name.rstrip("_") for field in dataclasses.fields(TrialRow)}


def test_records_of_a_newer_version_are_refused(disk: RecordStore) -> None:
    disk.write_trial(dataclasses.replace(ROW, schema_version=SCHEMA_VERSION + 1))
    line = r"trials/0123\.parquet: written by a newer ndabench \(schema version 3, this one reads up to 2\)$"
    for read in (disk.read_trials, disk.schema_version):
        with pytest.raises(UserError, match=line):
            read()


def test_an_older_file_without_a_column_reads_as_null(disk: RecordStore) -> None:
    disk.write_trial(ROW)
    file = Path(disk.root, "trials/0123.parquet")
    pq.write_table(pq.read_table(file).drop_columns(["git_commit"]).replace_schema_metadata(None), file)
    assert disk.read_trials()["git_commit"].to_pylist() == [None]


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EDQUOT, "the disk is full"),
        (errno.EROFS, "read-only file system"),
        (errno.EACCES, "permission denied"),
    ],
)
def test_a_place_that_cannot_be_written_is_one_clear_line(
    disk: RecordStore, monkeypatch: pytest.MonkeyPatch, code: int, message: str
) -> None:
    disk.write_trial(ROW)

    def fail(_: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(UserError, match=message) as caught:
        disk.without_retry().write_trial(dataclasses.replace(ROW, status="failed"))
    assert "\n" not in str(caught.value)
    assert "trials/0123.parquet" in str(caught.value)
    assert disk.read_trials()["status"].to_pylist() == ["running"]
    assert [entry.name for entry in Path(disk.root, "trials").iterdir()] == ["0123.parquet"]


def test_a_file_in_the_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(UserError, match="there is a file where a folder should be"):
        RecordStore(str(tmp_path / "out")).write_trial(ROW)


def test_an_unknown_kind_of_storage() -> None:
    with pytest.raises(UserError, match="ftp://x/y: cannot be opened"):
        RecordStore("ftp://x/y")


WRITER = """
import sys
from ndabench.measurement import Measurement
from ndabench.records import RecordStore, TrialRow
store = RecordStore(sys.argv[1])
def write(step):
    store.write_trial(TrialRow(sweep="s", trial_id="t", task="gan", dataset="digits", arm="none", seed=step,
                               config_json="x" * 200_000, status="running"))
write(0)  # the first one imports much
print("ready", flush=True)
for step in range(100_000):
    write(step)
    metrics = {"fid": Measurement(float(step))}
    store.write_progress("s", "t", step % 50, metrics, {"samples.png": b"x" * 50_000})
"""


@pytest.mark.slow
def test_kill_9_while_writing_leaves_only_whole_files(disk: RecordStore) -> None:
    for pause in (0.02, 0.07, 0.15):
        command = [sys.executable, "-c", WRITER, disk.root]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            assert writer.stdout.readline() == "ready\n"
            time.sleep(pause)
            writer.send_signal(signal.SIGKILL)
        assert disk.read_trials().num_rows == 1
        steps = disk.read_metrics()["step"].to_pylist()
        assert len(steps) == len(set(steps))
        for path in disk.read_artifacts()["path"].to_pylist():
            assert len(disk.read_bytes(path) or b"") == 50_000


def test_readers_see_whole_tables_while_others_write(disk: RecordStore) -> None:
    failures: list[Exception] = []

    def write(trial: str) -> None:
        try:
            for step in range(25):
                disk.write_trial(dataclasses.replace(ROW, trial_id=trial, seed=step))
                disk.write_progress("s", trial, step, METRIC, {})
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(f"trial-{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    seen: list[int] = []
    while any(thread.is_alive() for thread in threads):
        seen.append(disk.read_metrics().num_rows)
        assert disk.read_trials().num_rows <= 4
    for thread in threads:
        thread.join()
    assert not failures
    assert seen == sorted(seen)
    assert disk.read_metrics().num_rows == 100
    assert isinstance(disk.read_metrics(), pa.Table)
