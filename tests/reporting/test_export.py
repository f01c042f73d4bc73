"""Exported tables: the report's numbers, in forms that other programs read."""

import csv
import io
import json
import re
from pathlib import Path

import pytest

from ndabench.errors import UserError
from ndabench.export import export
from ndabench.records import RecordStore
from ndabench.reporting import summary_tables
from ndabench.reporting.comparison import comparisons
from ndabench.reporting.formats import FORMATS
from ndabench.reporting.frames import load
from ndabench.reporting.rows import rows
from tests.reporting.synthetic import Trial, finals, record


@pytest.fixture
def exported(filled: RecordStore, capsys: pytest.CaptureFixture[str]) -> "Exported":
    return Exported(filled.root, capsys)


class Exported:
    def __init__(self, folder: str, capsys: pytest.CaptureFixture[str]) -> None:
        self._folder, self._capsys = folder, capsys

    def __call__(self, kind: str, **options: object) -> str:
        export([self._folder], kind, **options)  # type: ignore[arg-type]
        return self._capsys.readouterr().out


def test_csv_and_json_hold_the_same_rows(filled: RecordStore, exported: Exported) -> None:
    """As many as the report's tables have, with the numbers of its comparisons."""
    from_json = json.loads(exported("json"))
    from_csv = list(csv.DictReader(io.StringIO(exported("csv"))))
    compared = [one for one in comparisons(load(filled)) if not one.on_validation]
    assert from_json == json.loads(json.dumps(rows(compared)))
    assert [row["arm"] for row in from_csv] == [row["arm"] for row in from_json]
    assert [float(row["mean"]) for row in from_csv] == [row["mean"] for row in from_json]
    assert [json.loads(row["values"]) for row in from_csv] == [row["values"] for row in from_json]
    assert len(from_csv) == sum(len(table.rows) for table in summary_tables(filled))
    (jigsaw,) = [r for r in from_json if (r["arm"], r["lambda"], r["better"]) == ("jigsaw", 0.25, "lower")]
    row = next(row for row in compared[0].rows if row.setting.label == "jigsaw at λ = 0.25")
    assert row.difference is not None
    assert jigsaw["difference"] == row.difference.summary.mean
    assert jigsaw["difference_low"] == row.difference.summary.low
    assert jigsaw["p_adjusted"] == row.difference.p_adjusted
    assert jigsaw["against"] == "none"
    assert jigsaw["missing"] == {}
    assert jigsaw["protocol"]["num_samples"] == 1000


def test_what_is_not_finite_is_null(tmp_path: Path) -> None:
    store = RecordStore(str(tmp_path / "s"))
    record(store, Trial(), finals(float("nan")))
    (row,) = json.loads(FORMATS["json"](comparisons(load(store))))
    assert (row["mean"], row["values"], row["n"]) == (None, {"0": None}, 0)


def test_markdown_marks_the_best_and_what_is_within_noise_of_it(exported: Exported) -> None:
    lines = exported("md").splitlines()
    assert lines[0] == "| arm | λ | n | fd_classifier ↓ | inception_score_classifier ↑ |"
    assert len({line.count("|") for line in lines[:8]}) == 1
    assert lines[3] == r"| jigsaw | 0.25 | 3 | **20.3 ± 4.3** \* | **3.00 ± 0.16** \* |"
    assert lines[4] == r"| jigsaw | 0.5 | 3 | 21.7 ± 3.7 ≈ \* | 2.90 ± 0.21 \* |"
    assert "≈: not shown to differ from it" in lines[-1]


def test_near_the_best_is_what_a_paired_test_does_not_tell_from_it(tmp_path: Path) -> None:
    store = RecordStore(str(tmp_path / "s"))
    arms = {
        "none": [9.0, 9.1, 9.2],
        "near": [1.0, 2.0, 3.0],
        "best": [1.5, 1.0, 2.0],
        "same": [1.5, 1.0, 2.0],
    }
    for arm, values in arms.items():
        for seed, value in enumerate(values):
            record(store, Trial(arm, 0.5, seed), finals(value))
    (compared,) = comparisons(load(store))
    assert {row.setting.arm for row in compared.rows if row.best} == {"best"}
    assert {row.setting.arm for row in compared.rows if row.near_best} == {"near", "same"}


def test_latex_is_a_table_of_booktabs(exported: Exported) -> None:
    text = exported("latex", metric=["inception_score_classifier", "fd_classifier"])
    assert re.findall(r"\\(toprule|midrule|bottomrule)", text) == ["toprule", "midrule", "bottomrule"]
    assert r"\begin{tabular}{lrrrr}" in text
    body = text.partition("\\midrule\n")[2].partition("\\bottomrule")[0].splitlines()
    assert all(line.count(" & ") == 4 for line in body)
    assert all(line.endswith(r" \\") for line in body)
    assert body[1] == r"jigsaw & 0.25 & 3 & $\mathbf{3.00 \pm 0.16}^{*}$ & $\mathbf{20.3 \pm 4.3}^{*}$ \\"
    assert r"inception\_score\_classifier $\uparrow$ & fd\_classifier $\downarrow$" in text
    assert text.count("{") == text.count("}")
    assert text.count("$") % 2 == 0


def test_names_that_latex_and_markdown_read_as_their_own_are_escaped(tmp_path: Path) -> None:
    store = RecordStore(str(tmp_path / "s"))
    for arm in ("none", r"a_b & 50% {x} \y $z$ #1 ~ ^ |"):
        record(store, Trial(arm, 0.5), finals(3e-6))
    compared = comparisons(load(store))
    latex, markdown = FORMATS["latex"](compared), FORMATS["md"](compared)
    assert r"a\_b \& 50\% \{x\} \textbackslash{}y \$z\$ \#1 \textasciitilde{} \textasciicircum{} |" in latex
    assert r"3\times10^{-6}" in latex
    (line,) = [line for line in markdown.splitlines() if "a\\_b" in line]
    assert len(re.findall(r"(?<!\\)\|", line)) == 5


def test_several_folders_are_one_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, arm in (("first", "none"), ("second", "jigsaw")):
        store = RecordStore(str(tmp_path / name))
        record(store, Trial(arm, 1.0 if arm == "none" else 0.25, sweep=name), finals(3.0))
    export([str(tmp_path / "first"), str(tmp_path / "second")], "csv")
    found = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [(row["arm"], row["against"]) for row in found] == [("none", ""), ("jigsaw", "none")]


def test_validation_values_and_a_file(exported: Exported, tmp_path: Path) -> None:
    out = tmp_path / "new" / "table.json"
    assert exported("json", split="validation", metric=["fd_classifier"], out=out) == ""
    assert {row["split"] for row in json.loads(out.read_text())} == {"validation"}
    assert list(out.parent.iterdir()) == [out]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"format_": "jsn"}, "--format: unknown format 'jsn'; did you mean 'json'"),
        ({"split": "train"}, "--split: unknown split 'train'"),
        ({"metric": ["fd_clasifier"]}, "did you mean 'fd_classifier'"),
        ({"folders": ["nothing"]}, "nothing: no records here"),
    ],
)
def test_mistakes(filled: RecordStore, options: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        export(**{"folders": [filled.root], **options})  # type: ignore[arg-type]
