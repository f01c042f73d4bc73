"""Trials to follow, recorded as a sweep would."""

from datetime import datetime, timezone

from ndabench.measurement import Measurement
from ndabench.records import RecordStore, TrialRow
from ndabench.records.schema import Status

STARTED = datetime(2026, 3, 1, 9, 30, tzinfo=timezone.utc)


def write_row(store: RecordStore, status: Status, trial_id: str = "jigsaw-01", error: str = "") -> TrialRow:
    row = TrialRow(
        sweep="synthetic",
        trial_id=trial_id,
        task="gan",
        dataset="digits",
        arm="jigsaw",
        negative="jigsaw",
        lambda_=0.25,
        seed=1,
        parameters_json='{"width": 8}',
        config_json="{}",
        status=status,
        error=error,
        started=STARTED,
        finished=None if status == "running" else datetime.now(timezone.utc),
    )
    store.write_trial(row)
    return row


def write_step(store: RecordStore, step: int, trial_id: str = "jigsaw-01", **values: float) -> None:
    metrics = {name: Measurement(value) for name, value in values.items()}
    store.write_progress("synthetic", trial_id, step, metrics, {})
