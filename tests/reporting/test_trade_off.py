"""Several metrics in the objective: the Pareto set in tables, sentences and a picture. All is made up."""

import json
from pathlib import Path

import pytest

from ndabench.errors import UserError
from ndabench.records import RecordStore
from ndabench.reporting.comparison import comparisons
from ndabench.reporting.drawing import draw
from ndabench.reporting.frames import load
from ndabench.reporting.page import render, report_spec, summary
from ndabench.reporting.specs import FigureSpec
from ndabench.reporting.trade_off import trade_off_figures, trade_offs
from ndabench.results import Results
from tests.reporting.synthetic import Trial, finals, record

SWEEP = b"""arms: [none, jigsaw]
seeds: [0, 1]
objective: {metric: [fd_classifier, seconds]}
search: {dimensions: {width: [8, 16, 32]}, sampler: tpe, seed: 7}
"""
MEANS = {  # arm, width: distance and seconds of the repeats
    ("none", 8): (9.0, 10.0),
    ("none", 16): (7.0, 20.0),
    ("jigsaw", 16): (5.0, 21.0),
    ("jigsaw", 32): (6.0, 40.0),
}


def trial(arm: str, width: int, seed: int, seconds: float) -> Trial:
    weight = 1.0 if arm == "none" else 0.5
    return Trial(arm, weight, seed, parameters=json.dumps({"width": width}), seconds=seconds)


@pytest.fixture
def store(tmp_path: Path) -> RecordStore:
    """Each setting at two seeds, 1 above and 1 below its means, and one that only the search has tried."""
    store = RecordStore(str(tmp_path))
    store.write_bytes("sweep.yaml", SWEEP)
    for (arm, width), (distance, seconds) in MEANS.items():
        for seed in (0, 1):
            away = 1 if seed else -1
            record(store, trial(arm, width, seed, seconds + away), finals(distance + away, distance))
    record(store, trial("jigsaw", 8, 7, 1.0), finals(1.0, 1.0))
    return store


def test_the_table_says_which_repeated_settings_are_in_the_set(store: RecordStore) -> None:
    table = summary(store)[0][0]
    assert table.title == "Pareto set of fd_classifier ↓ and seconds ↓, test split"
    rows = [[row[0].text, row[1].text, row[2].sort, row[3].sort, row[4].text] for row in table.rows]
    assert rows == [
        ["jigsaw at λ = 0.5, width = 16", "2", 5.0, 21.0, "in it"],
        ["none at width = 16", "2", 7.0, 20.0, "in it"],
        ["none at width = 8", "2", 9.0, 10.0, "in it"],
        ["jigsaw at λ = 0.5, width = 32", "2", 6.0, 40.0, ""],
    ], "and not what the search tried once"


def test_the_picture_rings_the_set_among_all_settings(store: RecordStore) -> None:
    frames = load(store)
    group = trade_off_figures(frames, trade_offs(frames, comparisons(frames)))
    assert group is not None
    (figure,) = group.figures
    points = {line.name: {(point.x, point.mean) for point in line.points} for line in figure.lines}
    assert points == {
        "none": {(10.0, 9.0), (20.0, 7.0)},
        "jigsaw": {(21.0, 5.0), (40.0, 6.0), (1.0, 1.0)},
    }
    assert figure.ringed is not None
    assert {(point.x, point.mean) for point in figure.ringed.points} == {
        (10.0, 9.0),
        (20.0, 7.0),
        (21.0, 5.0),
    }
    assert draw(figure).count('stroke="var(--ink)"') >= 3
    assert "the one value of a setting that only the search tried" in figure.notes[0]


def test_the_headline_has_no_best_and_claims_nothing(store: RecordStore) -> None:
    spec = report_spec(store)
    assert spec.headline[0].startswith(
        "No setting is the best by fd_classifier and seconds. 3 of 4 settings are in the Pareto set, by "
        "means on the test split, which no test decides: jigsaw at λ = 0.5, width = 16 (5"
    )
    assert not any("adjusted" in sentence for sentence in spec.headline)
    results = next(section for section in spec.sections if section.id == "results")
    figures = [
        f for block in results.blocks for f in getattr(block, "figures", ()) if isinstance(f, FigureSpec)
    ]
    assert [figure.id for figure in figures] == ["pareto-figure-1-1"]
    assert "in the Pareto set</li>" in render(spec)
    with pytest.raises(UserError, match="no trial is the best by fd_classifier and seconds; name one metric"):
        Results(store).best()
    assert Results(store).best("fd_classifier").startswith("jigsaw")


def test_while_nothing_is_repeated_the_set_is_that_of_the_search(tmp_path: Path) -> None:
    store = RecordStore(str(tmp_path))
    store.write_bytes("sweep.yaml", SWEEP)
    record(store, trial("none", 8, 7, 4.0), finals(2.0, 2.0))
    record(store, trial("none", 16, 7, 5.0), finals(3.0, 3.0))
    table = summary(store)[0][0]
    assert [(row[0].text, row[4].text) for row in table.rows] == [
        ("none at width = 8", "in it"),
        ("none at width = 16", ""),
    ]
