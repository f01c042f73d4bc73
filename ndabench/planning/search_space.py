"""What a sweep searches: the keys, where their values come from, and by which sampler."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from ndabench.config import Config
from ndabench.errors import nearest
from ndabench.foreign_text import shown, shown_text
from ndabench.planning.samplers import SAMPLERS, GridConfig, SamplerConfig, SearchSampler, sampled_names
from ndabench.registry import OneOf

LAMBDA = "lambda"
OF_ARMS = "arms."
"""How the keys of negatives' parameters begin: `arms.<name of the arm>.<parameter>`."""
PARETO_SETTINGS = 4
Number = int | float
Bound = Annotated[float, Field(ge=-1e12, le=1e12)]
WholeBound = Annotated[int, Field(ge=-(10**12), le=10**12)]


class Dimension(Config):
    """Where a searched value comes from: a list of choices, or a range (`[low, high]`)."""

    choice: tuple[Any, ...] | None = Field(None, min_length=1, max_length=1000)
    uniform: tuple[Bound, Bound] | None = None
    log_uniform: tuple[Bound, Bound] | None = None
    integer: tuple[WholeBound, WholeBound] | None = None

    @model_validator(mode="before")
    @classmethod
    def _list_is_choice(cls, value: Any) -> Any:
        return {"choice": value} if isinstance(value, list | tuple) else value

    @model_validator(mode="after")
    def _exactly_one(self) -> "Dimension":
        given = [name for name in type(self).model_fields if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(
                "give a list of values, or one of uniform, log_uniform, integer with [low, high]"
            )
        bounds = self.bounds
        if bounds is not None and not bounds[0] < bounds[1]:
            raise ValueError(f"{given[0]} needs [low, high] with low < high, got {list(bounds)}")
        if self.log_uniform is not None and self.log_uniform[0] <= 0:
            raise ValueError(f"log_uniform needs bounds above 0, got {list(self.log_uniform)}")
        return self

    @property
    def bounds(self) -> tuple[Number, Number] | None:
        return self.uniform or self.log_uniform or self.integer

    @property
    def extremes(self) -> tuple[Any, ...]:
        """Every choice, or a range's bounds and a value between them that is no whole number."""
        bounds = self.uniform or self.log_uniform
        return (
            (*bounds, bounds[0] + 0.38197 * (bounds[1] - bounds[0]))
            if bounds
            else self.integer or self.choice or ()
        )


class Search(Config):
    """What is searched: `lambda`, keys of the task, and parameters of an arm's negative.

    A key of the task may be dotted, `method.queue_size`, and may begin with `task.`, which changes nothing.
    `arms.jigsaw.grid` is the parameter `grid` of the negative of the arm `jigsaw`.
    """

    dimensions: dict[str, Dimension] = Field(default_factory=dict)
    sampler: Annotated[SamplerConfig, OneOf(SAMPLERS, dumps_bare_names=True)] = GridConfig()
    trials_per_arm: int = Field(
        16, ge=1, le=10**5, description="settings tried in each arm, unless the sampler is grid"
    )
    seed: int = Field(
        1_000_003, ge=0, lt=2**31, description="the seed of the search trials; the repeats do not use it"
    )

    warm_start: Path | None = None
    """The folder of an earlier sweep, whose search trials tell the sampler where to begin."""
    pareto_settings: int = Field(PARETO_SETTINGS, ge=1, le=1000)
    """Where `objective` has several metrics: how many settings of each arm's Pareto set are repeated at most,
    spread over it."""

    @model_validator(mode="before")
    @classmethod
    def _split_off_dimensions(cls, value: Any) -> Any:
        """A sweep file lists the dimensions and the settings in one mapping:
        `{lambda: [0.25], sampler: grid}`."""
        if not isinstance(value, Mapping) or "dimensions" in value:
            return value
        settings = {key: item for key, item in value.items() if key in cls.model_fields}
        dimensions = {key: item for key, item in value.items() if key not in cls.model_fields}
        for key, item in dimensions.items():
            if not isinstance(item, list | tuple | Mapping | Dimension):
                raise ValueError(
                    f"{shown_text(key)}: needs a list of values or a range such as "
                    f"{{uniform: [low, high]}}, got {shown(item)}{nearest(key, cls.model_fields)}"
                )
        short = [key.removeprefix("task.") for key in dimensions]
        doubled = sorted({key for key in short if short.count(key) > 1})
        if doubled:
            raise ValueError(f"{doubled[0]!r} and 'task.{doubled[0]}' are the same key; keep one")
        return {**settings, "dimensions": dict(zip(short, dimensions.values(), strict=True))}

    @model_validator(mode="after")
    def _consistent(self) -> "Search":
        ranges = [key for key, dimension in self.dimensions.items() if dimension.choice is None]
        if self.is_grid and ranges:
            raise ValueError(
                f"a grid needs a list of values for {ranges[0]!r}; or set sampler: {sampled_names()}"
            )
        if self.warm_start is not None and not self.sampled_by.adapts:
            raise ValueError(f"warm_start: sampler {self.sampler.name} learns nothing from earlier trials")
        if not self.sampled_by.is_there:
            needs = self.sampled_by.needs
            raise ValueError(f"sampler: {self.sampler.name} needs the package {needs}: pip install {needs}")
        nested = [
            key for key, d in self.dimensions.items() if any(isinstance(c, list) for c in d.choice or ())
        ]
        if not self.is_grid and nested:
            raise ValueError(f"{nested[0]!r} is a list of lists, which only sampler: grid can search")
        return self

    @model_serializer(mode="wrap")
    def _without_absent_keys(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Plans of versions without these keys are equal to those that do not use them."""
        dumped: dict[str, Any] = dump(self)
        unused = {"warm_start": None, "pareto_settings": PARETO_SETTINGS}
        return {key: value for key, value in dumped.items() if key not in unused or value != unused[key]}

    @property
    def sampled_by(self) -> SearchSampler:
        """The sampler's entry."""
        return SAMPLERS[self.sampler.name]

    @property
    def is_grid(self) -> bool:
        """Whether every setting is listed, and none drawn."""
        return self.sampled_by.build is None
