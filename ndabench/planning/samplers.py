"""The samplers by name: how a sweep file's `search.sampler` picks the settings that a search tries.

From outside: `SAMPLERS.register("mine", SearchSampler(MyConfig, "my_package.searching:MySampler"))`.
"""

import importlib.util
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

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


class GpConfig(SamplerConfig):
    """Optuna's Gaussian process, separately in each arm; it needs PyTorch in the driver."""

    name: Literal["gp"] = "gp"
    n_startup_trials: int = Field(10, ge=1, le=10**5)
    """Random settings before the first fit."""


class CmaesConfig(SamplerConfig):
    """Optuna's CMA-ES, separately in each arm, for real numbers; it needs the package `cmaes`."""

    name: Literal["cmaes"] = "cmaes"


class NsgaiiConfig(SamplerConfig):
    """Optuna's NSGA-II, an evolutionary search, separately in each arm."""

    name: Literal["nsgaii"] = "nsgaii"
    population_size: int = Field(50, ge=2, le=10**5)


class NsgaiiiConfig(SamplerConfig):
    """Optuna's NSGA-III, an evolutionary search, separately in each arm."""

    name: Literal["nsgaiii"] = "nsgaiii"
    population_size: int = Field(50, ge=2, le=10**5)


class QmcConfig(SamplerConfig):
    """Optuna's quasi-random (Sobol or Halton) settings, the same in every arm."""

    name: Literal["qmc"] = "qmc"
    qmc_type: Literal["sobol", "halton"] = "sobol"
    scramble: bool = False


@dataclass(frozen=True)
class SearchSampler:
    """One sampler."""

    config: type[SamplerConfig]
    build: str | None
    """Names a class or function that makes an Optuna sampler from a `seed` and the keys of the configuration
    except `name`; None: every setting is listed."""
    adapts: bool = True
    """Whether it learns from the values of earlier settings. If not, every arm tries the same settings."""
    by_several: bool = False
    """Whether it learns from several measures at once, an `objective` with a list."""
    needs: str = ""
    """A package that it needs and that ndabench does not bring along."""

    @property
    def is_there(self) -> bool:
        """Whether what it needs is installed."""
        return not self.needs or importlib.util.find_spec(self.needs) is not None


SAMPLERS: Registry[SearchSampler] = Registry(
    "sampler",
    "ndabench.samplers",
    {
        "grid": SearchSampler(GridConfig, None, adapts=False),
        "random": SearchSampler(RandomConfig, "optuna.samplers:RandomSampler", adapts=False),
        "tpe": SearchSampler(TpeConfig, "optuna.samplers:TPESampler", by_several=True),
        "gp": SearchSampler(GpConfig, "optuna.samplers:GPSampler", by_several=True),
        "cmaes": SearchSampler(CmaesConfig, "optuna.samplers:CmaEsSampler", needs="cmaes"),
        "nsgaii": SearchSampler(NsgaiiConfig, "optuna.samplers:NSGAIISampler", by_several=True),
        "nsgaiii": SearchSampler(NsgaiiiConfig, "optuna.samplers:NSGAIIISampler", by_several=True),
        "qmc": SearchSampler(QmcConfig, "optuna.samplers:QMCSampler", adapts=False),
    },
)


def sampled_names() -> str:
    """The samplers that draw settings, for errors: `random, tpe or gp`."""
    *names, last = (name for name, entry in SAMPLERS.items() if entry.build is not None)
    return f"{', '.join(names)} or {last}"
