"""The configuration of a GAN's networks and training."""

from collections.abc import Collection, Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from ndabench.config import BatchSize, Config, Momentum, Positive, Size, SomeSteps, Steps, without
from ndabench.registry import OneOf
from ndabench.tasks.definition import TaskConfig
from ndabench.tasks.gan.losses import ADVERSARIAL_LOSSES, HingeConfig, LossesConfig
from ndabench.tasks.gan.networks import NETWORKS, BigGanConfig

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


class GanConfig(TaskConfig):
    """How a GAN is built and trained. The defaults suit small images on a laptop."""

    RENAMED: ClassVar[Mapping[str, str]] = {"ema_decay": "ema.decay", "ema_start": "ema.start"}

    name: Literal["gan"] = "gan"

    network: Annotated[Config, OneOf(NETWORKS)] = BigGanConfig()
    """The architecture of generator and discriminator."""
    width: int = Field(16, ge=1, le=1024)
    """Channels are multiples of this; the paper's networks have 64."""
    latent_dim: Size = 128
    conditional: bool = False
    """Whether the networks see the class labels. A negative keeps the label of its image."""

    losses: Annotated[LossesConfig, OneOf(ADVERSARIAL_LOSSES, dumps_bare_names=True)] = HingeConfig()
    """The costs of logits that discriminator and generator minimise."""
    batch_size: BatchSize = 64
    """Real images in a discriminator step, over all workers."""
    num_steps: SomeSteps = 2000
    """Steps of the generator."""
    num_discriminator_steps: int = Field(4, ge=1, le=1000)
    """Steps of the discriminator before each step of the generator."""
    learning_rate: Positive = 1e-3
    """Of both networks; the paper's width of 64 needs 2e-4."""
    generator_learning_rate: Positive | None = None
    """Of the generator alone; by default `learning_rate`. It is no treatment: the arm without a negative is
    searched over it as well."""
    betas: tuple[Momentum, Momentum] = (0.0, 0.999)
    ema: EmaConfig = EmaConfig(share=EMA_SHARE)
    """The moving average of the generator's weights, which evaluations sample."""

    consistency_weight: float = Field(0.0, ge=0, le=1e6)
    """Weight of the consistency regularisation of real images; 0: none. The published weight is 10."""
    reference: bool = False
    """Follow the released code where it differs: judge negatives in a separate forward pass (one more power
    iteration for the discriminator's spectral norms), sample by batch statistics, and follow the released
    rules of negatives, faults included: their arms are not those of a sweep without this key."""

    precision: Literal["fp32", "bf16"] = "fp32"
    """bf16: the convolutions in bfloat16; weights, spectral norms, losses and averages stay float32."""
    channels_last: bool = True
    """Memory format of the convolutions: the same numbers, mostly faster."""
    fused: bool = True
    """Adam as one fused kernel."""
    cuda_graph: bool = False
    """On a GPU, with one worker: a step is one CUDA graph, with the same results. Not yet tried on a GPU."""
    sync_batch_norm: bool = True
    """Batch statistics over all workers. Without it each worker has its own, and a resumed run of several
    workers continues from those of the main worker."""

    sample_every: SomeSteps | None = None
    """Steps between sheets of samples; there is always one at the first and one at the last step."""
    num_sheet_rows: int = Field(8, ge=1, le=64)

    @property
    def images_per_step(self) -> int:
        return self.num_discriminator_steps * self.batch_size

    def judged_per_step(self, *, negative: bool) -> int:
        """Real, generated and negative images in the discriminator's own steps, and those that the
        consistency and the gradient's penalty add; not the generated ones in the generator's step."""
        kinds = 2 + negative + (self.consistency_weight > 0) + self.losses.penalises_gradients
        return self.images_per_step * kinds

    @property
    def released_negatives(self) -> bool:
        return self.reference

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
