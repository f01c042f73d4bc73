"""Compacting a trial's steps into one file: the same rows before, during and after, even cut short."""

import threading
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ndabench.errors import UserError
from ndabench.measurement import Measurement
from ndabench.records import RecordStore
from ndabench.records.files import FileTree
from ndabench.records.schema import METRICS

STEPS = (0, 9, 10, 250)


def write(store: RecordStore, step: int, trial: str = "jigsaw-01", add: float = 0.0) -> None:
    values = {"loss": float(step) + add, "val_fd": step / 7 + add}
    metrics = {name: Measurement(value, "lower", "", {"n": 5}) for name, value in values.items()}
    store.write_progress("synthetic", trial, step, metrics, {"samples.png": b"picture"})


def rows(store: RecordStore) -> tuple[list[dict], list[dict]]:
    return store.read_metrics().to_pylist(), store.read_artifacts().to_pylist()


@pytest.fixture(params=["disk", "object store"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> RecordStore:
    if request.param == "object store":
        return RecordStore(request.getfixturevalue("object_store").folder())
    return RecordStore(str(tmp_path / "out"))


@pytest.fixture
def disk(tmp_path: Path) -> RecordStore:
    store = RecordStore(str(tmp_path / "out"))
    for step in STEPS:
        write(store, step)
    return store


def test_one_file_a_table_takes_the_place_of_the_steps(store: RecordStore) -> None:
    for step in STEPS:
        write(store, step)
    write(store, 9, trial="none-02")
    before, steps = rows(store), list(store.read_steps("jigsaw-01", 9))
    for _ in range(2):
        store.compact("jigsaw-01")
        assert rows(store) == before
        assert (
            list(store.read_steps("jigsaw-01", 9))
            == steps
            == [(10, {"loss": 10.0, "val_fd": 10 / 7}), (250, {"loss": 250.0, "val_fd": 250 / 7})]
        )
        assert store.list("metrics") == ["metrics/jigsaw-01.parquet", "metrics/none-02/000000009.parquet"]
        assert store.list("artifacts") == [
            "artifacts/jigsaw-01.parquet",
            "artifacts/none-02/000000009.parquet",
        ]
    store.compact("never-03")
    assert rows(store) == before


def test_any_reader_of_parquet_sees_the_same(disk: RecordStore) -> None:
    write(disk, 9, trial="none-02")
    before = pd.read_parquet(f"{disk.root}/metrics")
    disk.compact("jigsaw-01")
    after = pd.read_parquet(f"{disk.root}/metrics")
    pd.testing.assert_frame_equal(after.sort_values(["trial_id", "step"], ignore_index=True), before)
    assert not Path(disk.root, "metrics/jigsaw-01").exists()
    assert pq.read_schema(f"{disk.root}/metrics/jigsaw-01.parquet").field("metric").type == pa.string()


@pytest.mark.parametrize("after_calls", range(6))
def test_cut_short_anywhere_it_loses_and_doubles_nothing(
    disk: RecordStore, monkeypatch: pytest.MonkeyPatch, after_calls: int
) -> None:
    before, calls = rows(disk), 0

    def counted(action: Callable) -> Callable:
        def perform(*arguments: object) -> object:
            nonlocal calls
            calls += 1
            if calls > after_calls:
                raise KeyboardInterrupt
            return action(*arguments)

        return perform

    with monkeypatch.context() as patched:
        patched.setattr(FileTree, "write", counted(FileTree.write))
        patched.setattr(FileTree, "delete", counted(FileTree.delete))
        with pytest.raises(KeyboardInterrupt):
            disk.compact("jigsaw-01")
    assert rows(disk) == before
    assert [step for step, _ in disk.read_steps("jigsaw-01", -1)] == list(STEPS)
    disk.compact("jigsaw-01")
    assert rows(disk) == before
    assert disk.list("metrics") == ["metrics/jigsaw-01.parquet"]


def test_a_trial_that_continues_after_all(disk: RecordStore) -> None:
    disk.compact("jigsaw-01")
    write(disk, 10, add=0.5)
    write(disk, 300)
    expected = [(0, 0.0), (9, 9.0), (10, 10.5), (250, 250.0), (300, 300.0)]
    for _ in range(2):
        assert [(step, values["loss"]) for step, values in disk.read_steps("jigsaw-01", -1)] == expected
        steps = disk.read_metrics(["step", "value"], name="loss")
        assert list(zip(*steps.to_pydict().values(), strict=True)) == expected
        assert disk.read_metrics().num_rows == disk.read_artifacts().num_rows * 2 == 10
        disk.compact("jigsaw-01")


def test_readers_during_compaction_see_every_row(store: RecordStore) -> None:
    failures: list[Exception] = []
    trials = [f"trial-{number}" for number in range(8 if store.is_local else 3)]
    for trial in trials:
        for step in range(12 if store.is_local else 4):
            write(store, step, trial)
    expected = rows(store)

    def compact() -> None:
        try:
            for trial in trials:
                store.compact(trial)
        except Exception as error:
            failures.append(error)

    thread = threading.Thread(target=compact)
    thread.start()
    looks = 0
    while thread.is_alive():
        assert rows(store) == expected
        looks += 1
    thread.join()
    assert not failures
    assert looks
    assert rows(store) == expected


@pytest.mark.parametrize("moment", ["opened", "listed"])
def test_what_compaction_deletes_before_it_is(
    disk: RecordStore, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    expected, walk = disk.read_metrics().to_pylist(), FileTree.walk

    def walk_during_compaction(files: FileTree, folder: str, deep: bool = True) -> list[str]:
        monkeypatch.setattr(FileTree, "walk", walk)
        found = walk(files, folder, deep)
        disk.compact("jigsaw-01")
        return found if moment == "opened" else []

    monkeypatch.setattr(FileTree, "walk", walk_during_compaction)
    assert disk.read_metrics().to_pylist() == expected


def test_some_columns_of_one_metric(disk: RecordStore) -> None:
    write(disk, 9, trial="none-02")
    found = disk.read_metrics(["trial_id", "value"], name="loss")
    assert found.schema == pa.schema([METRICS.field("trial_id"), METRICS.field("value")])
    assert found["value"].to_pylist() == [0.0, 9.0, 10.0, 250.0, 9.0]
    assert disk.read_metrics(["value"], name="nothing").num_rows == 0


def test_a_column_that_an_older_ndabench_did_not_write(disk: RecordStore) -> None:
    path = Path(disk.root, "metrics/jigsaw-01/000000009.parquet")
    pq.write_table(pq.read_table(path).drop_columns(["unit"]).replace_schema_metadata(None), path)
    assert disk.read_metrics()["unit"].to_pylist() == ["", "", None, None, "", "", "", ""]


def test_compaction_leaves_what_a_newer_ndabench_wrote_alone(disk: RecordStore) -> None:
    path = Path(disk.root, "metrics/jigsaw-01/000000009.parquet")
    table = pq.read_table(path).replace_schema_metadata(None)
    newer = table.set_column(0, table.schema.field("schema_version"), pa.array([9, 9], pa.int32()))
    pq.write_table(newer, path)
    with pytest.raises(UserError, match="written by a newer ndabench"):
        disk.compact("jigsaw-01")
    assert len(disk.list("metrics")) == len(STEPS)
