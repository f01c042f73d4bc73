"""What a sweep leaves behind: Parquet tables of trials, metrics and artifacts, and the only code that reads
and writes them."""

from ndabench.records.schema import SCHEMA_VERSION, TrialRow
from ndabench.records.status import RunningTrial, SweepStatus, read_status, write_status
from ndabench.records.store import RecordStore

__all__ = [
    "SCHEMA_VERSION",
    "RecordStore",
    "RunningTrial",
    "SweepStatus",
    "TrialRow",
    "read_status",
    "write_status",
]
