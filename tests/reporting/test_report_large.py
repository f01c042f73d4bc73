"""A report of thousands of trials stays one that a browser opens: tables say what they leave out."""

import string
from pathlib import Path

import pytest

from ndabench.records import RecordStore
from ndabench.reporting import page, trial_tables
from ndabench.reporting.specs import Section, TableSpec
from ndabench.reporting.tables import MOST_SEARCHED
from tests.reporting.synthetic import Trial, finals, record


def tables(store: RecordStore, section: str) -> list[TableSpec]:
    found: list[Section] = [one for one in page.report_spec(store).sections if one.id == section]
    return [block for block in found[0].blocks if isinstance(block, TableSpec)]


def test_of_many_searched_settings_each_arms_best_are_shown(tmp_path: Path) -> None:
    store = RecordStore(str(tmp_path))
    store.write_bytes("sweep.yaml", b"name: synthetic\nseeds: [0, 1]\nsearch: {sampler: random}\n")
    for seed in (0, 1):
        record(store, Trial(seed=seed), finals(50.0 + seed))
        record(store, Trial("jigsaw", 0.75, seed), finals(90.0 + seed))  # repeated: never left out
    letters = string.ascii_lowercase[: MOST_SEARCHED + 5]
    for place, letter in enumerate(letters):
        trial = Trial("jigsaw", 0.1, 1000, parameters=f'{{"method": "{letter}"}}')
        record(store, trial, finals(60.0 - place))
    record(store, Trial("cutout", 0.25, 1000), finals(70.0))
    table, _ = tables(store, "results")
    jigsaw = [row for row in table.rows if row[0].text == "jigsaw (search only)"]
    assert [row[2].text for row in jigsaw] == list(letters[5:])
    assert [row[0].text for row in table.rows if "search only" not in row[0].text] == ["none", "jigsaw"]
    assert any("cutout" in row[0].text for row in table.rows)
    assert "5 more searched settings not shown: only the best 20 of each arm are. The records have all." in (
        table.notes
    )


def test_of_very_many_trials_the_first_are_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial_tables, "MOST_ROWS", 3)
    store = RecordStore(str(tmp_path))
    for seed in range(4):
        record(store, Trial(seed=seed, status="stopped"), {})
    record(store, Trial(seed=4, status="failed"), {})
    unfinished, every = tables(store, "trials-section")
    assert every.title == "All 5 trials"
    assert [row[0].text for row in unfinished.rows] == ["failed", "stopped", "stopped"]
    assert len(every.rows) == 3
    assert unfinished.notes == every.notes == ["The first 3 of 5; the records have all."]
