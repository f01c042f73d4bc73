"""The samplers by name: how a sweep file's `search.sampler` picks the settings that a search tries.

From outside: `SAMPLERS.register("mine", SearchSampler(MyConfig, "my_package.searching:MySampler"))`.
"""

from dataclasses import dataclass
from typing import Literal

from ndabench.config import Config
from ndabench.registry import Registry


class SamplerConfig(Config):
    """The keys of a sampler."""

    name: str


class GridConfig(SamplerConfig):
    """Every combination of the listed values."""

    name: Literal["grid"] = "grid"


class RandomConfig(SamplerConfig):
    """Random settings, the same in every arm."""

    name: Literal["random"] = "random"


class TpeConfig(SamplerConfig):
    """Optuna's tree-structured Parzen estimator, separately in each arm."""

    name: Literal["tpe"] = "tpe"


@dataclass(frozen=True)
class SearchSampler:
    """One sampler."""

    config: type[SamplerConfig]
    build: str | None
    """Names a class or function that makes an Optuna sampler from a `seed` and the keys of the configuration
    except `name`; None: every setting is listed."""
    adapts: bool = True
    """Whether it learns from the values of earlier settings. If not, every arm tries the same settings."""


SAMPLERS: Registry[SearchSampler] = Registry(
    "sampler",
    "ndabench.samplers",
    {
        "grid": SearchSampler(GridConfig, None, adapts=False),
        "random": SearchSampler(RandomConfig, "optuna.samplers:RandomSampler", adapts=False),
        "tpe": SearchSampler(TpeConfig, "optuna.samplers:TPESampler"),
    },
)


def sampled_names() -> str:
    """The samplers that draw settings, for errors: `random or tpe`."""
    return " or ".join(name for name, entry in SAMPLERS.items() if entry.build is not None)
