"""The report at a glance repeats the numbers of the decisions and of the tables."""

from dataclasses import replace
from pathlib import Path

import pytest

from ndabench.records import RecordStore
from ndabench.reporting.comparison import comparisons
from ndabench.reporting.decisions import decisions
from ndabench.reporting.drawing import draw
from ndabench.reporting.formatting import number
from ndabench.reporting.frames import load
from ndabench.reporting.overview import overview
from ndabench.reporting.page import comparison_tables, once, render, report_spec
from ndabench.reporting.specs import ForestSpec, TableSpec, TextSpec
from tests.reporting.synthetic import Trial, finals, measured, picture, record
from tests.reporting.test_claims import EFFECTS, swept

HOSTILE = "<script>alert(1)</script>"


def forest(store: RecordStore) -> ForestSpec:
    frames = load(store)
    (figure,) = overview(frames, comparisons(frames))
    assert isinstance(figure, ForestSpec)
    return figure


def test_a_forest_has_the_claims_with_their_decisions_and_the_others_with_their_tables(
    tmp_path: Path,
) -> None:
    store = swept(tmp_path, EFFECTS)
    frames = load(store)
    compared = comparisons(frames)
    rows = {row.name: row for row in forest(store).rows}
    assert list(rows) == [
        "jigsaw at λ = 0.5 (claim)",
        "cutout at λ = 0.5",
        "longer at λ = 0.5 (positive control)",
        "fakes at λ = 0.5 (negative control)",
    ]
    (claim,) = decisions(frames, compared).claims
    assert claim.difference is not None
    shown = rows["jigsaw at λ = 0.5 (claim)"]
    decided = claim.difference.summary
    assert (shown.mean, shown.low, shown.high) == (decided.mean, decided.low, decided.high)
    (comparison,) = [one for one in compared if not one.on_validation]
    (table,) = [row for row in comparison.rows if row.setting.arm == "cutout"]
    assert table.difference is not None
    assert rows["cutout at λ = 0.5"].low == table.difference.summary.low != decided.low
    verdicts = [row.verdict for row in rows.values()]
    assert verdicts == ["good", "bad", "good", ""]


def test_next_to_the_differences_are_pictures_of_the_baseline_and_of_the_claimed_arm(tmp_path: Path) -> None:
    claim = {"that": [{"arm": "cutout", "is": "lower"}]}
    store = swept(tmp_path, EFFECTS, claim=claim)
    without = [b for s in report_spec(store).sections for b in s.blocks if isinstance(b, ForestSpec)]
    assert [figure.pictures for figure in without] == [()]
    for trial_id in store.read_trials()["trial_id"].to_pylist():
        store.write_progress("synthetic", trial_id, 101, {}, {"samples.png": picture(0)})
    (figure,) = [b for s in report_spec(store).sections for b in s.blocks if isinstance(b, ForestSpec)]
    captions = [sheet.caption for sheet in figure.pictures]
    assert captions == ["none, seed 0, step 101", "cutout at λ = 0.5, seed 0, step 101"]
    page = render(report_spec(store))
    place = page.index('class="glance"')
    assert place < page.index(f'alt="Generated samples of {captions[1]}"') < page.index('id="pictures"')


def test_where_a_control_failed_nothing_is_good_or_bad(tmp_path: Path) -> None:
    figure = forest(swept(tmp_path, EFFECTS | {"fakes": 3.0}))
    assert {row.verdict for row in figure.rows} == {""}


@pytest.mark.parametrize("failed", [False, True])
def test_nor_is_anything_in_the_matrix(tmp_path: Path, failed: bool) -> None:
    store = swept(tmp_path, EFFECTS | ({"fakes": 3.0} if failed else {}))
    for row in store.read_metrics(name="fd_classifier").to_pylist():
        both = {name: measured(row["value"]) for name in ("fd_classifier", "kid_classifier")}
        store.write_progress("synthetic", row["trial_id"], row["step"], both, {})
    frames = load(store)
    (matrix,) = [block for block in overview(frames, comparisons(frames)) if isinstance(block, TableSpec)]
    marks = {cell.mark for cells in matrix.rows for cell in cells}
    assert marks == ({"", "best"} if failed else {"", "good", "bad"})
    assert matrix.notes[0].startswith("Means over the seeds. A control failed") == failed


def test_a_claim_that_waits_for_a_seed_is_neither_good_nor_bad(tmp_path: Path) -> None:
    figure = forest(swept(tmp_path, EFFECTS, seeds=[*range(6)], controls=None))
    verdicts = {row.name: row.verdict for row in figure.rows}
    assert verdicts["jigsaw at λ = 0.5 (claim)"] == ""
    assert verdicts["cutout at λ = 0.5"] == "bad"


def test_a_single_seed_has_no_forest_and_one_measure_no_matrix(tmp_path: Path) -> None:
    store = RecordStore(str(tmp_path))
    for arm in ("none", "jigsaw"):
        record(store, Trial(arm, 1.0 if arm == "none" else 0.5, 0), finals(3.0))
    frames = load(store)
    assert overview(frames, comparisons(frames)) == []
    assert overview(frames, []) == []


def test_the_matrix_has_each_mean_and_where_it_differs(tmp_path: Path) -> None:
    store = RecordStore(str(tmp_path))
    for arm, effect in (("none", 0.0), ("jigsaw", -2.0), ("cutout", 0.0)):
        for seed in range(5):
            noise = (-1) ** seed * 0.05 if arm != "none" else 0.0
            better = measured(10.0 + effect + noise)
            values = {"fd_classifier": better, "kid_classifier": replace(better, value=5 - effect + noise)}
            record(store, Trial(arm, 1.0 if arm == "none" else 0.5, seed), {1000: values})
    frames = load(store)
    compared = comparisons(frames)
    (matrix,) = [block for block in overview(frames, compared) if isinstance(block, TableSpec)]
    assert [column.name for column in matrix.columns] == ["arm", "fd_classifier ↓", "kid_classifier ↓"]
    rows = {row[0].text: row[1:] for row in matrix.rows}
    assert [cell.mark for cell in rows["jigsaw at λ = 0.5"]] == ["good", "bad"]
    assert rows["jigsaw at λ = 0.5"][0].text.endswith("★ better")
    assert rows["jigsaw at λ = 0.5"][1].text.endswith("worse")
    assert [cell.sort for cell in rows["none"]] == [10.0, 5.0]
    assert not any(
        cell.mark in ("good", "bad") for name in ("none", "cutout at λ = 0.5") for cell in rows[name]
    )


def test_notes_that_all_tables_share_are_said_once(tmp_path: Path) -> None:
    store = RecordStore(str(tmp_path))
    for seed in range(3):
        for arm in ("none", "jigsaw"):
            values = {"fd_classifier": measured(3.0 + seed), "kid_classifier": measured(5.0 + seed)}
            record(store, Trial(arm, 1.0 if arm == "none" else 0.5, seed), {1000: values})
    tables = comparison_tables(comparisons(load(store)))
    text, *kept = once(tables)
    assert isinstance(text, TextSpec)
    notes = [note for table in tables for note in table.notes]
    left = [note for table in kept if isinstance(table, TableSpec) for note in table.notes]
    repeated = {note for note in notes if notes.count(note) == len(tables)}
    assert repeated
    assert not repeated & set(left)
    assert all(note in text.paragraphs[0] for note in repeated)
    assert once(tables[:1]) == tables[:1]


def test_a_forest_escapes_names_and_has_numbers_to_hover_over(tmp_path: Path) -> None:
    figure = forest(swept(tmp_path, EFFECTS))
    svg = draw(replace(figure, rows=[replace(figure.rows[0], name=HOSTILE), *figure.rows[1:]]))
    assert "<script" not in svg
    assert svg.count("<title>") == len(figure.rows)


@pytest.mark.parametrize(("value", "decimals", "text"), [(-0.3, 0, "0"), (0.3, 0, "0"), (-0.6, 0, "−1")])
def test_no_zero_has_a_sign(value: float, decimals: int, text: str) -> None:
    assert number(value, decimals, signed=True) == text
