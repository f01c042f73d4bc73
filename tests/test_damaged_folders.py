"""Folders with damaged records: the report and a resumed sweep name what they leave out, and use the rest.

What stops a resumed sweep is one line that names the file, and changes nothing.
"""

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from ndabench.config import parse
from ndabench.errors import UserError
from ndabench.external.choices import OF_SAMPLES, SweepDefaults
from ndabench.measurement import Measurement
from ndabench.ownership import check_ownership, recorded_sweep, take_ownership
from ndabench.pack import pack
from ndabench.planning.later_evaluations import read_later
from ndabench.planning.outcomes import recorded_outcomes, reopen
from ndabench.planning.sweep_file import SweepConfig
from ndabench.records import RecordStore
from ndabench.records.pack_file import unpack
from ndabench.reporting.page import report_spec, write_report
from ndabench.trials.checkpoints import has_checkpoint
from ndabench.trials.config import Provenance, planned_row
from tests.damaged_records import DAMAGE, UNREADABLE, Change, rewrite, with_values

CONFIG = parse(
    SweepConfig,
    {
        "name": "s",
        "task": "gan",
        "data": "digits",
        "arms": ["none"],
        "seeds": [0, 1],
        "evaluate": ["fd"],
        "objective": {"metric": "fd_classifier"},
    },
    "s.yaml",
)
MEASURED = {
    "loss": Measurement(1.5),
    "fd": Measurement(2.5, "lower", kind="metric", metric="fd_classifier", split="test", protocol={"n": 3}),
}
KEPT: list[tuple[str, Change, str]] = [
    ("trials", with_values(column, [value]), f"row 1: {column} is ")
    for column, value in dict(UNREADABLE).items()  # the last of each column
]
OF_ANOTHER_VERSION = '{"evaluate": ["of another version"]}'


@pytest.fixture
def lines() -> list[str]:
    return []


@pytest.fixture
def store(tmp_path: Path, lines: list[str]) -> RecordStore:
    """Two finished trials with their values and files, in a folder that a sweep owns."""
    store = RecordStore(str(tmp_path / "sweep")).noting(lines.append)
    take_ownership(store, CONFIG, resume=False, data_hash="1")
    for trial, name in zip(CONFIG.grid_trials(), ("none-01", "none-02"), strict=True):
        row = planned_row(trial, Provenance("s"))
        store.write_trial(replace(row, trial_id=name, status="finished", dataset_hash="1"))
        store.write_progress("s", name, trial.task.num_steps, MEASURED, {"notes.txt": b"a file"})
        store.compact(name)
    return store


def resume(store: RecordStore) -> list[str]:
    """The trials that a resumed sweep keeps, after all it does before its first trial."""
    check_ownership(store, CONFIG, resume=True)
    take_ownership(store, CONFIG, resume=True, data_hash="1", negative_data={"none": ["a" * 64]})
    for trial_id in store.without_metrics(store.read_trials()):
        reopen(store, trial_id)
    kept = [one.trial.seed for one in recorded_outcomes(CONFIG, store) if one.ended]
    return [f"none-0{seed + 1}" for seed in kept]


def everything(store: RecordStore) -> dict[str, bytes]:
    folder = Path(store.root)
    return {str(file): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


def assert_is_a_line(line: str, start: str) -> None:
    assert line.startswith(start)
    assert line.isprintable()
    assert len(line) < 400 + len(start)


def test_whole_records_are_used_without_a_line(store: RecordStore, lines: list[str]) -> None:
    assert resume(store) == ["none-01", "none-02"]
    assert not lines
    assert not [line for line in report_spec(store).headline if line.startswith("Left out: ")]


@pytest.mark.parametrize(("name", "change", "expected"), [*DAMAGE, *KEPT])
def test_a_report_and_a_resumed_sweep_name_the_row_and_use_the_rest(
    store: RecordStore, lines: list[str], name: str, change: Change, expected: str
) -> None:
    file = rewrite(store, name, change)
    spec = report_spec(store)
    left_out = [line for line in spec.headline if line.startswith("Left out: ")]
    for line in left_out:
        assert_is_a_line(line, f"Left out: {file}: damaged (")
    assert expected in left_out[0]
    (trials,) = (fact.value for fact in spec.facts if fact.name == "trials")
    gone = name == "trials" and (name, change, expected) not in KEPT
    assert trials.startswith("1: " if gone else "2: ")

    assert "none-02" in resume(store)
    for line in lines:
        assert_is_a_line(line, f"{file}: damaged (")
    # A resumed sweep reads no artifacts.
    assert (expected in lines[0]) if name != "artifacts" else not lines


def test_the_page_of_damaged_records_is_written(store: RecordStore) -> None:
    file = rewrite(store, "metrics", lambda rows: rows.slice(0, 0))
    write_report(store)
    page = Path(store.root, "report.html").read_text()
    assert f"Left out: {file}: damaged (it has no rows)" in page
    assert "none-02" in page


def test_a_pack_of_rows_without_some_of_their_texts(store: RecordStore, tmp_path: Path) -> None:
    def damage(rows: pa.Table) -> pa.Table:
        for column in ("versions_json", "config_json", "negative_data_json"):
            rows = with_values(column, ["[" * 100_000])(rows)
        return rows

    rewrite(store, "trials", damage)
    pack(store.root, tmp_path / "s.zip")
    facts = unpack(tmp_path / "s.zip", tmp_path / "unpacked")
    assert [name for name in facts["files"] if name.startswith("cards/")] == ["cards/none-02.md"]
    assert facts["negative_data"] == []


def test_the_configuration_of_another_version(store: RecordStore, caplog: pytest.LogCaptureFixture) -> None:
    """It belongs to no trial of this sweep."""
    file = rewrite(store, "trials", with_values("config_json", [OF_ANOTHER_VERSION]))
    with caplog.at_level(logging.WARNING):
        assert resume(store) == ["none-02"]
    assert_is_a_line(caplog.messages[-1], f"{file}: row 1: its configuration is not of this version (")


def test_a_trial_of_another_version_without_metrics_is_not_reopened(store: RecordStore) -> None:
    file = rewrite(store, "trials", with_values("config_json", [OF_ANOTHER_VERSION]))
    store.delete("metrics/none-01.parquet")
    store.write_bytes("checkpoints/none-01/000000009.pt", b"its last step")
    before = everything(store)
    with pytest.raises(UserError) as caught:
        reopen(store, "none-01")
    assert_is_a_line(str(caught.value), f"{file}: row 1: its configuration is not of this version (")
    assert has_checkpoint(store, "none-01")
    assert everything(store) == before


def flipped(content: bytes) -> bytes:
    return content.replace(b"name: digits", b"name: digitt", 1)


SWEEP_FILES: list[Callable[[bytes], bytes]] = [
    flipped,
    lambda content: content[:-9],
    lambda content: b"",
    lambda content: b"- 1",
    lambda content: b"\xff\xfe\x00",
    lambda content: b"[" * 100,
    lambda content: b"a: [",
    lambda content: b"a: !!timestamp noon",
    lambda content: b"a: !!int ''",
    lambda content: b"a: &a [*a]",
]


@pytest.mark.parametrize("damage", SWEEP_FILES)
def test_a_damaged_sweep_file(store: RecordStore, damage: Callable[[bytes], bytes]) -> None:
    file = Path(store.root, "sweep.yaml")
    file.write_bytes(damage(file.read_bytes()))
    before = everything(store)
    for use in (resume, recorded_sweep):
        with pytest.raises(UserError) as caught:
            use(store)
        assert_is_a_line(str(caught.value), f"{file}: damaged (")
        assert "; restore it" in str(caught.value)
    assert everything(store) == before
    left_out = [line for line in report_spec(store).headline if line.startswith("Left out: ")]
    assert_is_a_line(left_out[0], f"Left out: {file}: damaged (")


@pytest.mark.parametrize(
    "content", [b"", b"3", b"\xff\xfe\x00", b"[" * 100, b"a: [", b"- {name: nothing}", b"- !!timestamp x"]
)
def test_damaged_evaluations_of_later(store: RecordStore, content: bytes) -> None:
    store.write_bytes("evaluate.yaml", content)
    with pytest.raises(UserError) as caught:
        read_later(store)
    assert_is_a_line(str(caught.value), f"{store.root}/evaluate.yaml: ")


@pytest.mark.parametrize("content", [b"- 1", b"\xff\xfe\x00", b"a: [", b"evaluate: 3", b"evaluate: [[]]"])
def test_a_damaged_sweep_file_next_to_what_others_made(store: RecordStore, content: bytes) -> None:
    store.write_bytes("sweep.yaml", content)
    with pytest.raises(UserError) as caught:
        SweepDefaults(store).evaluations([], OF_SAMPLES)
    assert_is_a_line(str(caught.value), f"{store.root}/sweep.yaml: ")
