"""The configurations of the evaluations of image encoders. Nothing here imports torch."""

from collections.abc import Hashable, Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from ndabench.augmentations.views_config import ViewsConfig
from ndabench.config import (
    Count,
    Milestones,
    Momentum,
    NonNegative,
    Penalties,
    Positive,
    Share,
    Temperature,
)
from ndabench.metrics.evaluation import ProbeConfig

STORED_FEATURES = "features of the stored images"
"""The piece of work that probes of unaugmented images share."""
LARGEST_GRADIENT, LARGEST_SHARE = 1e-6, 0.01
CONVERGENCE = {
    "largest_gradient": LARGEST_GRADIENT,
    "largest_gradient_per_penalty": LARGEST_SHARE,
    "fit_precision": "float64",
}
"""When a fit of `linear_probe_lbfgs` ends, for the protocols of all that use it."""


class NeighbourKeys(ProbeConfig):
    """The keys of a vote of nearest neighbours, by the rule in `knn.py`."""

    neighbours: Count = 200
    """At most as many as there are images (or videos) to choose from; the protocol says how many there were.
    """
    temperature: Temperature = 0.1

    def voting(self, bank_size: int) -> dict[str, Any]:
        """What defines the vote among `bank_size` candidates, as plain data for its protocol."""
        neighbours = min(self.neighbours, bank_size)
        return {
            "similarity": "cosine",
            "weights": "exp(s / temperature)",
            "neighbours": neighbours,
            "neighbours_capped": neighbours < self.neighbours,
            "temperature": self.temperature,
        }


class KnnConfig(NeighbourKeys):
    """`knn`: no training, no choice, cheap enough for a curve. See `knn.py`."""

    name: Literal["knn"] = "knn"

    @property
    def shares(self) -> tuple[Hashable, ...]:
        return (STORED_FEATURES,)


class LinearProbeLbfgsConfig(ProbeConfig):
    """`linear_probe_lbfgs`: seconds for each penalty, nothing random. See `linear_probe_lbfgs.py`."""

    name: Literal["linear_probe_lbfgs"] = "linear_probe_lbfgs"
    penalties: Penalties = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
    max_iterations: Count = 10_000

    @property
    def shares(self) -> tuple[Hashable, ...]:
        return (STORED_FEATURES,)


class LinearProbeSgdConfig(ProbeConfig):
    """`linear_probe_sgd`: as published, it costs 100 passes of the encoder over the training images.

    See `linear_probe_sgd.py`.
    """

    RENAMED: ClassVar[Mapping[str, str]] = {"drops": "lr_milestones"}

    name: Literal["linear_probe_sgd"] = "linear_probe_sgd"
    num_epochs: Count = 100
    learning_rate: Positive = 30.0
    lr_milestones: Milestones = (0.6, 0.8)
    """Shares of the epochs after which the learning rate is divided by ten."""
    momentum: Momentum = 0.9
    weight_decay: NonNegative = 0.0
    batch_size: int = Field(256, ge=1, le=2**20)
    """Over all workers; at most as many as there are images to learn from."""
    size: int | None = Field(None, ge=4, le=4096)
    """Side of the crops that the probe learns from, and of the centre that is tested (MoCo's 224 of 256
    pixels); None: the images' own."""
    crop_scale: tuple[Share, Share] = (0.08, 1.0)
    """Share of an image's area that a crop covers."""
    flip: Share = 0.5
    """Probability of a mirrored crop."""

    @model_validator(mode="after")
    def _crops_are_possible(self) -> "LinearProbeSgdConfig":
        low, high = self.crop_scale
        if not 0 < low <= high <= 1:
            raise ValueError(f"crop_scale needs 0 < low <= high <= 1, got {[low, high]}")
        return self

    def views(self) -> ViewsConfig:
        """The views that the probe learns from."""
        return ViewsConfig(
            size=self.size, crop_scale=self.crop_scale, flip=self.flip, jitter_probability=0.0, grayscale=0.0
        )

    def settings(self) -> dict[str, Any]:
        """The keys that define the measurement, as plain data for its protocol."""
        settings = self.model_dump(mode="json", exclude={"name", "every", "as_", "lr_milestones"})
        return {**settings, "drops": list(self.lr_milestones)}  # former name: values stay comparable

    def learning_rate_in(self, epoch: int) -> float:
        """The learning rate in the epoch with this number, from 0."""
        return self.learning_rate * 0.1 ** sum(
            epoch >= round(share * self.num_epochs) for share in self.lr_milestones
        )
