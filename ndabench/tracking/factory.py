"""Makes the trackers that a sweep file asks for.

A new tracker is a file with a class like `MlflowTracker`, a key of `Track` and a line here.
"""

from ndabench.records import RecordStore
from ndabench.tracking import tensorboard
from ndabench.tracking.config import Track
from ndabench.tracking.mlflow import MlflowTracker
from ndabench.tracking.tensorboard import TensorBoardTracker
from ndabench.tracking.tracker import Tracker
from ndabench.tracking.wandb import WandbTracker


def make_trackers(track: Track, sweep: str, store: RecordStore) -> list[Tracker]:
    """The trackers that `track` asks for; `UserError` if one is not installed or not set up.

    Writes nothing yet. TensorBoard, which is on by default, is left out if tensorboardX is missing.
    """
    trackers: list[Tracker] = []
    if track.tensorboard and tensorboard.is_installed():
        trackers.append(TensorBoardTracker(store))
    if track.mlflow is not None:
        trackers.append(MlflowTracker(track.mlflow, sweep, store))
    if track.wandb is not None:
        trackers.append(WandbTracker(track.wandb, sweep, store))
    return trackers
