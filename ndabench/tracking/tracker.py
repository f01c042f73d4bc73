"""What every tracker is, and what they have in common."""

import json
from collections.abc import Mapping
from typing import Any, Protocol

from ndabench.errors import UserError
from ndabench.records import RecordStore, TrialRow


class Tracker(Protocol):
    """Shows trials as runs elsewhere. Its methods may raise anything: the `Mirror` begins the trial again
    later."""

    name: str

    def begin(self, row: TrialRow) -> int:
        """Opens the run of a trial, or finds it again; returns the last step that it has, -1 without any.

        Called again after any method has raised, since the call may have been carried out all the same.
        """
        ...

    def log(self, trial_id: str, step: int, values: Mapping[str, float]) -> None:
        """Adds what a trial measured at `step`, by displayed name. Steps come in order."""
        ...

    def end(self, row: TrialRow) -> None:
        """Closes the run of a trial that has ended; its `status` says how."""
        ...

    def close(self) -> None:
        """Releases what the tracker holds. Runs of trials that have not ended are for the next driver."""
        ...


def local_folder(store: RecordStore, key: str) -> str:
    """The sweep's folder, for trackers that can only write to a disk; `UserError` if it is not on a disk."""
    if not store.is_local:
        raise UserError(f"{key}: must be given, since the sweep's own folder {store.root} is not on a disk")
    return store.root


def not_installed(key: str, package: str) -> UserError:
    return UserError(
        f"track.{key}: {package} is not installed; `pip install {package}`, or leave the key out"
    )


def run_name(row: TrialRow) -> str:
    """`jigsaw λ=0.25 seed 1 (jigsaw-0123456789)`, which people can read."""
    weight = f" λ={row.lambda_:g}" if row.negative and row.lambda_ is not None else ""
    return f"{row.arm}{weight} seed {row.seed} ({row.trial_id})"


def run_settings(row: TrialRow) -> dict[str, Any]:
    """The settings that distinguish the trials of a sweep, as a flat mapping of plain values."""
    names = ("sweep", "trial_id", "task", "dataset", "arm", "negative", "positive", "seed", "git_commit")
    settings = {name: getattr(row, name) for name in names}
    return {**settings, "lambda": row.lambda_, **json.loads(row.parameters_json)}
