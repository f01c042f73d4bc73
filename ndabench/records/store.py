"""The only writer and reader of a sweep's records.

Below the root: `trials/<trial>.parquet`, `metrics/<trial>/<step>.parquet`, `artifacts/<trial>/<step>.parquet`
and the files that the artifacts name, `files/<trial>/<step>-<name>`. A file's name is a function of its trial
and step, so that a trial that is run again or resumed overwrites and never doubles a row, and no two trials
share a file. Folder names hold no `key=value`, so no reader guesses partition columns from them.
"""

import copy
import dataclasses
import hashlib
import io
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.fs as fs
import pyarrow.parquet as pq

from ndabench.errors import UserError
from ndabench.measurement import Measurement
from ndabench.records.files import FileTree
from ndabench.records.schema import ARTIFACTS, METRICS, SCHEMA_VERSION, TRIALS, TrialRow

PAUSES_FOR_A_CHANGING_OBJECT = (0.05, 0.2, 1.0)
_SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


class RecordStore:
    """The records of one sweep under `root`, a local path or a pyarrow filesystem URI (`s3://bucket/folder`).

    Any number of trials may write at once, and anyone may read at any moment: every file is whole or absent.
    Writing raises `UserError` when the place is full, read-only or not there; where that may pass, only after
    minutes of trying again, with a line in the log for each attempt. Picklable.
    """

    def __init__(self, root: str) -> None:
        self._files = FileTree(root)
        self.root = self._files.root
        self.is_local = self._files.is_local

    def at_once(self) -> "RecordStore":
        """The same records for who cannot wait: storage that fails is an error at once."""
        other = copy.copy(self)
        other._files = self._files.at_once()
        return other

    def write_trial(self, row: TrialRow) -> None:
        """Writes or replaces the trial's row."""
        values = {name.rstrip("_"): value for name, value in dataclasses.asdict(row).items()}
        self._write_table(f"trials/{_safe(row.trial_id, 'trial id')}.parquet", [values], TRIALS)

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
        folder = _safe(trial_id, "trial id")
        key = {"schema_version": SCHEMA_VERSION, "sweep": sweep, "trial_id": trial_id, "step": step}
        index = []
        for name, data in artifacts.items():
            path = f"files/{folder}/{step:09d}-{_safe(name, 'artifact name')}"
            self.write_bytes(path, data)
            index.append({**key, "kind": PurePosixPath(name).stem, "path": path})
        if index:
            self._write_table(f"artifacts/{folder}/{step:09d}.parquet", index, ARTIFACTS)
        if metrics:
            rows = [{**key, **_metric(name, measurement)} for name, measurement in metrics.items()]
            self._write_table(f"metrics/{folder}/{step:09d}.parquet", rows, METRICS)

    def read_trials(self) -> pa.Table:
        """One row a trial (`schema.TRIALS`); empty when nothing was recorded yet."""
        return self._read_table("trials", TRIALS)

    def read_trial(self, trial_id: str) -> TrialRow | None:
        """The row of one trial, or None when it has not been recorded."""
        path = f"trials/{_safe(trial_id, 'trial id')}.parquet"
        data = self.read_bytes(path)
        if data is None:
            return None
        try:
            values = pq.read_table(io.BytesIO(data), schema=TRIALS).to_pylist()[0]
        except (OSError, pa.ArrowException) as error:
            raise UserError(f"{self.local_path(path)}: cannot be read ({_one_line(error)})") from error
        values["lambda_"] = values.pop("lambda")
        return TrialRow(**values | {"hosts": tuple(values["hosts"] or ())})

    def read_metrics(self) -> pa.Table:
        """One row a trial, step and metric (`schema.METRICS`)."""
        return self._read_table("metrics", METRICS)

    def read_steps(self, trial_id: str, after: int) -> Iterator[tuple[int, dict[str, float]]]:
        """What one trial measured at each step later than `after`, in order: the step, and values by name."""
        for path in self.list(f"metrics/{_safe(trial_id, 'trial id')}"):
            step = int(PurePosixPath(path).stem)
            if step > after and (data := self.read_bytes(path)) is not None:
                table = pq.read_table(io.BytesIO(data), columns=["metric", "value"]).to_pydict()
                yield step, dict(zip(table["metric"], table["value"], strict=True))

    def read_artifacts(self) -> pa.Table:
        """One row a trial, step and file (`schema.ARTIFACTS`); `read_bytes` takes their `path`."""
        return self._read_table("artifacts", ARTIFACTS)

    def fingerprint(self) -> str:
        """A text that changes whenever a record does; costs one listing and opens no file."""
        stamps = [self._files.stamps(table) for table in ("trials", "metrics", "artifacts")]
        return hashlib.sha256(repr(stamps).encode()).hexdigest()

    def write_bytes(self, path: str, data: bytes) -> None:
        """Puts a file at `path` below the root, whole or not at all."""
        self._files.write(path, data)

    def read_bytes(self, path: str) -> bytes | None:
        """The bytes at `path` below the root, or None when there is no such file."""
        return self._files.read(path)

    def list(self, folder: str) -> Sequence[str]:
        """Every file below `folder`, at any depth, sorted; the paths suit `read_bytes` and `delete`."""
        return self._files.walk(folder)

    def delete(self, path: str) -> None:
        """Removes a file or a whole folder below the root; nothing happens when it is not there."""
        self._files.delete(path)

    def local_path(self, path: str) -> str:
        """`path` as a user would type it: an absolute local path, or a URI."""
        return self._files.shown(path)

    def _write_table(self, path: str, rows: Sequence[dict[str, Any]], schema: pa.Schema) -> None:
        buffer = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), buffer, compression="zstd")
        self.write_bytes(path, buffer.getvalue())

    def _read_table(self, folder: str, schema: pa.Schema) -> pa.Table:
        filesystem, path = self._files.filesystem, self._files.full(folder)

        def read() -> pa.Table:
            if filesystem.get_file_info(path).type != fs.FileType.Directory:
                return schema.empty_table()
            return ds.dataset(path, schema=schema, format="parquet", filesystem=filesystem).to_table()

        try:
            table = self._files.perform(lambda: _read_whole(read), folder, "read")
        except pa.ArrowException as error:
            raise UserError(f"{self.local_path(folder)}: cannot be read ({_one_line(error)})") from error
        newest = pc.max(table["schema_version"]).as_py()
        if newest is not None and newest > SCHEMA_VERSION:
            raise UserError(
                f"{self.local_path(folder)}: written by a newer ndabench (schema version {newest}, "
                f"this one reads up to {SCHEMA_VERSION})"
            )
        return table


def _metric(name: str, measurement: Measurement) -> dict[str, Any]:
    return {
        "metric": name,
        "value": float(measurement.value),
        "better": measurement.better,
        "unit": measurement.unit,
        "protocol_json": json.dumps(dict(measurement.protocol), sort_keys=True),
        "seconds": float(measurement.seconds),
    }


def _read_whole(read: Callable[[], pa.Table]) -> pa.Table:
    """What `read` gives, once no object changes under its hands.

    Object stores have no handles: of a row that is replaced between its listing and its reading, the end is
    looked for at the old one's size, and looks damaged.
    """
    for pause in PAUSES_FOR_A_CHANGING_OBJECT:
        try:
            return read()
        except pa.ArrowInvalid:
            time.sleep(pause)
    return read()


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _safe(name: str, what: str) -> str:
    if not _SAFE_NAME.fullmatch(name):
        raise UserError(
            f"{what} {name!r}: only letters, digits, '.', '_' and '-' are allowed, no leading sign"
        )
    return name
