"""The configuration of a translator's networks and training."""

from typing import Literal

from pydantic import Field

from ndabench.config import Count, Momentum, Positive, SomeSteps
from ndabench.tasks.definition import TaskConfig


class PairedGanConfig(TaskConfig):
    """How a translator is trained. The defaults are the published ones (Isola et al.), except `num_steps`:
    there 200 epochs of single pairs."""

    name: Literal["paired_gan"] = "paired_gan"

    width: int = Field(64, ge=1, le=1024)
    """Channels of both networks are multiples of this."""
    patch_layers: int = Field(3, ge=1, le=8)
    """Layers of the discriminator that halve the side; 3: it judges patches of 70×70 pixels."""
    l1_weight: float = Field(100.0, ge=0, le=1e6)
    """Weight of the mean absolute difference to the target (images in [-1, 1]); 0: the paper's cGAN."""
    negative_pair: Literal["target", "both"] = "target"
    """What a negative changes: the target alone, (A, T(B)), or both pictures in the same way, (T(A), T(B)),
    which to a discriminator of patches is mostly a real pair."""

    fakes_per_real: int = Field(1, ge=1, le=16)
    """Translations that the discriminator judges for each real one. 2 without a negative is the control
    "more fakes": the plain objective, with as many pairs judged as with a negative."""
    batch_size: Count = 1
    """Pairs in a step, over all workers."""
    learning_rate: Positive = 2e-4
    decay_share: float = Field(0.5, ge=0, le=1)
    """Share of the steps, at the end, over which the learning rate falls linearly to zero."""
    betas: tuple[Momentum, Momentum] = (0.5, 0.999)

    sample_every: SomeSteps | None = None
    """Steps between sheets of translations; there is always one at the first and one at the last step."""
    num_sheet_rows: int = Field(2, ge=1, le=64)
    """Rows of eight pairs in a sheet."""

    def judged_per_step(self, *, negative: bool) -> int:
        """Real, translated and negative pairs in the discriminator's step; not those of the translator's."""
        return self.batch_size * (1 + self.fakes_per_real + negative)

    def rate(self, step: int) -> float:
        """The learning rate of the step that follows `step` others."""
        falling = self.decay_share * self.num_steps
        return (
            self.learning_rate * min(1.0, (self.num_steps - step) / falling)
            if falling
            else self.learning_rate
        )
