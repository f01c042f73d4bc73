"""Damaged records: every flipped bit is noticed, the file and row are named, and everything else is shown."""

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ndabench.errors import UserError
from ndabench.measurement import Measurement
from ndabench.records import RecordStore, TrialRow, read_status
from ndabench.records.damage import DamagedError
from ndabench.records.schema import METRICS
from ndabench.records.step_table import StepTable
from tests.damaged_records import DAMAGE, UNREADABLE, rewrite, with_values

ROW = TrialRow(
    sweep="s",
    trial_id="none-01",
    task="gan",
    dataset="digits",
    arm="none",
    seed=3,
    config_json='{"a": 1}',
    status="finished",
    hosts=("one",),
)
OTHER = dataclasses.replace(ROW, trial_id="none-02", seed=4)
MEASURED = {
    "loss": Measurement(1.5),
    "fd": Measurement(2.5, kind="metric", metric="fd", split="test", protocol={"n": 3}),
}


@pytest.fixture
def lines() -> list[str]:
    return []


@pytest.fixture
def store(tmp_path: Path, lines: list[str]) -> RecordStore:
    store = RecordStore(str(tmp_path)).noting(lines.append)
    for row in (ROW, OTHER):
        store.write_trial(row)
        store.write_progress("s", row.trial_id, 5, MEASURED, {"samples.png": b"a picture"})
        store.compact(row.trial_id)
    return store


def table(store: RecordStore, name: str) -> pa.Table:
    return {"trials": store.read_trials, "metrics": store.read_metrics, "artifacts": store.read_artifacts}[
        name
    ]()


@pytest.mark.parametrize("name", ["trials", "metrics", "artifacts"])
def test_every_flipped_bit_is_noticed_or_changes_nothing(store: RecordStore, name: str) -> None:
    """Every bit of a file of each table: some 150,000 flips."""
    content = Path(store.root, name, "none-01.parquet").read_bytes()
    reader: StepTable = store._table(name)
    whole = reader._parsed(content)
    unnoticed = 0
    for place in range(len(content)):
        for bit in range(8):
            flipped = bytearray(content)
            flipped[place] ^= 1 << bit
            try:
                read = reader._parsed(bytes(flipped))
            except DamagedError:
                continue
            unnoticed += 1
            assert read.equals(whole), (place, bit)
    assert 0 < unnoticed <= 8 * len("sha256 of this file with zeros for these digits: ")


def test_any_parquet_reader_may_check_the_pages(store: RecordStore) -> None:
    """A page's header holds its checksum; pyarrow and DuckDB compare them on request."""
    file = Path(store.root, "metrics", "none-01.parquet")
    content, found = file.read_bytes(), 0
    for place in range(4, len(content) // 2):
        file.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        try:
            pq.read_table(file, page_checksum_verification=True)
        except (OSError, pa.ArrowInvalid) as error:
            found += "CRC" in str(error)
    assert found > 100


def test_a_damaged_file_is_named_and_the_other_trials_are_read(store: RecordStore, lines: list[str]) -> None:
    for name in ("trials", "metrics", "artifacts"):
        file = Path(store.root, name, "none-01.parquet")
        file.write_bytes(file.read_bytes()[:-40])
        assert set(table(store, name)["trial_id"].to_pylist()) == {"none-02"}
        line = lines.pop()
        assert line.startswith(f"{file}: damaged (")
        assert "\n" not in line
    assert store.read_trial("none-01") is None
    assert store.without_metrics(store.read_trials()) == []


def test_a_picture_that_changed_is_not_shown(store: RecordStore, lines: list[str]) -> None:
    row = store.read_artifacts().to_pylist()[0]
    assert store.read_artifact(row["path"], row["sha256"]) == b"a picture"
    store.write_bytes(row["path"], b"b picture")
    assert store.read_artifact(row["path"], row["sha256"]) is None
    assert lines == [f"{store.root}/{row['path']}: damaged (it is not as it was written)"]


def test_records_without_checksums_are_still_read(store: RecordStore, lines: list[str]) -> None:
    for name in ("trials", "metrics", "artifacts"):
        file = Path(store.root, name, "none-01.parquet")
        before = table(store, name)
        pq.write_table(pq.read_table(file).replace_schema_metadata(None), file)
        assert table(store, name).equals(before)
    assert not lines


@pytest.mark.parametrize(("name", "change", "expected"), DAMAGE)
def test_the_row_that_cannot_be_used_is_named(
    store: RecordStore, lines: list[str], name: str, change: Callable[[pa.Table], pa.Table], expected: str
) -> None:
    whole = table(store, name)
    file = rewrite(store, name, change)
    read = table(store, name)
    assert read.num_rows < whole.num_rows
    assert "none-02" in read["trial_id"].to_pylist()
    assert lines
    assert lines[0].startswith(f"{file}: damaged (")
    assert expected in lines[0]
    assert len(lines[0]) < 400


@pytest.mark.parametrize(("column", "value"), UNREADABLE)
def test_a_row_is_kept_without_a_text_that_it_can_do_without(
    store: RecordStore, lines: list[str], column: str, value: str
) -> None:
    whole = store.read_trials()
    file = rewrite(store, "trials", with_values(column, [value]))
    read = store.read_trials()
    assert read["trial_id"].equals(whole["trial_id"])
    assert read[column].to_pylist()[0] == (None if column == "negative_data_json" else "{}")
    assert lines[0].startswith(f"{file}: damaged (row 1: {column} is ")


def test_doubled_rows_count_once(store: RecordStore, lines: list[str]) -> None:
    before = {name: table(store, name).num_rows for name in ("trials", "metrics", "artifacts")}
    for name, number in before.items():
        file = rewrite(store, name, lambda rows: pa.concat_tables([rows, rows]))
        assert table(store, name).num_rows == number
        assert lines[0].startswith(f"{file}: damaged (row ")
        assert "once more" in lines[0]
        lines.clear()


@pytest.mark.parametrize(
    "name",
    [
        "notes.txt",
        "none-01 (copy).parquet",
        "none-03.parquet",
        "none-01/000000007.parquet",
        "none-01/x.parquet",
    ],
)
def test_copies_and_strangers_are_named_and_not_read(store: RecordStore, lines: list[str], name: str) -> None:
    expected = store.read_metrics()
    copy = Path(store.root, "metrics", name)
    copy.parent.mkdir(exist_ok=True)
    shutil.copy(Path(store.root, "metrics", "none-01.parquet"), copy)
    assert store.read_metrics().equals(expected)
    assert lines
    assert all(line.startswith(f"{copy}: ") for line in lines)


def test_hidden_folders_are_not_entered(store: RecordStore, lines: list[str]) -> None:
    for name in ("trials", "metrics"):
        shutil.copytree(Path(store.root, name), Path(store.root, name, ".ipynb_checkpoints"))
    assert store.read_trials().num_rows == 2
    assert store.read_metrics().num_rows == 4
    assert not lines


WITHOUT_ZONE = b"""{"schema_version": 2, "sweep": "s", "state": "running", "exit_code": null, "host": "h",
"pid": 1, "started": "2026-01-02T03:04:05", "updated": "2026-01-02T03:04:05", "trials": {}, "running": []}"""


@pytest.mark.parametrize(
    "text",
    [b"", b"[]", b"[" * 100_000, b"{}", b"\xff\xfe", WITHOUT_ZONE, WITHOUT_ZONE.replace(b"[]", b"[1]")],
)
def test_a_status_that_is_none(store: RecordStore, text: bytes) -> None:
    store.write_bytes("status.json", text)
    with pytest.raises(UserError, match="is not the status of a sweep") as caught:
        read_status(store)
    assert len(str(caught.value)) < 400


def test_the_columns_that_metrics_need_are_columns() -> None:
    from ndabench.records.row_checks import KEYS, NEEDED

    assert {*NEEDED["metrics"], *KEYS["metrics"]} <= set(METRICS.names)
