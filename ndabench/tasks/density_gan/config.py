"""The configuration of a GAN of points in the plane."""

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from ndabench.config import BatchSize, Momentum, NonNegative, Positive, Share, Size, SomeSteps, Steps
from ndabench.errors import UserError
from ndabench.metrics.evaluation import Evaluation
from ndabench.tasks.averaging import AveragedTaskConfig

Losses = Literal[
    "non_saturating",
    "saturating",
    "hinge",
    "wasserstein_gp",
    "kl",
    "reverse_kl",
    "pearson",
    "squared_hellinger",
    "jensen_shannon",
]


class DensityGanConfig(AveragedTaskConfig):
    """How a GAN of points is built and trained."""

    name: Literal["density_gan"] = "density_gan"

    width: Size = 64
    """Units in each hidden layer of both perceptrons."""
    depth: int = Field(3, ge=1, le=20)
    """Hidden layers of both."""
    latent_dim: Size = 4
    input_scale: Positive = 8.0
    """The discriminator multiplies points by it, to see the Gaussians' width as well as their distances."""

    losses: Losses = "non_saturating"
    """`kl` to `jensen_shannon`: the f-GAN of that divergence, in which the generator's loss saturates."""
    gradient_penalty: NonNegative | None = None
    """Weight of the penalty on the discriminator's gradient: R1 on real points, and for `wasserstein_gp` the
    distance of its norm from 1 between real points and fakes. None: 10 for `wasserstein_gp`, 0 otherwise."""
    batch_size: BatchSize = 256
    """Real points in a discriminator step, over all workers."""
    num_steps: Steps = 5000
    """Steps of the generator."""
    num_discriminator_steps: int = Field(1, ge=1, le=1000)
    """Steps of the discriminator before each step of the generator."""
    fakes_per_real: int = Field(1, ge=1, le=16)
    """Generated points that the discriminator judges for each real one. 2 without a negative is the control
    "more fakes": the plain objective, with as many points judged as with a negative."""
    learning_rate: Positive = 1e-3
    """Of both networks."""
    decay_from: Share = 0.5
    """Share of the training after which the learning rate falls linearly to 0; 1: it stays."""
    betas: tuple[Momentum, Momentum] = (0.0, 0.99)

    log_every: SomeSteps = 250
    checkpoint_every: SomeSteps = 2500
    picture_every: SomeSteps | None = None
    """Steps between pictures of the discriminator's contours; None: only at the first and last step."""

    @property
    def images_per_step(self) -> int:
        return self.num_discriminator_steps * self.batch_size

    def judged_per_step(self, *, negative: bool) -> int:
        """Real, generated and negative points in the discriminator's own steps, and those of the penalty."""
        return self.images_per_step * (1 + self.fakes_per_real + negative + (self.penalty_weight > 0))

    @property
    def penalty_weight(self) -> float:
        if self.gradient_penalty is not None:
            return self.gradient_penalty
        return 10.0 if self.losses == "wasserstein_gp" else 0.0


def check_closed_form(config: DensityGanConfig, evaluations: Sequence[Evaluation]) -> None:
    """`UserError` where the distance to the optimal discriminator is asked for, but the loss does not fix
    it."""
    if config.losses in ("hinge", "wasserstein_gp"):
        for evaluation in evaluations:
            if evaluation.name == "discriminator_distance":
                raise UserError(
                    f"evaluate: discriminator_distance: the optimal discriminator of losses {config.losses} "
                    "does not determine p/(p + q); leave the evaluation out"
                )
