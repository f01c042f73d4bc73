"""A package outside ndabench, with an entry for each of its registries; pyproject.toml names them.

Importing it must stay cheap, since planning a sweep imports it: what needs torch lies in the modules that the
entries name.
"""

from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from ndabench.augmentations.registry import Implementation, NegativeEntry, Parameter
from ndabench.config import Config
from ndabench.data.registry import DataSet
from ndabench.data.source import ArrayPictures, ImageConfig, Source
from ndabench.measurement import Better
from ndabench.metrics.evaluation import Evaluation
from ndabench.metrics.generators.extractor_registry import ExtractorEntry
from ndabench.metrics.registry import EvaluationEntry
from ndabench.planning.pruners import Pruner, PrunerConfig
from ndabench.planning.samplers import SamplerConfig, SearchSampler
from ndabench.tasks.contrastive.encoders import Encoder, EncoderConfig
from ndabench.tasks.contrastive.methods import ContrastiveMethod
from ndabench.tasks.definition import LambdaRule, TaskConfig, TaskDefinition
from ndabench.tasks.gan.losses import GanLosses, LossesConfig
from ndabench.tasks.gan.networks import GanNetwork
from ndabench.tracking.registry import TrackerEntry


class GaussianConfig(TaskConfig):
    """A Gaussian for every pixel, fitted by gradient descent; negatives must be unlikely under it."""

    name: Literal["toy_gaussian"] = "toy_gaussian"
    num_steps: int = Field(20, ge=0)
    batch_size: int = Field(8, ge=2)
    learning_rate: float = Field(0.05, gt=0)
    log_every: int = Field(5, ge=1)
    checkpoint_every: int = Field(10, ge=1)


class StripesConfig(ImageConfig):
    """Grey pictures with a bright stripe: across in one class, upright in the other."""

    name: Literal["toy_stripes"] = "toy_stripes"
    image_size: int | None = 8
    channels: Literal[1, 3] = 1
    num_images: int = Field(60, ge=10)

    def files(self) -> list[Path]:
        return []

    def open(self) -> Source:
        random = np.random.default_rng(0)
        images = random.integers(0, 60, (self.num_images, 8, 8), dtype=np.uint8)
        labels = np.arange(self.num_images) % 2
        images[labels == 0, 2, :] += 150
        images[labels == 1, :, 2] += 150
        pictures = ArrayPictures(Path("toy stripes"), images, labels.astype(np.int64))
        return Source({"train": pictures}, ("across", "upright"))


class BrightnessConfig(Evaluation):
    """How far the mean brightness of generated images is from that of real ones, in levels of 255."""

    name: Literal["toy_brightness"] = "toy_brightness"
    num_samples: int = Field(32, ge=2)
    better: ClassVar[Better] = "lower"

    @property
    def measures(self) -> tuple[str, ...]:
        return ("toy_brightness",)


class PullConfig(Config):
    """A contrastive method that pulls two views of an image together, and its negatives away."""

    name: Literal["toy_pull"] = "toy_pull"
    symmetric: Literal[False] = False
    shuffle_keys: Literal[False] = False
    batch_norm_splits: Literal[1] = 1

    def check(self, task: Any) -> None:
        """Any batch will do."""


class MlpConfig(Config):
    """Perceptrons as generator and discriminator."""

    name: Literal["toy_mlp"] = "toy_mlp"
    hidden: int = Field(8, ge=1, le=1024)
    """Units of the hidden layer for each unit of the task's `width`."""


class LeastSquaresConfig(LossesConfig):
    """Least squares as the losses of generator and discriminator."""

    name: Literal["toy_least_squares"] = "toy_least_squares"
    target: float = Field(1.0, gt=0)


class MeansConfig(EncoderConfig):
    """A linear layer over sixteen mean brightnesses of each channel."""

    name: Literal["toy_means"] = "toy_means"
    dimension: int = Field(8, ge=1, le=1024)


class StallConfig(PrunerConfig):
    """Stops a trial whose newest value is not better than the one before."""

    name: Literal["toy_stall"] = "toy_stall"
    min_gain: float = 0.0


class SpreadConfig(SamplerConfig):
    """Settings that are spread evenly over the search space."""

    name: Literal["toy_spread"] = "toy_spread"
    skip: int = Field(0, ge=0, le=1000)
    """Points of the sequence that are left out at its beginning."""


class LinesConfig(Config):
    """A file of JSON lines for each trial."""


GAUSSIAN = TaskDefinition(
    config=GaussianConfig,
    build="ndabench_toy.training:GaussianTask",
    learns_from="images",
    produces="generator",
    lambda_rule=LambdaRule(
        baseline=0.0,
        default=0.5,
        low=0.0,
        high=10.0,
        weighs="weighs a negative",
        meaning="weight of the negatives' likelihood",
    ),
)
STRIPES = DataSet(StripesConfig, "images")
UPSIDE_DOWN = NegativeEntry(
    images=Implementation(
        "ndabench_toy.negatives:upside_down", {"share": Parameter(float, 1.0, above=0, at_most=1)}
    )
)
PIXELS = ExtractorEntry(
    open="ndabench_toy.measures:open_pixels", dimension=16, resize="averaged to 4×4", weights="none"
)
BRIGHTNESS = EvaluationEntry(BrightnessConfig, "generator", "ndabench_toy.measures:measure_brightness")
PULL = ContrastiveMethod(PullConfig, "ndabench_toy.learning:Pull")
MLP = GanNetwork(MlpConfig, "ndabench_toy.networks:build")
LEAST_SQUARES = GanLosses(LeastSquaresConfig, "ndabench_toy.losses:least_squares")
MEANS = Encoder(MeansConfig, "ndabench_toy.encoding:build", "images")
SPREAD = SearchSampler(SpreadConfig, "ndabench_toy.searching:Spread", adapts=False)
STALL = Pruner(StallConfig, "ndabench_toy.stopping:Stall")
LINES = TrackerEntry(LinesConfig, "ndabench_toy.tracking:LinesTracker")
