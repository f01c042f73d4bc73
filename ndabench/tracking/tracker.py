"""What MLflow and Weights & Biases have in common, and which of them a sweep asks for."""

import json
from collections.abc import Mapping
from typing import Any, Protocol

from ndabench.errors import UserError
from ndabench.records import RecordStore, TrialRow
from ndabench.tracking.config import Track


class Tracker(Protocol):
    """Shows trials as runs elsewhere. Its methods may raise anything: what was asked is asked again later."""

    name: str

    def begin(self, row: TrialRow) -> int:
        """Opens the run of a trial, or finds it again; returns the last step that it has, -1 without any."""
        ...

    def log(self, trial_id: str, step: int, values: Mapping[str, float]) -> None: ...

    def end(self, row: TrialRow) -> None:
        """Closes the run of a trial that has ended as `row` says."""
        ...


def make_trackers(track: Track, sweep: str, store: RecordStore) -> list[Tracker]:
    """Those that are asked for. `UserError` where one is not installed or not set up; writes nothing yet."""
    trackers: list[Tracker] = []
    if track.mlflow is not None:
        from ndabench.tracking.mlflow import MlflowTracker

        trackers.append(MlflowTracker(track.mlflow, sweep, store))
    if track.wandb is not None:
        from ndabench.tracking.wandb import WandbTracker

        trackers.append(WandbTracker(track.wandb, sweep, store))
    return trackers


def local_folder(store: RecordStore, key: str) -> str:
    """The sweep's own folder, for what can only write to a disk."""
    if not store.is_local:
        raise UserError(f"{key}: must be given, since the sweep's own folder {store.root} is on no disk")
    return store.root


def not_installed(key: str, package: str) -> UserError:
    return UserError(
        f"track.{key}: {package} is not installed; `pip install {package}`, or leave the key out"
    )


def run_name(row: TrialRow) -> str:
    """`jigsaw λ=0.25 seed 1 (jigsaw-0123456789)`: unlike a bare id, it can be read."""
    weight = f" λ={row.lambda_:g}" if row.negative and row.lambda_ is not None else ""
    return f"{row.arm}{weight} seed {row.seed} ({row.trial_id})"


def run_settings(row: TrialRow) -> dict[str, Any]:
    """What tells the trials of a sweep apart, as flat plain values."""
    names = ("sweep", "trial_id", "task", "dataset", "arm", "negative", "positive", "seed", "git_commit")
    settings = {name: getattr(row, name) for name in names}
    return {**settings, "lambda": row.lambda_, **json.loads(row.parameters_json)}
