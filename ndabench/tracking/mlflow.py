"""Trials as runs in MLflow, each found again by a tag with the trial's id."""

import logging
import os
import time
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING

from ndabench.records import RecordStore, TrialRow
from ndabench.tracking.config import MlflowConfig
from ndabench.tracking.tracker import local_folder, not_installed, run_name, run_settings

if TYPE_CHECKING:
    from mlflow import MlflowClient

KEY = "track.mlflow.tracking_uri"
TRIAL, STEP = "ndabench.trial", "ndabench.step"
ENDINGS = {"finished": "FINISHED", "pruned": "KILLED", "stopped": "KILLED"}


class MlflowTracker:
    """Writes to one experiment, which it creates if there is none."""

    name = "MLflow"

    def __init__(self, config: MlflowConfig, sweep: str, store: RecordStore) -> None:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        try:
            import mlflow  # noqa: F401  # late: an optional package
        except ImportError:
            raise not_installed("mlflow", "mlflow-skinny") from None
        for name in ("mlflow", "alembic"):  # they log every table that they create
            logging.getLogger(name).setLevel(logging.ERROR)
        self._uri = config.tracking_uri or f"sqlite:///{local_folder(store, KEY)}/mlflow.db"
        self._experiment = config.experiment or sweep
        self._runs: dict[str, str] = {}

    @cached_property
    def _client(self) -> "MlflowClient":
        """Opened at its first use: the folder of a database belongs to the sweep only once it has begun."""
        from mlflow import MlflowClient  # late: an optional package

        return MlflowClient(self._uri)

    @cached_property
    def _experiment_id(self) -> str:
        known = self._client.get_experiment_by_name(self._experiment)
        return known.experiment_id if known else self._client.create_experiment(self._experiment)

    def begin(self, row: TrialRow) -> int:
        found = self._client.search_runs([self._experiment_id], f"tags.`{TRIAL}` = '{row.trial_id}'")
        if found:
            run = found[0]
            self._client.update_run(run.info.run_id, "RUNNING")
        else:
            tags = {TRIAL: row.trial_id}
            run = self._client.create_run(self._experiment_id, run_name=run_name(row), tags=tags)
            for key, value in run_settings(row).items():
                self._client.log_param(run.info.run_id, key, value)
        self._runs[row.trial_id] = run.info.run_id
        return int(run.data.tags.get(STEP, -1))

    def log(self, trial_id: str, step: int, values: Mapping[str, float]) -> None:
        from mlflow.entities import Metric, RunTag  # late: an optional package

        now = int(time.time() * 1000)
        metrics = [Metric(name, value, now, step) for name, value in values.items()]
        self._client.log_batch(self._runs[trial_id], metrics, tags=[RunTag(STEP, str(step))])

    def end(self, row: TrialRow) -> None:
        if row.error:
            self._client.set_tag(self._runs[row.trial_id], "ndabench.error", row.error)
        self._client.set_terminated(self._runs[row.trial_id], ENDINGS.get(row.status, "FAILED"))

    def close(self) -> None:
        """Does nothing: MLflow already has everything."""
