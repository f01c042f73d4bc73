"""The keys of a task whose evaluations sample a moving average of its generator's weights.

`models.ema.MovingAverage` computes the average.
"""

from collections.abc import Collection, Mapping
from typing import Any

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from ndabench.config import Config, Momentum, Steps, without
from ndabench.tasks.definition import TaskConfig

EMA_SHARE = 0.05
"""How long the moving average is by default, and when it starts: a share of the training."""
LENGTHS = ("decay", "images", "share")
"""The keys that set how long the moving average is."""
LONGEST_EMA = 0.2
"""An average over a larger share of the training lags behind the generator, which learns until the end."""


class EmaConfig(Config):
    """How long the moving average of the generator's weights is, and when it starts.

    At every step `average = decay * average + (1 - decay) * generator`. The length of the average is its time
    constant, 1 / (1 - decay) steps: a step that many steps ago weighs 1/e of the newest. One key sets it; by
    default it is `share: 0.05`. The paper's decay of 0.9999 averages over 10,000 steps, `share: 0.1` of its
    run of 97,500.

    There is no ramp-up as in StyleGAN2-ADA: with the default `start` an average of the default length has
    forgotten the weights that it started from after a fifth of the training.
    """

    decay: Momentum | None = None
    """The share of the old average that is kept at every step."""
    images: int | None = Field(None, ge=1, le=10**12)
    """Half-life in real images, as `num_images` counts them: after so many, a step weighs half as much.
    `decay = 0.5 ** (images in a step / images)`, as in StyleGAN2 and its successors."""
    share: float | None = Field(None, ge=1e-6, le=1)
    """The time constant as a share of `num_steps`: `decay = 1 - 1 / (share * num_steps)`, at least 0."""
    start: Steps | None = None
    """Before this step the average is the generator itself; by default a twentieth of `num_steps`."""

    @model_validator(mode="before")
    @classmethod
    def _default_length(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        given = any(value.get(key) is not None for key in LENGTHS)
        return value if given else {**value, "share": EMA_SHARE}

    @model_validator(mode="after")
    def _one_length(self) -> "EmaConfig":
        given = [key for key in LENGTHS if getattr(self, key) is not None]
        if len(given) > 1:
            raise ValueError(f"give one of decay, images and share, not {' and '.join(given)}")
        return self

    @model_serializer(mode="wrap")
    def _given(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Only the keys that were given: the others would be in the way of a search."""
        return {key: value for key, value in serialize(self).items() if value is not None}

    def decay_at_every_step(self, *, num_steps: int, images_per_step: int) -> float:
        """The share of the old average that is kept at every step of such a training, in [0, 1)."""
        if self.decay is not None:
            return self.decay
        if self.images is not None:
            return 0.5 ** (images_per_step / self.images)
        assert self.share is not None
        return 1 - 1 / max(1.0, self.share * num_steps)

    def first_step(self, *, num_steps: int) -> int:
        """The step that the average starts at."""
        return int(EMA_SHARE * num_steps) if self.start is None else self.start


class AveragedTaskConfig(TaskConfig):
    """The configuration of a task that averages the weights of its generator."""

    ema: EmaConfig = EmaConfig(share=EMA_SHARE)
    """The moving average of the generator's weights, which evaluations sample."""

    @property
    def average(self) -> dict[str, Any]:
        """`decay` and `start` of the moving average, for this number of steps and of images in a step."""
        decay = self.ema.decay_at_every_step(num_steps=self.num_steps, images_per_step=self.images_per_step)
        return {"decay": decay, "start": self.ema.first_step(num_steps=self.num_steps)}

    @property
    def resolved(self) -> dict[str, Any]:
        return {"ema": self.average}

    @classmethod
    def making_way(cls, keys: Mapping[str, Any], searched: Collection[str]) -> dict[str, Any]:
        if any(f"ema.{key}" in searched for key in LENGTHS):
            return {**keys, "ema": without(frozenset(LENGTHS), keys["ema"])}
        return dict(keys)

    @property
    def cautions(self) -> tuple[str, ...]:
        decay = self.average["decay"]
        length = 1 / (1 - decay)
        if decay == 0 or length <= LONGEST_EMA * self.num_steps * (1 + 1e-9):
            return ()
        return (
            f"task.ema: the moving average is {length:,.0f} steps long and the training {self.num_steps:,}; "
            f"above {LONGEST_EMA:.0%} of it the average lags behind the generator (default: {EMA_SHARE:.0%})",
        )
