"""`python -m pausing_report FILE …`: ndabench.sweep, which waits in its report to be interrupted."""

import os
import time
from pathlib import Path

from ndabench import reporting
from ndabench.command_line import run
from ndabench.records import RecordStore
from ndabench.sweep import sweep


def write_report(store: RecordStore, reload_seconds: float | None = None, *, all_seeds: bool = False) -> str:
    """Says in the file `$NDABENCH_TEST_REPORT` that the report has begun."""
    Path(os.environ["NDABENCH_TEST_REPORT"]).touch()
    time.sleep(600)
    raise TimeoutError("nobody interrupted it")


if __name__ == "__main__":
    reporting.write_report = write_report
    run(sweep)
