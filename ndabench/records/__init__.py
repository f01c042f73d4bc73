"""What a sweep leaves behind: Parquet tables of trials, metrics and artifacts, and the only code that reads
and writes them.

    >>> from ndabench.measurement import Measurement
    >>> store = RecordStore("results/tiny")
    >>> for step, loss in ((10, 0.7), (20, 0.4)):
    ...     store.write_progress("tiny", "jigsaw-1", step, {"loss": Measurement(loss, kind="curve")}, {})
    >>> store.read_metrics(columns=["step", "metric", "value"]).to_pylist()
    [{'step': 10, 'metric': 'loss', 'value': 0.7}, {'step': 20, 'metric': 'loss', 'value': 0.4}]
"""

from ndabench.records.schema import SCHEMA_VERSION, TrialRow
from ndabench.records.status import RunningTrial, SweepStatus, read_status, write_status
from ndabench.records.store import LATER_FILE, PLAN_FILE, RECORDED, SWEEP_FILE, RecordStore

__all__ = [
    "LATER_FILE",
    "PLAN_FILE",
    "RECORDED",
    "SCHEMA_VERSION",
    "SWEEP_FILE",
    "RecordStore",
    "RunningTrial",
    "SweepStatus",
    "TrialRow",
    "read_status",
    "write_status",
]
