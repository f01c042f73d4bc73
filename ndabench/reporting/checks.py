"""What `benchmarks/gpu` measured on a machine, as tables, and whether it met its targets, as a sentence."""

from typing import Any, Literal

import pandas as pd

from ndabench.errors import first_of
from ndabench.reporting.formatting import NOTHING, count, decimals_for, number
from ndabench.reporting.frames import Frames, decoded
from ndabench.reporting.specs import Cell, Column, TableSpec

MOST_NAMED = 5
VERDICTS = {"True": "met", "False": "missed"}
COLUMNS = [
    Column("check"),
    Column("measured"),
    Column("value", "the median where n is above 1", numeric=True),
    Column("unit"),
    Column("quartiles", "the first and the third", numeric=True),
    Column("n", "repeats", numeric=True),
    Column("target"),
    Column("verdict", "whether the target was met; blank where there is none, and for speeds of a rehearsal"),
    Column("note"),
]


def check_tables(frames: Frames) -> list[TableSpec]:
    """A table for each run on each machine."""
    return [
        TableSpec(f"checks-{place}", title, COLUMNS, [_row(*line) for line in _lines(frames, measured)])
        for place, (title, measured) in enumerate(_runs(frames), start=1)
    ]


def check_sentences(frames: Frames) -> list[str]:
    """For each run how many of its judged values met their target, and the first that did not."""
    sentences = []
    for title, measured in _runs(frames):
        verdicts = [
            (f"{check}: {name}", _protocol(text).get("passed"))
            for check, name, _, _, text in _lines(frames, measured)
        ]
        judged = sum(passed is not None for _, passed in verdicts)
        missed = [name for name, passed in verdicts if passed is False]
        names = f"; missed: {first_of(missed, MOST_NAMED)}" if missed else ""
        sentences.append(
            f"{title}: {judged - len(missed)} of {count(judged, 'value')} with a target met it{names}."
        )
    return sentences


def _runs(frames: Frames) -> list[tuple[str, pd.DataFrame]]:
    """The machine and the time of each run, and what it measured."""
    if frames.checks.empty:
        return []
    runs = frames.checks["setting"].map(lambda place: frames.settings[place].shown_parameters.get("run", ""))
    found = frames.checks.groupby(["group", runs], sort=True)
    places: list[tuple[Any, pd.DataFrame]] = list(found)
    return [(f"{frames.groups[group].dataset}, {run}", measured) for (group, run), measured in places]


def _lines(frames: Frames, measured: pd.DataFrame) -> list[tuple[str, str, float, str, str]]:
    """The check, name, value, unit and protocol of each value."""
    checks = [frames.settings[place].arm for place in measured["setting"]]
    columns = (measured[name] for name in ("name", "value", "unit", "protocol_json"))
    return list(zip(checks, *columns, strict=True))


def _row(check: str, name: str, value: float, unit: str, text: str) -> list[Cell]:
    protocol = _protocol(text)
    spread = protocol.get("spread")
    quartiles = " to ".join(_shown(one) for one in spread) if isinstance(spread, list) else NOTHING
    verdict = VERDICTS.get(str(protocol.get("passed")), "")
    marks: dict[str, Literal["good", "bad"]] = {"met": "good", "missed": "bad"}
    return [
        Cell(check, check),
        Cell(name, name),
        Cell(_shown(value), value),
        Cell(unit, unit),
        Cell(quartiles),
        Cell(str(protocol.get("n", "")), protocol.get("n")),
        Cell(_target(protocol.get("target"))),
        Cell(verdict, verdict, mark=marks.get(verdict, "")),
        Cell(str(protocol.get("note", ""))),
    ]


def _target(target: Any) -> str:
    if not isinstance(target, dict):
        return ""
    bounds = (("≥", target.get("at_least")), ("≤", target.get("at_most")))
    return " ".join(f"{sign} {bound:g}" for sign, bound in bounds if isinstance(bound, int | float))


def _shown(value: Any) -> str:
    return number(value, decimals_for(None, value)) if isinstance(value, int | float) else NOTHING


def _protocol(text: Any) -> dict[str, Any]:
    protocol = decoded(text)
    return protocol if isinstance(protocol, dict) else {}
