"""Reading tables of schema 1 as tables of schema 2; reports use this, and no sweep continues such records.

Schema 1 kept in texts what schema 2 keeps in columns: a metric on the validation split had `val_` in front of
its name, a label behind it and in its protocol; a curve had an empty protocol; and only its error
distinguished a trial that the scheduler had stopped early from one that the user had stopped. Only this file
knows that.
"""

import json
from functools import lru_cache

import pyarrow as pa

VERSION = 1
_VALIDATION = "val_"
_STOPPED_EARLY = "stopped early by the scheduler"
_CURVES_WITH_A_PROTOCOL = frozenset({"compiled"})
"""`compiled` kept the reason of a failed compilation in its protocol."""


def as_schema_2(name: str, table: pa.Table) -> pa.Table:
    """The rows of a schema-1 table called `name` with the columns of schema 2; `schema_version` stays 1."""
    if name == "metrics":
        return _metrics(table)
    return _trials(table) if name == "trials" else table


def _trials(table: pa.Table) -> pa.Table:
    pairs = zip(table["status"].to_pylist(), table["error"].to_pylist(), strict=True)
    statuses = ["pruned" if pair == ("stopped", _STOPPED_EARLY) else pair[0] for pair in pairs]
    return _with(table, "status", statuses)


def _metrics(table: pa.Table) -> pa.Table:
    pairs = zip(table["metric"].to_pylist(), table["protocol_json"].to_pylist(), strict=True)
    parts = [_parts(metric, protocol) for metric, protocol in pairs]
    for place, column in enumerate(("kind", "metric", "split", "label")):
        table = _with(table, column, [part[place] for part in parts])
    return table


@lru_cache(maxsize=4096)
def _parts(name: str, protocol_json: str) -> tuple[str, str, str, str]:
    """Kind, metric, split and label of a value that schema 1 called `name`; `ValueError` for a protocol that
    is no JSON object."""
    protocol = json.loads(protocol_json)
    if not isinstance(protocol, dict):
        raise ValueError(f"protocol_json is {protocol_json[:60]!r}")
    if not protocol or name in _CURVES_WITH_A_PROTOCOL:
        return "curve", name, "", ""
    label = protocol.get("as", "")
    split = "validation" if name.startswith(_VALIDATION) else "test"
    metric = name.removeprefix(_VALIDATION).removesuffix(f"_{label}" if label else "")
    return "metric", metric, split, label


def _with(table: pa.Table, column: str, values: list[str]) -> pa.Table:
    """The table with `column` set to `values`."""
    array = pa.array(values, pa.string())
    place = table.schema.get_field_index(column)
    if place < 0:
        return table.append_column(column, array)
    return table.set_column(place, column, array)
