"""Records that come from elsewhere: what acts on a terminal or a page is shown, not sent."""

from pathlib import Path

import pytest

from ndabench.measurement import NEGATIVES_EQUAL, NEGATIVES_NEARLY_EQUAL, Measurement
from ndabench.records import RecordStore
from ndabench.report import report
from ndabench.reporting.page import report_spec, summary_tables, write_report
from ndabench.reporting.specs import TableSpec
from tests.reporting.synthetic import Trial, finals, record

ACTING = "\x1b[2J\x1b]0;owned\x07\u202e\0"


@pytest.fixture
def tampered(tmp_path: Path) -> RecordStore:
    store = RecordStore(str(tmp_path / "q?a [b] [/c]"))
    for seed in (0, 1):
        for arm in ("none", f"a{ACTING}[/b]"):
            value = Measurement(1.0 + seed, "lower", f"points{ACTING}", {"by": ACTING}, kind="metric")
            trial = Trial(arm, seed=seed)
            record(store, trial, {1: {"loss": Measurement(2.0, unit=ACTING)}, 2: {f"fd{ACTING}": value}})
    store.write_bytes("sweep.yaml", f"name: s\n# {ACTING}\n".encode())
    return store


def acts(text: str) -> set[str]:
    return set(text) & set(ACTING) - set("[2J]0;owned")


def test_what_acts_is_shown_and_the_charts_are_drawn(tampered: RecordStore) -> None:
    tables = summary_tables(tampered)
    assert any(r"a\x1b[2J" in cell.text for table in tables for row in table.rows for cell in row)
    assert not acts("".join(cell.text for table in tables for row in table.rows for cell in row))
    write_report(tampered)
    page = (tampered.read_bytes("report.html") or b"").decode()
    assert not acts(page)
    assert r"# \x1b[2J" in page


def test_a_folder_with_markup_and_a_question_mark_is_named_as_it_is(
    tampered: RecordStore, capsys: pytest.CaptureFixture
) -> None:
    report(tampered.root)
    printed = capsys.readouterr().out
    assert not acts(printed)
    assert f"records  {tampered.root} (trials" in printed
    assert f"report   {tampered.root}/report.html" in printed


def test_the_report_says_how_often_a_negative_changes_nothing(tmp_path: Path) -> None:
    store = RecordStore(str(tmp_path))
    shares = {
        NEGATIVES_EQUAL: Measurement(0.25, protocol={"outputs": 512}),
        NEGATIVES_NEARLY_EQUAL: Measurement(0.5, protocol={"outputs": 512}),
    }
    for seed in (0, 1):
        record(store, Trial("none", seed=seed), finals(3.0))
        record(store, Trial("jigsaw", seed=seed, negative="jigsaw"), {0: shares, **finals(2.0)})
    section = next(one for one in report_spec(store).sections if one.id == "negatives")
    (table,) = section.blocks
    assert isinstance(table, TableSpec)
    assert [[cell.text for cell in row] for row in table.rows] == [
        ["jigsaw", "jigsaw", "gan on digits", "512", "25.0%", "50.0%"]
    ]
