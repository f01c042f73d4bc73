"""The schedulers by name: which search trials a sweep file's `scheduler` stops early.

`asha` is ndabench's own (`successive_halving.py`); the others are Optuna's pruners (`pruning.py`). From
outside: `PRUNERS.register("mine", Pruner(MyConfig, "my_package.pruning:MyPruner"))`.
"""

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field, model_validator

from ndabench.config import Config, SomeSteps
from ndabench.registry import Registry


class PrunerConfig(Config):
    """The keys of a scheduler."""

    name: str

    @property
    def first_step(self) -> int:
        """The step before which it stops nothing; it must be within a training."""
        return 0

    def arguments(self, longest: int) -> dict[str, Any]:
        """What its Optuna pruner is built with; `longest` are the steps of the arm's longest trial."""
        return self.model_dump(exclude={"name"})


class Asha(PrunerConfig):
    """Asynchronous successive halving, separately in each arm; it stops search trials only, never the
    repeats."""

    name: Literal["asha"] = "asha"
    grace_steps: SomeSteps
    reduction_factor: int = Field(3, ge=2, le=1000)

    @property
    def first_step(self) -> int:
        return self.grace_steps


class WarmupConfig(PrunerConfig):
    """The key of the schedulers that leave the first steps alone."""

    n_warmup_steps: int = Field(0, ge=0, le=10**12)
    """Steps before which no trial stops."""

    @property
    def first_step(self) -> int:
        return self.n_warmup_steps


class MedianConfig(WarmupConfig):
    """Optuna's median rule: stops a trial whose best value is worse than the median of the arm's finished
    trials at the same step."""

    name: Literal["median"] = "median"
    n_startup_trials: int = Field(5, ge=0, le=10**5)
    """Trials of the arm that must have finished before."""


class PercentileConfig(WarmupConfig):
    """Optuna's percentile rule: as `median`, but keeps the best `percentile` percent."""

    name: Literal["percentile"] = "percentile"
    percentile: float = Field(25.0, ge=0, le=100)
    n_startup_trials: int = Field(5, ge=0, le=10**5)
    """Trials of the arm that must have finished before."""


class ThresholdConfig(WarmupConfig):
    """Optuna's threshold rule: stops a trial whose value is below `lower` or above `upper`."""

    name: Literal["threshold"] = "threshold"
    lower: float | None = Field(None, ge=-1e12, le=1e12)
    upper: float | None = Field(None, ge=-1e12, le=1e12)

    @model_validator(mode="after")
    def _bounded(self) -> "ThresholdConfig":
        if self.lower is None and self.upper is None:
            raise ValueError("threshold needs lower or upper")
        return self


class HyperbandConfig(PrunerConfig):
    """Optuna's Hyperband: several successive halvings that begin at different steps."""

    name: Literal["hyperband"] = "hyperband"
    grace_steps: SomeSteps
    reduction_factor: int = Field(3, ge=2, le=1000)

    @property
    def first_step(self) -> int:
        return self.grace_steps

    def arguments(self, longest: int) -> dict[str, Any]:
        return {
            "min_resource": self.grace_steps,
            "max_resource": max(longest, self.grace_steps),
            "reduction_factor": self.reduction_factor,
        }


@dataclass(frozen=True)
class Pruner:
    """One scheduler."""

    config: type[PrunerConfig]
    build: str | None
    """Names a class or function that makes an Optuna pruner of the `arguments` of the configuration; None: it
    is ndabench's own."""


PRUNERS: Registry[Pruner] = Registry(
    "scheduler",
    "ndabench.schedulers",
    {
        "asha": Pruner(Asha, None),
        "median": Pruner(MedianConfig, "optuna.pruners:MedianPruner"),
        "percentile": Pruner(PercentileConfig, "optuna.pruners:PercentilePruner"),
        "threshold": Pruner(ThresholdConfig, "optuna.pruners:ThresholdPruner"),
        "hyperband": Pruner(HyperbandConfig, "optuna.pruners:HyperbandPruner"),
    },
)
