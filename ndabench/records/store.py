"""The only writer and reader of a sweep's records.

Below the root: `trials/<trial>.parquet`, `metrics/<trial>/<step>.parquet`, `artifacts/<trial>/<step>.parquet`
and the files that the artifacts name, `files/<trial>/<step>-<name>`. When a trial has ended its steps are
compacted into `metrics/<trial>.parquet` and `artifacts/<trial>.parquet`.

A file's name is given by its trial and step, so that a trial that is repeated or resumed overwrites rows
and never doubles them, and no two trials share a file. Folder names contain no `key=value`, so no reader
guesses partition columns from them.
"""

import copy
import dataclasses
import functools
import hashlib
import itertools
import json
import operator
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa

from ndabench.errors import UserError
from ndabench.measurement import Measurement, displayed_name
from ndabench.records.damage import Note, warn_once
from ndabench.records.files import FileTree
from ndabench.records.schema import ARTIFACTS, METRICS, NAME_PARTS, SCHEMA_VERSION, TRIALS, TrialRow
from ndabench.records.step_table import StepTable

SWEEP_FILE = "sweep.yaml"
"""The sweep's own file as it was first read, with who owns the folder; `ownership` writes it."""
PLAN_FILE = "plan.yaml"
"""The sweep as it was before its first training step, by which the report tells what was claimed later."""
LATER_FILE = "evaluate.yaml"
"""The evaluations that finished trials were measured by later, in the form of a sweep file's `evaluate`."""
RECORDED = ("trials", "metrics", "artifacts", "files", "checkpoints", "logs", "tensorboard")
"""The folders of what trials record."""
TABLES = {"trials": TRIALS, "metrics": METRICS, "artifacts": ARTIFACTS}
_SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


class RecordStore:
    """The records of one sweep under `root`, a local path or a pyarrow filesystem URI (`s3://bucket/folder`).

    Any number of trials may write at once, and anyone may read at any moment: every file is whole or absent.
    Writing raises `UserError` when the storage is full, read-only or missing; if that may pass, only after
    minutes of retries, each with a line in the log. Readers pass over what is damaged: each such file or row
    gets a line in the log. Picklable.
    """

    def __init__(self, root: str) -> None:
        self._files = FileTree(root)
        self.note: Note = warn_once
        self.root = self._files.root
        self.is_local = self._files.is_local

    def without_retry(self) -> "RecordStore":
        """The same records for callers that cannot wait: a failure of the storage is an error at once."""
        other = copy.copy(self)
        other._files = self._files.without_retry()
        return other

    def noting(self, note: Note) -> "RecordStore":
        """The same records; `note` gets a line for each file or row that is damaged, and passed over."""
        other = copy.copy(self)
        other.note = note
        return other

    def write_trial(self, row: TrialRow) -> None:
        """Writes or replaces the trial's row."""
        values = {name.rstrip("_"): value for name, value in dataclasses.asdict(row).items()}
        self._table("trials").write(_safe(row.trial_id, "trial id"), [values])

    def write_progress(
        self,
        sweep: str,
        trial_id: str,
        step: int,
        metrics: Mapping[str, Measurement],
        artifacts: Mapping[str, bytes],
    ) -> None:
        """Writes what a trial measured and made at `step`; the same trial and step again replaces it.

        `artifacts` maps plain file names (`samples.png`) to their bytes. They are written before the tables
        that name them.
        """
        index, rows = self._step_rows(sweep, trial_id, step, metrics, artifacts)
        if index:
            self._table("artifacts").write(trial_id, index, step)
        if rows:
            self._table("metrics").write(trial_id, rows, step)

    def _step_rows(
        self,
        sweep: str,
        trial_id: str,
        step: int,
        metrics: Mapping[str, Measurement],
        artifacts: Mapping[str, bytes],
    ) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Writes the files, and gives the rows of `artifacts` and of `metrics`."""
        folder = _safe(trial_id, "trial id")
        key = {"schema_version": SCHEMA_VERSION, "sweep": sweep, "trial_id": trial_id, "step": step}
        index = []
        for name, data in artifacts.items():
            path = f"files/{folder}/{step:09d}-{_safe(name, 'artifact name')}"
            self.write_bytes(path, data)
            digest = hashlib.sha256(data).hexdigest()
            index.append({**key, "kind": PurePosixPath(name).stem, "path": path, "sha256": digest})
        return index, [{**key, **_metric(name, measurement)} for name, measurement in metrics.items()]

    def add_measurements(
        self,
        sweep: str,
        trial_id: str,
        step: int,
        metrics: Mapping[str, Measurement],
        artifacts: Mapping[str, bytes],
        *,
        version: str,
    ) -> None:
        """Adds to the records of `step` what was measured after the trial's end by ndabench `version`.

        It replaces what was measured later under the same names before, and leaves the other rows.
        """
        index, rows = self._step_rows(sweep, trial_id, step, metrics, artifacts)
        now = datetime.now(timezone.utc)
        rows = [{**row, "measured": now, "measured_by": version} for row in rows]
        for name, new, key in (("artifacts", index, ["path"]), ("metrics", rows, NAME_PARTS)):
            if not new:
                continue
            table, replaced = self._table(name), {tuple(row[part] for part in key) for row in new}
            old = [row for row in table.read_trial(trial_id, step - 1).to_pylist() if row["step"] == step]
            kept = [row for row in old if tuple(row[part] for part in key) not in replaced]
            table.write(trial_id, [*kept, *new], step)
        self.compact(trial_id)

    def compact(self, trial_id: str) -> None:
        """Puts what a trial wrote step by step into one file per table, once the trial has ended.

        Nothing is lost or doubled wherever this is cut short, nor if the trial continues after all.
        """
        for name in ("metrics", "artifacts"):
            self._table(name).compact(_safe(trial_id, "trial id"))

    def read_trials(self) -> pa.Table:
        """One row per trial (`schema.TRIALS`); empty when nothing was recorded yet."""
        return self._table("trials").read()

    def read_trial(self, trial_id: str) -> TrialRow | None:
        """The row of one trial, or None if it has not been recorded or is damaged."""
        row = self._table("trials").read_file(_safe(trial_id, "trial id"))
        if row is None or not row.num_rows:
            return None
        (values,) = row.to_pylist()
        return _trial_row(values)

    def trial_rows(self) -> list[TrialRow]:
        """The rows of `read_trials`, each as an object."""
        return [_trial_row(values) for values in self.read_trials().to_pylist()]

    def read_metrics(self, columns: Sequence[str] | None = None, name: str | None = None) -> pa.Table:
        """One row per trial, step and metric (`schema.METRICS`), by trial and step.

        `columns` limits the columns, `name` the rows: to those whose displayed name it is, such as
        `val_fd_classifier`.
        """
        keep = None if name is None else functools.partial(_is_displayed_as, name)
        return self._table("metrics").read(columns, keep)

    def without_metrics(self, trials: pa.Table) -> list[str]:
        """The finished ones among `trials` (rows of `read_trials`) whose metrics are gone or damaged.

        Their configurations name evaluations, but no intact file holds a value.
        """
        columns = (trials[name].to_pylist() for name in ("trial_id", "status", "config_json"))
        measured = self._table("metrics").trials()
        return [
            trial_id
            for trial_id, status, config in zip(*columns, strict=True)
            if status == "finished" and trial_id not in measured and _evaluates(config)
        ]

    def read_steps(self, trial_id: str, after: int) -> Iterator[tuple[int, dict[str, float]]]:
        """What one trial measured at each step later than `after`, in order: the step, and each value by its
        displayed name."""
        rows = self._table("metrics").read_trial(_safe(trial_id, "trial id"), after)
        columns = (rows[name].to_pylist() for name in ("step", *NAME_PARTS, "value"))
        for step, of_step in itertools.groupby(zip(*columns, strict=True), key=operator.itemgetter(0)):
            yield step, {displayed_name(*parts): value for _, *parts, value in of_step}

    def schema_version(self) -> int | None:
        """The version of the records that are here, from the first trial's row; None without any.

        `UserError` for one that is newer than this ndabench knows.
        """
        for trial_id in sorted(self._table("trials").trials()):
            row = self.read_trial(trial_id)
            if row is not None:
                return row.schema_version
        return None

    def read_artifacts(self) -> pa.Table:
        """One row per trial, step and file (`schema.ARTIFACTS`)."""
        return self._table("artifacts").read()

    def read_artifact(self, path: str, sha256: str | None) -> bytes | None:
        """The file that a row of the artifacts names; None if it is gone or not as it was written."""
        data = self._files.read(path)
        if data is not None and sha256 and hashlib.sha256(data).hexdigest() != sha256:
            self.note(f"{self.local_path(path)}: damaged (it is not as it was written)")
            return None
        return data

    def fingerprint(self) -> str:
        """A text that changes whenever a record changes; it costs one listing and opens no file."""
        stamps = [self._files.stamps(table) for table in TABLES]
        return hashlib.sha256(repr(stamps).encode()).hexdigest()

    def write_bytes(self, path: str, data: bytes) -> None:
        """Writes a file to `path` below the root, whole or not at all."""
        self._files.write(path, data)

    def read_bytes(self, path: str) -> bytes | None:
        """The bytes at `path` below the root, or None if there is no such file."""
        return self._files.read(path)

    def list(self, folder: str) -> Sequence[str]:
        """Every file below `folder`, at any depth, sorted; the paths suit `read_bytes` and `delete`."""
        return self._files.walk(folder)

    def sizes(self, folder: str) -> dict[str, int]:
        """The size in bytes of every file below `folder`, by the path that suits `delete`; opens no file."""
        return self._files.sizes(folder)

    def delete(self, path: str) -> None:
        """Removes a file or a whole folder below the root; does nothing if it does not exist."""
        self._files.delete(path)

    def delete_all(self, paths: Sequence[str]) -> None:
        """`delete` of many files, and on a disk of the folders that become empty."""
        self._files.delete_all(paths)

    def delete_unfinished(self) -> None:
        """Removes the temporary files of processes that were killed while they wrote."""
        self._files.delete_unfinished()

    def local_path(self, path: str) -> str:
        """`path` as a user would type it: an absolute local path, or a URI."""
        return self._files.shown(path)

    def _table(self, name: str) -> StepTable:
        return StepTable(self._files, name, TABLES[name], self.note)


def _trial_row(values: dict[str, Any]) -> TrialRow:
    """A row of `schema.TRIALS`."""
    renamed = {("lambda_" if name == "lambda" else name): value for name, value in values.items()}
    return TrialRow(**renamed | {"hosts": tuple(values["hosts"] or ())})


def _is_displayed_as(name: str, rows: pa.Table) -> pa.Array:
    """Which rows of a table of metrics have the displayed name `name`, as booleans."""
    parts = zip(*(rows[part].to_pylist() for part in NAME_PARTS), strict=True)
    return pa.array([displayed_name(*part) == name for part in parts], pa.bool_())


def _evaluates(config_json: str) -> bool:
    try:
        return bool(json.loads(config_json).get("evaluate"))
    except (ValueError, AttributeError, RecursionError):  # of another version, or damaged
        return False


def _metric(name: str, measurement: Measurement) -> dict[str, Any]:
    return {
        "kind": measurement.kind,
        "metric": measurement.metric or name,
        "split": measurement.split,
        "label": measurement.label,
        "value": float(measurement.value),
        "better": measurement.better,
        "unit": measurement.unit,
        "protocol_json": json.dumps(dict(measurement.protocol), sort_keys=True),
        "seconds": float(measurement.seconds),
    }


def _safe(name: str, what: str) -> str:
    if not _SAFE_NAME.fullmatch(name):
        raise UserError(
            f"{what} {name!r}: only letters, digits, '.', '_' and '-' are allowed, no leading sign"
        )
    return name
