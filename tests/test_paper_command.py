"""`ndabench paper`: every value of the paper is in a table, and every table that has a file names it."""

import pytest

from ndabench.errors import UserError
from ndabench.paper import files_by_table, paper
from ndabench.planning.bundled import bundled_names
from ndabench.reporting.paper import PUBLISHED, TABLES, values_table


def test_every_value_is_in_one_table() -> None:
    assert {value.table for measure in PUBLISHED for value in measure.values} == set(TABLES)
    total = sum(len(measure.values) for measure in PUBLISHED)
    assert sum(len(values_table(letter).rows) for letter in TABLES) == total


def test_every_table_has_a_file_and_every_file_a_table() -> None:
    files = files_by_table()
    assert all(files.values())
    named = {file for of_table in files.values() for file in of_table}
    assert named == {name for name in bundled_names() if name.startswith("paper/")}


def test_what_is_printed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    paper()
    assert "paper/lambda" in capsys.readouterr().out
    paper("b")
    printed = capsys.readouterr().out
    row = next(line for line in printed.splitlines() if "cifar10" in line and "jigsaw" in line)
    assert [cell.strip() for cell in row.strip("│").split("│")][1:] == [
        "cifar10",
        "jigsaw",
        "0.25",
        "12.61",
        "verified",
    ]
    assert "ndabench sweep paper/cifar10_unconditional" in printed
    with pytest.raises(UserError, match="unknown table 'K'"):
        paper("K")


@pytest.mark.parametrize("table", TABLES)
def test_every_row_of_a_table_says_what_it_is_of(table: str) -> None:
    rows = [tuple(cell.text for cell in row[:4]) for row in values_table(table).rows]
    assert len(set(rows)) == len(rows)
