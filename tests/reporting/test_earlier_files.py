"""A finished sweep resumed with a narrower file: what it no longer names is said, and can be shown."""

from pathlib import Path

import pytest

from ndabench.records import RecordStore
from ndabench.report import report
from ndabench.reporting.comparison import comparisons
from ndabench.reporting.frames import load
from ndabench.reporting.headline import of_earlier_files
from ndabench.reporting.page import report_spec
from tests.reporting.synthetic import Trial, finals, record

WIDE = b"seeds: [0, 1, 2, 3]\narms: [none, jigsaw]"
NARROW = b"seeds: [0, 1]\narms: [none]"


@pytest.fixture
def store(tmp_path: Path) -> RecordStore:
    store = RecordStore(str(tmp_path / "synthetic"))
    for seed in range(4):
        record(store, Trial("none", 1.0, seed), finals(20.0 + seed))
        record(store, Trial("jigsaw", 0.25, seed), finals(15.0 + seed**2))
    return store


def test_seeds_that_a_narrower_file_leaves_out_are_said_and_can_be_counted_in(
    store: RecordStore, capsys: pytest.CaptureFixture[str]
) -> None:
    store.write_bytes("sweep.yaml", NARROW)
    narrow, every = load(store), load(store, all_seeds=True)
    assert [row.summary.n for row in comparisons(narrow)[0].rows] == [2, 2]
    assert [row.summary.n for row in comparisons(every)[0].rows] == [4, 4]
    sentence = (
        "Left out: 4 finished trials of 2 seeds that the sweep file no longer names (2, 3); "
        "`ndabench report DIR --all-seeds` counts them in."
    )
    arms = "No longer in the sweep file, but in the tables: jigsaw."
    assert of_earlier_files(narrow) == [sentence, arms]
    assert {sentence, arms} <= set(report_spec(store).headline)
    report(store.root)
    assert sentence in capsys.readouterr().out
    assert sentence in Path(store.root, "report.html").read_text("utf-8")
    report(store.root, all_seeds=True)
    assert "counted in (--all-seeds)" in capsys.readouterr().out


def test_a_file_that_names_everything_leaves_nothing_out(store: RecordStore) -> None:
    store.write_bytes("sweep.yaml", WIDE)
    assert of_earlier_files(load(store)) == []


def test_seeds_of_other_files_alone_are_no_rows_of_the_search(store: RecordStore) -> None:
    store.write_bytes("sweep.yaml", b"seeds: [7]\narms: [none, jigsaw]")
    assert comparisons(load(store)) == []
    assert len(load(store).left_out) == 8


def test_the_seed_of_a_search_is_none_that_was_left_out(store: RecordStore) -> None:
    store.write_bytes(
        "sweep.yaml", b"seeds: [0, 1, 2]\narms: [none, jigsaw]\nsearch: {sampler: tpe, seed: 3}"
    )
    assert of_earlier_files(load(store)) == []
    assert [row.summary.n for row in comparisons(load(store, all_seeds=True))[0].rows] == [3, 3]
