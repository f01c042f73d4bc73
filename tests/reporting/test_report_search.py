"""The report says whether a search gave every arm the same. No number here was measured."""

import json
from pathlib import Path

import pytest

from ndabench.records import RecordStore
from ndabench.reporting.frames import load
from ndabench.reporting.search import search_blocks
from ndabench.reporting.specs import TableSpec
from tests.reporting.synthetic import Trial, finals, record

SWEEP = b"""arms: [none, jigsaw, untrained]
seeds: [0]
search: {dimensions: {lambda: {uniform: [0, 1]}, rate: [1, 2, 3]}, sampler: tpe, seed: 7}
"""


@pytest.fixture
def store(tmp_path: Path) -> RecordStore:
    store = RecordStore(str(tmp_path))
    store.write_bytes("sweep.yaml", SWEEP)
    for arm, weight in (("none", 1.0), ("jigsaw", 0.5)):
        for rate in (1, 2):
            trial = Trial(arm, weight, seed=7, parameters=json.dumps({"rate": rate}))
            record(store, trial, finals(3.0, 2.0))
        record(store, Trial(arm, weight, parameters='{"rate": 1}'), finals(3.0, 2.0))
    record(store, Trial("untrained"), finals(9.0))
    return store


def _table(store: RecordStore) -> TableSpec:
    (table,) = search_blocks(load(store))
    assert isinstance(table, TableSpec)
    return table


def test_equal_searches_are_called_equal(store: RecordStore) -> None:
    table = _table(store)
    cells = [[cell.text for cell in row] for row in table.rows]
    assert cells == [
        ["none", "2", "2", "0", "0", "200", "rate"],
        ["jigsaw", "2", "2", "0", "0", "200", "lambda, rate"],
    ]
    assert table.notes == [
        "All arms had the same search: 2 settings each, chosen by tpe on the validation split at seed 7, "
        "which no repeat uses.",
        "none was not searched over lambda, which it does not use or sets.",
        "Not searched: untrained.",
    ]


def test_unequal_searches_are_told_apart(store: RecordStore) -> None:
    record(store, Trial("jigsaw", 0.5, 7, "pruned", parameters='{"rate": 3}'), {50: {}})
    table = _table(store)
    assert table.notes[0].startswith(
        "The arms did not try equally many settings (none 2, jigsaw 3), chosen by"
    )
    assert [cell.text for cell in table.rows[1]][:4] == ["jigsaw", "3", "2", "1"]


def test_a_grid_has_no_search(store: RecordStore) -> None:
    store.write_bytes("sweep.yaml", SWEEP.replace(b"tpe", b"grid"))
    assert search_blocks(load(store)) == []
