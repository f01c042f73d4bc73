"""The key `track` of a sweep file: where metrics are shown besides the report. It changes no result."""

from typing import Any, Literal

from pydantic import Field, field_validator

from ndabench.config import Config


class Mlflow(Config):
    """Runs in MLflow, one for each trial."""

    tracking_uri: str | None = None
    """A server's address or a database; None: `mlflow.db` in the sweep's folder, no server needed."""
    experiment: str | None = Field(None, min_length=1)
    """None: the sweep's name."""


class Wandb(Config):
    """Runs in Weights & Biases, one for each trial."""

    project: str = Field("ndabench", min_length=1)
    entity: str | None = None
    mode: Literal["offline", "online"] = "offline"
    """offline: W&B writes files below `folder`, and `wandb sync` sends them later."""
    folder: str | None = None
    """A local folder; None: the sweep's."""


class Track(Config):
    """`mlflow: true` and `wandb: true` switch these on with their defaults; they must be installed."""

    tensorboard: bool = True
    """Event files below `tensorboard/` in the sweep's folder, if tensorboardX is installed."""
    mlflow: Mlflow | None = None
    wandb: Wandb | None = None

    @field_validator("mlflow", "wandb", mode="before")
    @classmethod
    def _short_forms(cls, value: Any) -> Any:
        return {} if value is True else None if value is False else value
