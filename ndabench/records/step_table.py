"""Rows that come step by step: one small file per step, compacted into one file per trial after its end.

In a table `metrics` the rows of a trial are in `metrics/<trial>/<step>.parquet` and, after compaction, in
`metrics/<trial>.parquet`. If a step has its own file, that file takes precedence over the trial's file:
compaction may be cut short, or repeated, at any point without losing or doubling a row.
"""

import io
import re
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ndabench.errors import UserError
from ndabench.records import schema_1
from ndabench.records.damage import PLACEHOLDER, DamagedError, Note, require_intact, sealed
from ndabench.records.files import FileTree
from ndabench.records.row_checks import usable_rows
from ndabench.records.schema import SCHEMA_VERSION

PAUSES_FOR_A_CHANGING_OBJECT = (0.05, 0.2, 1.0)
RECORD_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}(/\d{9,})?\.parquet")


class StepTable:
    """One table below `name`. Columns of dictionaries in `schema` are strings in the files.

    A table of one row a trial, such as `trials`, is one that has only the trials' files. A file or a row that
    is damaged is passed over, and `note` gets a line that names it; an object store's only after some tries.
    """

    def __init__(self, files: FileTree, name: str, schema: pa.Schema, note: Note) -> None:
        self._files, self._name, self._schema, self._note = files, name, schema, note
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
        """The trials with a file, none of whose files is damaged; parses none."""
        parts, compacted = self._listed()
        files = [(trial, path) for trial, paths in parts.items() for path in paths]
        files += [(trial, self._path(trial)) for trial in compacted]
        damaged = {trial for trial, whole in self._files.each(self._is_intact, files) if not whole}
        return {*parts, *compacted} - damaged

    def _is_intact(self, file: tuple[str, str]) -> tuple[str, bool]:
        trial, path = file
        try:
            require_intact(self._files.read(path) or b"")
        except DamagedError as error:
            self._pass_over(path, error)
            return trial, False
        return trial, True

    def read_trial(self, trial: str, after: int = -1) -> pa.Table:
        """The rows of one trial at steps later than `after`, in order."""
        return self._rows(trial, self._parts(trial), True, after)

    def read_file(self, trial: str) -> pa.Table | None:
        """The rows in the trial's own file, or None where it has none (yet)."""
        return self._read(self._path(trial), trial)

    def compact(self, trial: str) -> None:
        """Puts all rows of a trial into one file, which replaces the others; damaged ones stay."""
        parts = self._parts(trial)
        if parts:
            self._write(self._path(trial), self._rows(trial, parts, True))
            self._files.delete_all([path for path in parts if self._is_intact((trial, path))[1]])

    def _listed(self) -> tuple[dict[str, list[str]], set[str]]:
        """The files of each trial's steps, and the trials that have a file of their own."""
        parts: dict[str, list[str]] = {}
        for path in self._files.walk(self._name):
            _, trial, *rest = PurePosixPath(path).parts
            if rest and self._is_record(path):
                parts.setdefault(trial, []).append(path)
        # Listed after the parts: if compaction has just deleted some of them, the trial's file is there.
        whole = [path for path in self._files.walk(self._name, deep=False) if self._is_record(path)]
        return parts, {PurePosixPath(path).stem for path in whole}

    def _parts(self, trial: str) -> list[str]:
        return [path for path in self._files.walk(f"{self._name}/{trial}") if self._is_record(path)]

    def _is_record(self, path: str) -> bool:
        """Whether this table writes files of that name; notes those that others have put there."""
        if RECORD_NAME.fullmatch(path.removeprefix(f"{self._name}/")):
            return True
        self._note(f"{self._files.shown(path)}: not a file of these records")
        return False

    def _rows(self, trial: str, parts: Iterable[str], compacted: bool, after: int = -1) -> pa.Table:
        """The rows in the files `parts` and, if `compacted`, in the trial's own file."""
        while True:
            newer = [path for path in parts if _step(path) > after]
            tables = [table for path in newer if (table := self._read(path, trial, _step(path))) is not None]
            if len(tables) == len(newer):
                break
            parts, compacted = self._parts(trial), True  # compacted since they were listed
        whole = self.read_file(trial) if compacted else None
        if whole is not None:
            if after >= 0:
                whole = whole.filter(pc.greater(whole["step"], after))
            if tables:
                steps = pa.array([_step(path) for path, rows in zip(newer, tables, strict=True) if rows])
                whole = whole.filter(pc.invert(pc.is_in(whole["step"], steps.cast(pa.int64()))))
        if whole is None or not whole.num_rows:
            return _joined(tables, self._schema)
        return _joined([whole, *tables], self._schema).sort_by("step") if tables else whole

    def _read(self, path: str, trial: str, step: int | None = None) -> pa.Table | None:
        """The rows in a file as the schema has them, or None where there is no such file."""

        def read() -> pa.Table | None:
            data = self._files.read(path)
            return None if data is None else self._parsed(data)

        try:
            table = read() if self._files.is_local else read_whole(read)
            if table is None:
                return None
            self._require_known_version(path, table)
            table, problems = usable_rows(self._name, self._with_schema(table), trial, step)
        except DamagedError as error:
            self._pass_over(path, error)
            return self._schema.empty_table()
        for problem in problems:
            self._note(f"{self._files.shown(path)}: damaged ({problem})")
        return table

    def _pass_over(self, path: str, error: DamagedError) -> None:
        self._note(f"{self._files.shown(path)}: damaged ({error})")

    def _parsed(self, data: bytes) -> pa.Table:
        """The rows in the content of a file; `DamagedError` where it cannot be trusted or read."""
        checked = require_intact(data)
        try:
            content = pa.BufferReader(data)
            metadata = pq.read_metadata(content)
            dictionaries = self._dictionaries.intersection(metadata.schema.names)
            file = pq.ParquetFile(
                content, metadata=metadata, read_dictionary=dictionaries, page_checksum_verification=True
            )
            table = file.read(use_threads=False)  # small: they would cost more than they gain
            if not checked:
                table.validate(full=True)
        except Exception as error:  # what Arrow raises depends on where the file is damaged
            raise DamagedError(" ".join(str(error).split())[:200] or type(error).__name__) from error
        return table

    def _require_known_version(self, path: str, table: pa.Table) -> None:
        if "schema_version" not in table.column_names:
            raise DamagedError("it has no column schema_version")
        versions = [version for version in table["schema_version"].to_pylist() if version is not None]
        newest = max(versions, default=None, key=str) if versions else None
        if isinstance(newest, int) and newest > SCHEMA_VERSION:
            raise UserError(
                f"{self._files.shown(path)}: written by a newer ndabench (schema version {newest}, "
                f"this one reads up to {SCHEMA_VERSION})"
            )

    def _with_schema(self, table: pa.Table) -> pa.Table:
        """The rows with the columns of the schema, whichever version wrote them; `DamagedError` where they
        are not this table's.
        """
        try:
            if table.num_rows and table["schema_version"][0].as_py() == schema_1.VERSION:
                table = schema_1.as_schema_2(self._name, table)
            table = _as_in(self._schema, table)
            if self._name == "trials":
                table.to_pylist()  # a time may be no date
        except (
            LookupError,
            ValueError,
            TypeError,
            OverflowError,
            RecursionError,
            pa.ArrowException,
        ) as error:
            raise DamagedError(" ".join(str(error).split())[:200]) from error
        return table

    def _write(self, path: str, table: pa.Table) -> None:
        table, buffer = table.cast(_in_files(self._schema)), io.BytesIO()
        with pq.ParquetWriter(buffer, table.schema, compression="zstd", write_page_checksum=True) as writer:
            writer.write_table(table)
            writer.add_key_value_metadata({"checksum": PLACEHOLDER})
        self._files.write(path, sealed(buffer.getvalue()))

    def _path(self, trial: str) -> str:
        return f"{self._name}/{trial}.parquet"


def read_whole(read: Callable[[], pa.Table | None]) -> pa.Table | None:
    """What `read` gives; tried again where the object changed while it was read.

    Object stores have no handles: if a file is replaced between the request for its size and the read, the
    reader finds a part of the new content, or both.
    """
    for pause in PAUSES_FOR_A_CHANGING_OBJECT:
        try:
            return read()
        except DamagedError:
            time.sleep(pause)
    return read()


def _as_in(schema: pa.Schema, table: pa.Table) -> pa.Table:
    """The columns of `schema`; null where an older ndabench did not write them."""
    known, columns = set(table.column_names), []
    for field in schema:
        column = table[field.name] if field.name in known else pa.nulls(table.num_rows, field.type)
        try:
            columns.append(column if column.type == field.type else column.cast(field.type))
        except pa.ArrowException:
            raise DamagedError(f"column {field.name} holds {column.type}, not {field.type}") from None
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
