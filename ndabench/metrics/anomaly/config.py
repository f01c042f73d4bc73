"""The configurations of anomaly detection. Nothing here imports torch.

evaluate:
- name: anomaly
  outliers:
  - {name: svhn, path: ~/data}
  - {name: dtd, path: ~/data}
  negatives: [jigsaw, {name: rotate, degrees: 180}]
"""

import re
from collections import Counter
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from ndabench.augmentations.specification import NegativeSpec
from ndabench.data.drawn import NoiseConfig, ShapesConfig
from ndabench.data.registry import ImageDataConfig
from ndabench.errors import UserError
from ndabench.measurement import Better
from ndabench.metrics.anomaly.rates import RATES
from ndabench.metrics.evaluation import DataFacts, Evaluation
from ndabench.metrics.image_encoders.config import STORED_FEATURES

LabelRule = Literal["max", "mean", "logsumexp"]

NOT_IN_THE_MEAN = ("cifar10_c",)
"""Outliers that the paper reports apart from the mean: corrupted copies of the data set itself."""


class OutlierEvaluation(Evaluation):
    """The keys that all anomaly scores share: what the outliers are, and how many of them are looked at."""

    outliers: tuple[ImageDataConfig, ...] = (NoiseConfig(), ShapesConfig())
    """Data sets that the training set must not contain, brought to the size and channels of its images. In
    the test, of a set with a published test split only that counts, of others all but the validation part."""
    negatives: tuple[NegativeSpec, ...] = ()
    """Negatives; each makes another set of outliers from the scored images themselves."""
    images_per_set: int | None = Field(None, ge=2, le=10_000_000)
    """At most so many images of a set, at equal distances; None: all of them."""
    num_resamples: int = Field(1000, ge=100, le=100_000)
    """Bootstrap resamples behind the intervals in the report."""

    better: ClassVar[Better] = "higher"

    @model_validator(mode="after")
    def _sets_have_their_own_names(self) -> "OutlierEvaluation":
        names = self.set_names
        if not names:
            raise ValueError("name at least one set of outliers, or one negative")
        twice = [name for name, count in Counter(names).items() if count > 1]
        if twice:
            raise ValueError(f"two sets of outliers are called {twice[0]}; give one of them another known_as")
        return self

    @property
    def set_names(self) -> tuple[str, ...]:
        """The sets of outliers as metrics call them, in order: data sets, then negatives."""
        negatives = (f"negative_{slug(negative.label)}" for negative in self.negatives)
        return (*(slug(config.title) for config in self.outliers), *negatives)

    @property
    def averaged(self) -> tuple[str, ...]:
        """The sets in the mean over sets: all but corrupted copies of the data set, if there are others."""
        apart = [slug(config.title) for config in self.outliers if config.name in NOT_IN_THE_MEAN]
        return tuple(name for name in self.set_names if name not in apart) or self.set_names

    @property
    def measures(self) -> tuple[str, ...]:
        means = (metric_of(self.name, rate) for rate in RATES)
        return (*means, *(metric_of(self.name, "auroc", name) for name in self.set_names))

    @property
    def score(self) -> dict[str, Any]:
        """What the score is, for the protocol."""
        raise NotImplementedError

    def check(self, data: DataFacts) -> None:
        if any(config.name == data.name for config in self.outliers):
            raise UserError(f"{self.name}: {data.name} is what the task learns from; outliers must be others")


class AnomalyConfig(OutlierEvaluation):
    """`anomaly`: the discriminator's raw logit; see `ndabench.metrics.anomaly.measuring`."""

    name: Literal["anomaly"] = "anomaly"
    label_rule: LabelRule = "max"
    """A conditional discriminator gives a logit for each class: the score is the largest, the mean, or the
    log of the sum of their exponentials. An unconditional one has only one."""

    @property
    def score(self) -> dict[str, Any]:
        return {"score": "discriminator's logit", "label_rule": self.label_rule}


class FeatureAnomalyConfig(OutlierEvaluation):
    """`feature_anomaly`: distance to the training images in an encoder's features, negated."""

    name: Literal["feature_anomaly"] = "feature_anomaly"
    distance: Literal["knn", "mahalanobis"] = "knn"
    neighbours: int = Field(50, ge=1, le=1_000_000)
    """k of the k-th nearest training feature, for `knn`; at most as many as there are training images."""

    @property
    def shares(self) -> tuple[Any, ...]:
        return (STORED_FEATURES,)

    @property
    def score(self) -> dict[str, Any]:
        if self.distance == "knn":
            return {"score": "-(distance to the k-th nearest normalised feature)", "k": self.neighbours}
        return {"score": "-(smallest Mahalanobis distance to a class mean, shared covariance)"}


def metric_of(name: str, rate: str, where: str = "") -> str:
    """The name of a value: `anomaly_auroc` for the mean over sets, `anomaly_auroc_svhn` for one of them."""
    return f"{name}_{rate}" + (f"_{where}" if where else "")


def slug(title: str) -> str:
    """A title as part of a metric's name: small letters, digits and underscores."""
    return re.sub(r"[^a-z0-9]+", "_", title.lower()).strip("_")
