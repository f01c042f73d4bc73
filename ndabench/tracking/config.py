"""The settings of each tracker, as a sweep file has them under `track`."""

from typing import Literal

from pydantic import Field, field_validator

from ndabench.config import Config
from ndabench.foreign_text import has_secret, without_secrets


class TensorBoardConfig(Config):
    """Event files below `tensorboard/` in the sweep's folder, if tensorboardX is installed."""


class MlflowConfig(Config):
    """Runs in MLflow, one for each trial."""

    tracking_uri: str | None = None
    """A server's address or a database; None: `mlflow.db` in the sweep's folder, no server needed."""
    experiment: str | None = Field(None, min_length=1)
    """None: the sweep's name."""

    @field_validator("tracking_uri")
    @classmethod
    def _holds_no_secret(cls, uri: str | None) -> str | None:
        if uri is not None and has_secret(uri):
            raise ValueError(
                f"{without_secrets(uri)} holds a secret, which would appear in sweep.yaml; give it as "
                "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD in the environment"
            )
        return uri


class WandbConfig(Config):
    """Runs in Weights & Biases, one for each trial."""

    project: str = Field("ndabench", min_length=1)
    entity: str | None = None
    mode: Literal["offline", "online"] = "offline"
    """offline: W&B writes files below `folder`, and `wandb sync` sends them later."""
    folder: str | None = None
    """A local folder; None: the sweep's."""
