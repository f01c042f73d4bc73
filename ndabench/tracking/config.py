"""The settings of each tracker, as a sweep file has them under `track`."""

from typing import Literal

from pydantic import Field

from ndabench.config import Config


class TensorBoardConfig(Config):
    """Event files below `tensorboard/` in the sweep's folder, if tensorboardX is installed."""


class MlflowConfig(Config):
    """Runs in MLflow, one for each trial."""

    tracking_uri: str | None = None
    """A server's address or a database; None: `mlflow.db` in the sweep's folder, no server needed."""
    experiment: str | None = Field(None, min_length=1)
    """None: the sweep's name."""


class WandbConfig(Config):
    """Runs in Weights & Biases, one for each trial."""

    project: str = Field("ndabench", min_length=1)
    entity: str | None = None
    mode: Literal["offline", "online"] = "offline"
    """offline: W&B writes files below `folder`, and `wandb sync` sends them later."""
    folder: str | None = None
    """A local folder; None: the sweep's."""
