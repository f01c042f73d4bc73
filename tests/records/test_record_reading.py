"""Reading records while a row is replaced."""

import pyarrow as pa
import pytest

from ndabench.records import step_table
from ndabench.records.damage import DamagedError


def test_a_row_that_changes_while_it_is_read_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step_table, "PAUSES_FOR_A_CHANGING_OBJECT", (0.0, 0.0))
    table, failures = pa.table({"a": [1]}), [DamagedError("no magic bytes")] * 2

    def read() -> pa.Table:
        if failures:
            raise failures.pop()
        return table

    assert step_table.read_whole(read) is table
    failures += [DamagedError("no magic bytes")] * 3
    with pytest.raises(DamagedError):
        step_table.read_whole(read)
