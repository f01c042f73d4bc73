"""The configuration of a GAN's networks and training."""

from typing import Annotated, Literal

from pydantic import Field

from ndabench.config import Config
from ndabench.registry import OneOf
from ndabench.tasks.definition import TaskConfig
from ndabench.tasks.gan.networks import NETWORKS, BigGanConfig


class GanConfig(TaskConfig):
    """How a GAN is built and trained. The defaults suit small images on a laptop."""

    name: Literal["gan"] = "gan"

    network: Annotated[Config, OneOf(NETWORKS)] = BigGanConfig()
    """The architecture of generator and discriminator."""
    width: int = Field(16, ge=1)
    """Channels are multiples of this; the paper's networks have 64."""
    latent_dim: int = Field(128, ge=1)
    conditional: bool = False
    """Whether the networks see the class labels. A negative keeps the label of its image."""

    losses: Literal["hinge", "non_saturating"] = "hinge"
    batch_size: int = Field(64, ge=2)
    """Real images in a discriminator step, over all workers."""
    num_steps: int = Field(2000, ge=1)
    """Steps of the generator."""
    num_discriminator_steps: int = Field(4, ge=1)
    """Steps of the discriminator before each step of the generator."""
    learning_rate: float = Field(1e-3, gt=0)
    """Of both networks; the paper's width of 64 needs 2e-4."""
    betas: tuple[float, float] = (0.0, 0.999)
    ema_decay: float = Field(0.999, ge=0, lt=1)
    ema_start: int = Field(100, ge=0)
    """Before this step the average is the generator itself."""

    reference: bool = False
    """Follow the released code where it differs: judge negatives in a separate forward pass (one more power
    iteration for the discriminator's spectral norms), sample by batch statistics, and follow the released
    rules of negatives, faults included."""

    precision: Literal["fp32", "bf16"] = "fp32"
    """bf16: the convolutions in bfloat16; weights, spectral norms, losses and averages stay float32."""
    channels_last: bool = True
    """Memory format of the convolutions: the same numbers, mostly faster."""
    fused: bool = True
    """Adam as one fused kernel."""
    sync_batch_norm: bool = True
    """Batch statistics over all workers. Without it each worker has its own, and a resumed run of several
    workers continues from those of the main worker."""

    sample_every: int | None = Field(None, ge=1)
    """Steps between sheets of samples; there is always one at the first and one at the last step."""
    num_sheet_rows: int = Field(8, ge=1)

    @property
    def images_per_step(self) -> int:
        return self.num_discriminator_steps * self.batch_size

    @property
    def released_negatives(self) -> bool:
        return self.reference
