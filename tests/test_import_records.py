"""Lines of benchmarks/gpu as records and a report; a mistake is one line, and nothing is written."""

import json
from pathlib import Path
from typing import Any

import pytest

from ndabench.import_records import import_records
from ndabench.records import RecordStore
from ndabench.reporting.page import report_spec
from tests.command_lines import CommandLine

COMMON = {"check": "gan_speed", "rehearsal": False, "device": "cuda", "note": ""}
MEASURED: dict[str, Any] = {
    **COMMON,
    "name": "best",
    "status": "measured",
    "value": 7100.5,
    "unit": "images/s",
    "kind": "measurement",
    "spread": [7000.0, 7200.0],
    "n": 12,
    "target": {"at_least": 7000, "at_most": None},
    "passed": True,
    "better": "higher",
    "protocol": {"width": 64},
    "seconds": 31.2,
    "card": "NVIDIA H100",
    "versions": {"torch": "2.11.0"},
    "commit": "0123456",
    "time": "2026-11-27T10:00:00+00:00",
}
LINES: list[dict[str, Any]] = [
    MEASURED,
    {**MEASURED, "name": "slow", "value": 100, "passed": False, "spread": None, "n": 1},
    {**MEASURED, "name": "free", "passed": None, "time": "2026-11-27T10:01:00+00:00", "later": "unknown"},
    {**MEASURED, "check": "nan", "name": "nan", "value": None, "passed": False, "unit": ""},
    {
        **COMMON,
        "check": "dpc",
        "name": "dpc",
        "status": "out of time",
        "note": "ended after 40 s",
    },
    {**COMMON, "check": "moco", "name": "moco", "status": "not reached", "note": "2 s were left"},
]


def _file(command_line: CommandLine, *lines: Any, name: str = "results.jsonl") -> str:
    path = command_line.folder / name
    path.write_text("".join((one if isinstance(one, str) else json.dumps(one)) + "\n" for one in lines))
    return str(path)


def _imported(command_line: CommandLine, *files: str) -> RecordStore:
    assert command_line(import_records, *files, "--out", str(command_line.out)) == (0, "")
    return RecordStore(str(command_line.out))


def test_lines_become_records(command_line: CommandLine) -> None:
    store = _imported(command_line, _file(command_line, *LINES))
    trials = {row["arm"]: row for row in store.read_trials().to_pylist()}
    statuses = {arm: (row["status"], row["error"]) for arm, row in trials.items()}
    assert statuses == {
        "gan_speed": ("finished", None),
        "nan": ("finished", None),
        "dpc": ("failed", "out of time: ended after 40 s"),
        "moco": ("stopped", "not reached: 2 s were left"),
    }
    row = trials["gan_speed"]
    assert (row["device"], row["git_commit"], row["dataset"]) == ("NVIDIA H100", "0123456", "NVIDIA H100")
    assert (row["finished"] - row["started"]).total_seconds() == 60
    metrics = {row["metric"]: row for row in store.read_metrics().to_pylist()}
    assert metrics.keys() == {"best", "slow", "free", "nan"}
    best = metrics["best"]
    assert (best["kind"], best["value"], best["unit"], best["better"]) == (
        "check",
        7100.5,
        "images/s",
        "higher",
    )
    assert json.loads(best["protocol_json"]) == {
        "kind": "measurement",
        "measured": {"width": 64},
        "n": 12,
        "note": "",
        "passed": True,
        "spread": [7000.0, 7200.0],
        "target": {"at_least": 7000.0, "at_most": None},
    }
    assert metrics["nan"]["value"] != metrics["nan"]["value"]


def test_the_report_shows_each_value_with_its_target(command_line: CommandLine) -> None:
    store = _imported(command_line, _file(command_line, *LINES))
    spec = report_spec(store)
    assert spec.headline == [
        "NVIDIA H100, 2026-11-27T10:00:00+00:00: 1 of 3 values with a target met it; missed: gan_speed: "
        "slow, nan: nan."
    ]
    tables: dict[str, Any] = {section.id: section.blocks[0] for section in spec.sections}
    assert "results" not in tables
    shown = {row[1].text: [cell.text for cell in row] for row in tables["checks"].rows}
    assert shown["best"] == [
        *("gan_speed", "best", "7100", "images/s", "7000 to 7200", "12", "≥ 7000", "met", ""),
    ]
    assert shown["free"][7] == ""
    assert shown["nan"][2] == "NaN"
    assert [cell.mark for cell in tables["checks"].rows[1] if cell.mark] == ["bad"]


def test_importing_again_changes_nothing_and_another_run_is_added(command_line: CommandLine) -> None:
    store = _imported(command_line, first := _file(command_line, *LINES))
    trials, metrics = (str(table.to_pylist()) for table in (store.read_trials(), store.read_metrics()))
    again = _imported(command_line, first)
    assert str(again.read_trials().to_pylist()) == trials
    assert str(again.read_metrics().to_pylist()) == metrics
    later = [{**line, "time": "2026-11-28T10:00:00+00:00"} for line in LINES[:3]]
    both = _imported(command_line, first, _file(command_line, *later, name="later.jsonl"))
    assert both.read_metrics().num_rows == 4 + 3
    assert len(report_spec(both).headline) == 2


def test_a_check_that_ran_again_into_the_same_file_counts_once(command_line: CommandLine) -> None:
    again = {**MEASURED, "value": 8000.0, "time": "2026-11-27T11:00:00+00:00"}
    metrics = _imported(command_line, _file(command_line, *LINES, again)).read_metrics().to_pylist()
    assert [row["value"] for row in metrics if row["metric"] == "best"] == [8000.0]


def _without(key: str) -> dict[str, Any]:
    return {name: value for name, value in MEASURED.items() if name != key}


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([], "is empty; give the results.jsonl of benchmarks/gpu"),
        ([MEASURED, '{"check": "gan_sp'], "line 2: not JSON (Unterminated string"),
        (["[1, 2]"], "line 1: must be a JSON object, not [1, 2]"),
        (["[" * 100_000], "line 1: its lists and objects are nested too deeply"),
        (['{"value": NaN}'], "line 1: not JSON (NaN is no number of JSON)"),
        ([MEASURED, _without("value")], "line 2: 'value' is missing"),
        ([_without("card")], "line 1: 'card' is missing"),
        ([_without("check")], "line 1: 'check' is missing"),
        ([{**MEASURED, "value": "fast"}], "line 1: value"),
        ([{**MEASURED, "check": "../gan"}], "line 1: check"),
        ([{**MEASURED, "status": "good"}], "line 1: status"),
        ([{**MEASURED, "better": "larger"}], "line 1: better"),
        ([{**MEASURED, "spread": [1.0]}], "line 1: spread"),
        ([{**MEASURED, "time": "2026-11-27"}], "line 1: time"),
        ([MEASURED, {**MEASURED, "card": "NVIDIA H200"}], "measured on 'NVIDIA H200', but line 1 on"),
        ([MEASURED, {**MEASURED, "rehearsal": True}], "one of it and line 1 is of a rehearsal"),
        (LINES[4:], "nothing was measured: none of its 2 lines has a value"),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_written(
    command_line: CommandLine, lines: list[Any], said: str
) -> None:
    good, bad = _file(command_line, *LINES), _file(command_line, *lines, name="bad.jsonl")
    line = command_line.error(import_records, good, bad, "--out", str(command_line.out))
    assert line.startswith(f"error: {bad}")
    assert said in line


def test_files_that_are_none(command_line: CommandLine, tmp_path: Path) -> None:
    out = ("--out", str(command_line.out))
    assert "no.jsonl: cannot be read (No such file" in command_line.error(import_records, "no.jsonl", *out)
    assert "(Is a directory)" in command_line.error(import_records, str(command_line.folder), *out)
    binary = command_line.folder / "binary"
    binary.write_bytes(b"\xff\xfe\x00")
    assert "not a text file" in command_line.error(import_records, str(binary), *out)


def test_the_folder_of_a_sweep_is_left_alone(command_line: CommandLine) -> None:
    folder = command_line.folder / "sweep"
    folder.mkdir()
    (folder / "sweep.yaml").write_text("name: mine\n")
    file = _file(command_line, *LINES)
    line = command_line.error(import_records, file, "--out", str(folder))
    assert line == f"error: {folder}: holds a sweep; give --out a folder of its own\n"
    assert [path.name for path in folder.iterdir()] == ["sweep.yaml"]
