"""Lines of `benchmarks/gpu` as records: what a machine without ndabench's records has measured.

A file holds JSON objects, one a line. Each has `check`, `name`, `status` and `rehearsal`, and one that was
measured also `value`, `unit`, `kind`, `n`, `target`, `better`, `protocol`, `card`, `versions` and `time`;
`spread`, `passed`, `note`, `seconds` and `commit` may be missing, and other keys are passed over. A file
holds one run on one card. Of two lines of the same check and name the later one counts: a check can be run
again into the same file.

Each check becomes a trial, named by the check and by a hash of the card and of the time of the first
measurement: importing a file twice changes nothing. Its measurements have the kind `check`.
"""

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from ndabench.config import parse
from ndabench.errors import UserError
from ndabench.foreign_text import shown
from ndabench.measurement import Better, Measurement
from ndabench.records.schema import Status, TrialRow
from ndabench.records.store import SWEEP_FILE, RecordStore

SWEEP, TASK = "gpu", "checks"
FAILED = ("failed", "out of time")
Text = Annotated[str, Field(max_length=10_000)]
Name = Annotated[str, Field(min_length=1, max_length=300)]


class Line(BaseModel):
    """A line of a check that measured nothing."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True, allow_inf_nan=False)

    check: str = Field(pattern="^[a-z0-9_]{1,60}$")
    name: Name
    status: Literal["measured", "failed", "out of time", "needs a card", "not reached"]
    rehearsal: bool
    note: Text = ""


class Target(BaseModel):
    """What a value must be, where it must be something."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    at_least: float | None = None
    at_most: float | None = None


class Measured(Line):
    """A line with a value."""

    value: float | None
    """None where it was not finite."""
    unit: Annotated[str, Field(max_length=40)]
    kind: Literal["proof", "measurement"]
    n: int = Field(ge=1)
    spread: Annotated[list[float], Field(min_length=2, max_length=2)] | None = None
    """First and third quartile."""
    target: Target
    passed: bool | None = None
    better: Better
    protocol: dict[str, Any]
    seconds: float = Field(0.0, ge=0)
    """Since its check began."""
    card: Name
    versions: dict[str, str]
    commit: Text = ""
    time: Annotated[AwareDatetime, Field(strict=False)]


def import_checks(files: Sequence[Path], store: RecordStore) -> int:
    """Writes the records of all `files`; returns how many measurements that are.

    Nothing is written unless every line of every file can be. `UserError` names the file and the line that
    cannot, or a `store` that holds a sweep.
    """
    if store.read_bytes(SWEEP_FILE) is not None:
        raise UserError(f"{store.root}: holds a sweep; give --out a folder of its own")
    trials = [trial for file in files for trial in _trials(file)]
    for row, measurements in trials:
        store.write_progress(SWEEP, row.trial_id, 0, measurements, {})
        store.write_trial(row)
    return sum(len(measurements) for _, measurements in trials)


def _trials(file: Path) -> Iterator[tuple[TrialRow, dict[str, Measurement]]]:
    lines = _lines(file)
    measured = [line for line in lines if isinstance(line, Measured)]
    if not measured:
        raise UserError(f"{file}: nothing was measured: none of its {len(lines)} lines has a value")
    run = measured[0]
    digest = hashlib.sha256(f"{run.card}/{run.rehearsal}/{run.time.isoformat()}".encode()).hexdigest()[:10]
    for check in dict.fromkeys(line.check for line in lines):
        mine = [line for line in lines if line.check == check]
        values = {line.name: _measurement(line) for line in mine if isinstance(line, Measured)}
        yield _row(run, mine, f"{check}-{digest}"), values


def _row(run: Measured, lines: Sequence[Line], trial_id: str) -> TrialRow:
    measured = [line for line in lines if isinstance(line, Measured)]
    failed = [line for line in lines if line.status in FAILED]
    status: Status = "failed" if failed else "finished" if measured else "stopped"
    reasons = [f"{line.status}: {line.note}" for line in (failed or lines) if line not in measured]
    return TrialRow(
        sweep=SWEEP,
        trial_id=trial_id,
        task=TASK,
        dataset=f"{run.card} (rehearsal)" if run.rehearsal else run.card,
        arm=lines[0].check,
        seed=0,
        parameters_json=json.dumps({"run": run.time.isoformat()}),
        config_json=json.dumps({"check": lines[0].check, "rehearsal": run.rehearsal}),
        status=status,
        error="; ".join(reasons) or None,
        started=run.time,
        finished=max([run.time, *(line.time for line in measured)]),
        seconds=max((line.seconds for line in measured), default=None),
        device=run.card,
        versions_json=json.dumps(run.versions, sort_keys=True),
        git_commit=run.commit or None,
        notes="a rehearsal with tiny sizes: no speed is meant" if run.rehearsal else None,
    )


def _measurement(line: Measured) -> Measurement:
    judged: dict[str, Any] = {"kind": line.kind, "n": line.n, "target": line.target.model_dump()}
    judged |= {"spread": line.spread, "passed": line.passed, "note": line.note}
    return Measurement(
        math.nan if line.value is None else line.value,
        better=line.better,
        unit=line.unit,
        protocol={**judged, "measured": line.protocol},
        kind="check",
        metric=line.name,
    )


def _lines(file: Path) -> list[Line]:
    """The lines of a file, each check and name once; `UserError` for what is none."""
    try:
        text = file.read_text("utf-8")
    except UnicodeDecodeError:
        raise UserError(f"{file}: not a text file; give the results.jsonl of benchmarks/gpu") from None
    except OSError as error:
        raise UserError(f"{file}: cannot be read ({error.strerror})") from None
    found: dict[tuple[str, str], Line] = {}
    run: tuple[int, Measured] | None = None
    for number, content in enumerate(text.splitlines(), start=1):
        if not content.strip():
            continue
        where = f"{file}, line {number}"
        line = _line(content, where)
        if isinstance(line, Measured):
            run = run or (number, line)
            _require_one_run(run, line, where)
        found.pop((line.check, line.name), None)  # in the order of the lines that count
        found[line.check, line.name] = line
    if not found:
        raise UserError(f"{file}: is empty; give the results.jsonl of benchmarks/gpu")
    return list(found.values())


def _line(content: str, where: str) -> Line:
    try:
        data = json.loads(content, parse_constant=_no_number)
    except RecursionError:
        raise UserError(f"{where}: its lists and objects are nested too deeply") from None
    except ValueError as error:
        raise UserError(f"{where}: not JSON ({error}); was the file cut off?") from None
    if not isinstance(data, Mapping):
        raise UserError(f"{where}: must be a JSON object, not {shown(data)}")
    return parse(Measured if data.get("status") == "measured" else Line, data, where)


def _no_number(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number of JSON")


def _require_one_run(run: tuple[int, Measured], line: Measured, where: str) -> None:
    number, first = run
    if line.card != first.card:
        raise UserError(
            f"{where}: measured on {shown(line.card)}, but line {number} on {shown(first.card)}; keep one "
            "file for each card"
        )
    if line.rehearsal != first.rehearsal:
        raise UserError(f"{where}: one of it and line {number} is of a rehearsal; keep one file for each run")
