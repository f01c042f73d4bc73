"""How a sweep file says what GAN to train, and how."""

from typing import ClassVar, Literal

from pydantic import Field

from ndabench.config import Config
from ndabench.tasks.task import LambdaRule


class GanConfig(Config):
    """How a GAN is built and trained. The defaults suit small images on a laptop."""

    LAMBDA: ClassVar[LambdaRule] = LambdaRule(plain=1.0, default=0.25, range="(0, 1]", low=0.0, high=1.0)
    """The weight of the generated fakes; negatives weigh 1 − λ."""

    name: Literal["gan"] = "gan"

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
    """Steps of the discriminator before each of these."""
    learning_rate: float = Field(1e-3, gt=0)
    """Of both networks; the paper's width of 64 wants 2e-4."""
    betas: tuple[float, float] = (0.0, 0.999)
    ema_decay: float = Field(0.999, ge=0, lt=1)
    ema_start: int = Field(100, ge=0)
    """Before this step the average is the generator itself."""

    reference: bool = False
    """Do as the released code where it differs: judge negatives in a forward of their own (one more power
    iteration for the discriminator's spectral norms), and sample by batch statistics."""

    precision: Literal["fp32", "bf16"] = "fp32"
    """bf16: the convolutions in bfloat16; weights, spectral norms, losses and averages stay float32."""
    channels_last: bool = True
    compile: bool = False
    """Use torch.compile where it works; where it does not, the metric `compiled` says so and why."""
    tf32: bool = True
    """On a GPU, let float32 products round to TF32."""
    fused: bool = True
    """Adam as one fused kernel."""
    sync_batch_norm: bool = True
    """Batch statistics over all workers. Without it each worker has its own, and a resumed run of several
    workers goes on from those of the main worker."""

    log_every: int = Field(50, ge=1)
    checkpoint_every: int = Field(500, ge=1)
    sample_every: int | None = Field(None, ge=1)
    """Steps between sheets of samples; there is always one at the first and one at the last step."""
    num_sheet_rows: int = Field(8, ge=1)

    @property
    def num_images(self) -> int:
        """Real images that the whole training consumes."""
        return self.num_steps * self.num_discriminator_steps * self.batch_size

    def shown_shape(self, image_shape: tuple[int, int, int]) -> tuple[int, int, int]:
        """Augmentations see the images as they are."""
        return image_shape


MAY_CHANGE = {"num_steps", "log_every", "checkpoint_every", "sample_every", "num_sheet_rows", "compile"}
"""Keys in which a checkpoint may differ from the run that goes on from it."""
