"""The configuration of a GAN's networks and training."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from ndabench.config import BatchSize, Config, Momentum, Positive, Size, SomeSteps
from ndabench.registry import OneOf
from ndabench.tasks.averaging import AveragedTaskConfig
from ndabench.tasks.gan.losses import ADVERSARIAL_LOSSES, HingeConfig, LossesConfig
from ndabench.tasks.gan.networks import NETWORKS, BigGanConfig


class GanConfig(AveragedTaskConfig):
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
    fakes_per_real: int = Field(1, ge=1, le=16)
    """Generated images that the discriminator judges for each real one. 2 without a negative is the control
    "more fakes": the plain objective, with as many images judged as with a negative."""
    learning_rate: Positive = 1e-3
    """Of both networks; the paper's width of 64 needs 2e-4."""
    generator_learning_rate: Positive | None = None
    """Of the generator alone; by default `learning_rate`. It is no treatment: the arm without a negative is
    searched over it as well."""
    betas: tuple[Momentum, Momentum] = (0.0, 0.999)

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
        added = (self.consistency_weight > 0) + self.losses.penalises_gradients
        return self.images_per_step * (1 + self.fakes_per_real + negative + added)

    @property
    def released_negatives(self) -> bool:
        return self.reference
