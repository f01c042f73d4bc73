"""Damage to the records of the trial `none-01`, next to which `none-02` is whole."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ndabench.records import RecordStore

Change = Callable[[pa.Table], pa.Table]


def rewrite(store: RecordStore, name: str, change: Change) -> Path:
    """Changes the first trial's file of a table as another program would."""
    file = Path(store.root, name, "none-01.parquet")
    pq.write_table(change(pq.read_table(file).replace_schema_metadata(None)), file)
    return file


def with_values(column: str, values: list[Any]) -> Change:
    def change(table: pa.Table) -> pa.Table:
        return table.set_column(table.schema.get_field_index(column), column, pa.array(values))

    return change


def in_schema_1(protocol_json: str | None) -> Change:
    """As version 1 of the records wrote it, with the `protocol_json` for its second row."""

    def change(table: pa.Table) -> pa.Table:
        rows = with_values("schema_version", [1] * table.num_rows)(table)
        return with_values("protocol_json", ["{}", protocol_json])(rows)

    return change


DAMAGE: list[tuple[str, Change, str]] = [
    ("trials", with_values("arm", [None]), "row 1: arm is missing"),
    ("trials", with_values("task", [None]), "row 1: task is missing"),
    ("trials", with_values("dataset", [None]), "row 1: dataset is missing"),
    ("trials", with_values("seed", ["three"]), "column seed holds string, not int64"),
    ("trials", with_values("status", ["done"]), "row 1: status is 'done'"),
    ("trials", with_values("parameters_json", ["[" * 100_000]), "row 1: parameters_json is '[[[["),
    ("trials", with_values("trial_id", ["none-02"]), "row 1: trial_id is 'none-02', in a file of none-01"),
    ("trials", with_values("started", [2**62]), "damaged ("),
    ("trials", lambda rows: rows.slice(0, 0), "it has no rows"),
    ("trials", lambda rows: pa.table({"x": [1]}), "it has no column schema_version"),
    ("trials", lambda rows: rows.select(["schema_version"]), "row 1: "),
    ("metrics", with_values("value", [1.0, None]), "row 2: value is missing"),
    ("metrics", with_values("value", ["1.5", "much"]), "column value holds string, not double"),
    ("metrics", with_values("step", [5, None]), "row 2: step is missing"),
    ("metrics", lambda rows: rows.slice(0, 0), "it has no rows"),
    ("metrics", with_values("protocol_json", ["{}", "[" * 100_000]), "row 2: protocol_json is '[[[["),
    ("metrics", in_schema_1("[1]"), "protocol_json is '[1]'"),
    ("metrics", in_schema_1("[" * 100_000), "maximum recursion depth"),
    ("metrics", in_schema_1(None), "damaged ("),
    ("artifacts", with_values("path", ["../../etc/passwd"]), "row 1: path is '../../etc/passwd'"),
    ("artifacts", with_values("path", ["files/none-01/../x"]), "row 1: path is 'files/none-01/../x'"),
]
"""Table, change of its file, and what the line about it says: the row or the file is left out."""
UNREADABLE: list[tuple[str, str]] = [
    ("versions_json", "[]"),
    ("versions_json", '{"torch": [2]}'),
    ("config_json", "[" * 100_000),
    ("negative_data_json", "digits"),
    ("negative_data_json", "[" * 100_000),
    ("negative_data_json", "{}"),
    ("negative_data_json", '["digits", "abc"]'),
    ("negative_data_json", '[["digits"]]'),
    ("negative_data_json", '[["digits", 3]]'),
]
"""Texts in columns of `trials` that a row can do without."""
