"""Rows that come step by step: one small file per step, compacted into one file per trial after its end.

In a table `metrics` the rows of a trial are in `metrics/<trial>/<step>.parquet` and, after compaction, in
`metrics/<trial>.parquet`. If a step has its own file, that file takes precedence over the trial's file:
compaction may be cut short, or repeated, at any point without losing or doubling a row.
"""

import io
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ndabench.errors import UserError
from ndabench.records import schema_1
from ndabench.records.files import FileTree
from ndabench.records.schema import SCHEMA_VERSION

PAUSES_FOR_A_CHANGING_OBJECT = (0.05, 0.2, 1.0)


class StepTable:
    """One table below `name`. Columns of dictionaries in `schema` are strings in the files.

    A table of one row a trial, such as `trials`, is one that has only the trials' files.
    """

    def __init__(self, files: FileTree, name: str, schema: pa.Schema) -> None:
        self._files, self._name, self._schema = files, name, schema
        self._dictionaries = {field.name for field in schema if pa.types.is_dictionary(field.type)}

    def write(self, trial: str, rows: Sequence[dict[str, Any]], step: int | None = None) -> None:
        """Writes or replaces the rows of one step, or the file of the trial."""
        table = pa.Table.from_pylist(rows, schema=self._schema)
        self._write(self._path(trial) if step is None else f"{self._name}/{trial}/{step:09d}.parquet", table)

    def read(
        self, columns: Sequence[str] | None = None, keep: Callable[[pa.Table], pa.Array] | None = None
    ) -> pa.Table:
        """All rows, or those for which `keep` gives True, by trial and step; all columns, or some."""
        parts, compacted = self._listed()
        schema = self._schema if columns is None else pa.schema([self._schema.field(n) for n in columns])

        def rows(trial: str) -> pa.Table:
            found = self._rows(trial, parts.get(trial, []), trial in compacted)
            if keep is not None:
                found = found.filter(keep(found))
            return found.select(schema.names)

        tables = self._files.each(rows, sorted({*parts, *compacted}))
        return _joined(tables, schema)

    def trials(self) -> set[str]:
        """The trials of which there is any file; opens none."""
        parts, compacted = self._listed()
        return {*parts, *compacted}

    def read_trial(self, trial: str, after: int = -1) -> pa.Table:
        """The rows of one trial at steps later than `after`, in order."""
        return self._rows(trial, self._files.walk(f"{self._name}/{trial}"), True, after)

    def read_file(self, trial: str) -> pa.Table | None:
        """The rows in the trial's own file, or None where it has none (yet)."""
        return self._read(self._path(trial))

    def compact(self, trial: str) -> None:
        """Puts all rows of a trial into one file, which replaces the others."""
        parts = self._files.walk(f"{self._name}/{trial}")
        if parts:
            self._write(self._path(trial), self._rows(trial, parts, True))
            self._files.delete_all(parts)

    def _listed(self) -> tuple[dict[str, list[str]], set[str]]:
        """The files of each trial's steps, and the trials that have a file of their own."""
        parts: dict[str, list[str]] = {}
        for path in self._files.walk(self._name):
            if (folder := PurePosixPath(path).parent.name) != self._name:
                parts.setdefault(folder, []).append(path)
        # Listed after the parts: if compaction has just deleted some of them, the trial's file is there.
        return parts, {PurePosixPath(path).stem for path in self._files.walk(self._name, deep=False)}

    def _rows(self, trial: str, parts: Iterable[str], compacted: bool, after: int = -1) -> pa.Table:
        """The rows in the files `parts` and, if `compacted`, in the trial's own file."""
        while True:
            newer = [path for path in parts if _step(path) > after]
            tables = [table for path in newer if (table := self._read(path)) is not None]
            if len(tables) == len(newer):
                break
            parts, compacted = (
                self._files.walk(f"{self._name}/{trial}"),
                True,
            )  # compacted since they were listed
        whole = self.read_file(trial) if compacted else None
        if whole is not None:
            if after >= 0:
                whole = whole.filter(pc.greater(whole["step"], after))
            if tables:
                steps = pa.array([_step(path) for path in newer])
                whole = whole.filter(pc.invert(pc.is_in(whole["step"], steps)))
        if whole is None or not whole.num_rows:
            return _joined(tables, self._schema)
        return _joined([whole, *tables], self._schema).sort_by("step") if tables else whole

    def _read(self, path: str) -> pa.Table | None:
        """The rows in a file as the schema has them, or None where there is no such file."""

        def read() -> pa.Table | None:
            data = self._files.read(path)
            if data is None:
                return None
            content = pa.BufferReader(data)
            metadata = pq.read_metadata(content)
            dictionaries = self._dictionaries.intersection(metadata.schema.names)
            file = pq.ParquetFile(content, metadata=metadata, read_dictionary=dictionaries)
            return file.read(use_threads=False)  # small: they would cost more than they gain

        try:
            table = read_whole(read)
        except pa.ArrowException as error:
            where, why = self._files.shown(path), " ".join(str(error).split())
            raise UserError(f"{where}: cannot be read ({why})") from error
        if table is None:
            return None
        version = pc.max(table["schema_version"]).as_py()
        if version is not None and version > SCHEMA_VERSION:
            raise UserError(
                f"{self._files.shown(path)}: written by a newer ndabench (schema version {version}, "
                f"this one reads up to {SCHEMA_VERSION})"
            )
        if version == schema_1.VERSION:
            table = schema_1.as_schema_2(self._name, table)
        return _as_in(self._schema, table)

    def _write(self, path: str, table: pa.Table) -> None:
        buffer = io.BytesIO()
        pq.write_table(table.cast(_in_files(self._schema)), buffer, compression="zstd")
        self._files.write(path, buffer.getvalue())

    def _path(self, trial: str) -> str:
        return f"{self._name}/{trial}.parquet"


def read_whole(read: Callable[[], pa.Table | None]) -> pa.Table | None:
    """What `read` gives; tried again where the object changed while it was read.

    Object stores have no handles: if a file is replaced between the request for its size and the read, the
    reader looks for the end of the new content at the size of the old one and finds it damaged.
    """
    for pause in PAUSES_FOR_A_CHANGING_OBJECT:
        try:
            return read()
        except pa.ArrowInvalid:
            time.sleep(pause)
    return read()


def _as_in(schema: pa.Schema, table: pa.Table) -> pa.Table:
    """The columns of `schema`; null where an older ndabench did not write them."""
    known, columns = set(table.column_names), []
    for field in schema:
        column = table[field.name] if field.name in known else pa.nulls(table.num_rows, field.type)
        columns.append(column if column.type == field.type else column.cast(field.type))
    return pa.Table.from_arrays(columns, schema=schema)


def _joined(tables: Sequence[pa.Table], schema: pa.Schema) -> pa.Table:
    """One table in one chunk: thousands of small chunks would take many times the memory."""
    if not tables:
        return schema.empty_table()
    return pa.concat_tables(tables).unify_dictionaries().combine_chunks()


def _in_files(schema: pa.Schema) -> pa.Schema:
    return pa.schema(
        [f.with_type(f.type.value_type) if pa.types.is_dictionary(f.type) else f for f in schema]
    )


def _step(path: str) -> int:
    return int(PurePosixPath(path).stem)
