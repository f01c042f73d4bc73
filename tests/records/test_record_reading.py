"""Reading records while a row is replaced."""

import pyarrow as pa
import pytest

from ndabench.records import store


def test_a_row_that_changes_while_it_is_read_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "PAUSES_FOR_A_CHANGING_OBJECT", (0.0, 0.0))
    table, failures = pa.table({"a": [1]}), [pa.ArrowInvalid("no magic bytes")] * 2

    def read() -> pa.Table:
        if failures:
            raise failures.pop()
        return table

    assert store._read_whole(read) is table
    failures += [pa.ArrowInvalid("no magic bytes")] * 3
    with pytest.raises(pa.ArrowInvalid):
        store._read_whole(read)
