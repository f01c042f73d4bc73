"""Which rows of a file can be used: files may be damaged, copied by hand, or somebody else's.

A row that lacks what its meaning depends on is left out. A row whose other texts cannot be read is kept
without them. Each such row has its line.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, get_args

import pyarrow as pa
import pyarrow.compute as pc

from ndabench.records.damage import DamagedError
from ndabench.records.schema import Status

NEEDED = {
    "trials": ("trial_id", "task", "dataset", "arm", "seed", "parameters_json", "status"),
    "metrics": ("trial_id", "step", "kind", "metric", "split", "label", "value", "better", "protocol_json"),
    "artifacts": ("trial_id", "step", "kind", "path"),
}
"""The columns without which a row of a table means nothing."""
KEYS = {
    "trials": ("trial_id",),
    "metrics": ("trial_id", "step", "kind", "metric", "split", "label"),
    "artifacts": ("trial_id", "step", "kind", "path"),
}
"""No two rows agree in all of these."""


def usable_rows(
    name: str, table: pa.Table, trial: str, step: int | None = None
) -> tuple[pa.Table, Sequence[str]]:
    """The rows of `table`, read from the file of a `trial` (and a `step`), that can be used.

    And for each other one a line such as `row 2: arm is missing`. Raises `DamagedError` for a file without
    rows.
    """
    if not table.num_rows:
        raise DamagedError("it has no rows")
    problems = dict(_problems(name, table, trial, step))
    lines = [f"row {row + 1}: {problem}" for row, problem in sorted(problems.items())]
    if problems:
        table = table.take(
            pa.array([row for row in range(table.num_rows) if row not in problems], pa.int64())
        )
    if name == "trials" and table.num_rows:
        table, unread = _without_unreadable_texts(table)
        lines += unread
    return table, lines


def _problems(name: str, table: pa.Table, trial: str, step: int | None) -> Iterator[tuple[int, str]]:
    """Row and problem for every row that cannot be used; the last of a row's problems counts."""
    if _distinct(table, KEYS[name]) < table.num_rows:
        yield from _doubled(name, table)
    if name == "trials":
        for row, (status, parameters) in enumerate(_rows(table, "status", "parameters_json")):
            if status not in get_args(Status):
                yield row, f"status is {_short(status)}"
            if not _is_object(parameters):
                yield row, f"parameters_json is {_short(parameters)}"
    if name == "metrics" and not all(map(_is_object, table["protocol_json"].unique().to_pylist())):
        for row, (protocol,) in enumerate(_rows(table, "protocol_json")):
            if not _is_object(protocol):
                yield row, f"protocol_json is {_short(protocol)}"
    if name == "artifacts":
        for row, (path,) in enumerate(_rows(table, "path")):
            if path is not None and not _is_file_of(trial, path):
                yield row, f"path is {_short(path)}"
    yield from _unequal(table, "trial_id", trial)
    if step is not None:
        yield from _unequal(table, "step", step)
    for column in NEEDED[name]:
        if table[column].null_count:
            for row, missing in enumerate(table[column].is_null().to_pylist()):
                if missing:
                    yield row, f"{column} is missing"


def _distinct(table: pa.Table, keys: Sequence[str]) -> int:
    """How many different combinations of values the columns `keys` have."""
    codes = pa.array([0], pa.int64())[0]
    for key in keys:
        column = pc.dictionary_encode(table[key].combine_chunks(), null_encoding="encode")
        codes = pc.add(pc.multiply(codes, len(column.dictionary)), pc.cast(column.indices, pa.int64()))
    return pc.count_distinct(codes).as_py()


def _doubled(name: str, table: pa.Table) -> Iterator[tuple[int, str]]:
    first: dict[tuple[object, ...], int] = {}
    for row, key in enumerate(_rows(table, *KEYS[name])):
        if first.setdefault(key, row) != row:
            yield row, f"the same as row {first[key] + 1} once more"


def _unequal(table: pa.Table, column: str, expected: str | int) -> Iterator[tuple[int, str]]:
    values = table[column]
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    if pc.all(pc.equal(values, expected)).as_py():
        return
    for row, value in enumerate(values.to_pylist()):
        if value != expected:
            yield row, f"{column} is {_short(value)}, in a file of {expected}"


def _without_unreadable_texts(table: pa.Table) -> tuple[pa.Table, list[str]]:
    lines = []
    for column, (is_readable, nothing) in OPTIONAL_TEXTS.items():
        texts = table[column].to_pylist()
        for row, text in enumerate(texts):
            if not is_readable(text):
                lines.append(f"row {row + 1}: {column} is {_short(text)}")
                texts[row] = nothing
        place = table.schema.get_field_index(column)
        table = table.set_column(place, table.schema.field(column), pa.array(texts, pa.string()))
    return table, lines


def _rows(table: pa.Table, *columns: str) -> Iterator[tuple[object, ...]]:
    return zip(*(table[column].to_pylist() for column in columns), strict=True)


def _read(text: object) -> Any:
    """The value of a JSON text; None for what is none."""
    try:
        return json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        return None


@lru_cache(maxsize=4096)  # thousands of rows have the same protocol
def _is_object(text: object) -> bool:
    return isinstance(_read(text), dict)


def _are_versions(text: object) -> bool:
    value = _read(text)
    return isinstance(value, dict) and all(isinstance(version, str) for version in value.values())


def _are_data_sets(text: object) -> bool:
    """Whether a text has pairs of a title and a content hash; a trial without such data has none."""
    value = [] if text is None else _read(text)
    return isinstance(value, list) and all(
        isinstance(pair, list) and len(pair) == 2 and all(isinstance(part, str) for part in pair)
        for pair in value
    )


def _is_file_of(trial: str, path: object) -> bool:
    parts = str(path).split("/")
    return parts[:2] == ["files", trial] and len(parts) == 3 and parts[2] not in ("", ".", "..")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


OPTIONAL_TEXTS: Mapping[str, tuple[Callable[[object], bool], str | None]] = {
    "config_json": (_is_object, "{}"),
    "versions_json": (_are_versions, "{}"),
    "negative_data_json": (_are_data_sets, None),
}
"""Columns of `trials` that a row can do without: what their texts must be, and what replaces another."""
