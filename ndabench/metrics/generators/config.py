"""The configurations of the evaluations of generators. Nothing here imports torch.

Each is measured with the features of one extractor; with another extractor the value has another name (see
`extractor_registry.py`).
"""

from collections.abc import Hashable
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from ndabench.data.config import FullPath
from ndabench.errors import UserError, unknown
from ndabench.measurement import OF_LIVE_WEIGHTS, Better
from ndabench.metrics.evaluation import DataFacts, Evaluation
from ndabench.metrics.generators.extractor_registry import EXTRACTORS, Argument, metric_name

SHUFFLE_SEED = 0
"""The seed of the draws that an evaluation makes itself (subsets, splits): equal for every generator."""


def of_live(piece: Hashable) -> Hashable:
    """The piece of shared work that is done for the weights in training as well."""
    return ("live", piece)


class GeneratorEvaluation(Evaluation):
    """The keys that all evaluations of generated images share."""

    num_samples: int = Field(10_000, ge=2, le=10**7)
    """Generated images; they are compared with the whole split."""
    extractor: str = "classifier"
    weights: FullPath | None = None
    """File with the extractor's weights; by default the one that the environment names, or an earlier
    download."""
    download: bool = False
    """Whether the extractor's weights may be downloaded."""
    model: str | None = None
    """Which network of `torchvision` or `timm` the extractor is."""

    better: ClassVar[Better] = "lower"
    uses_reference: ClassVar[bool] = True
    """Whether generated images are compared with real ones."""
    uses_logits: ClassVar[bool] = False
    """Whether it looks at class logits."""

    @field_validator("extractor")
    @classmethod
    def _extractor_is_known(cls, extractor: str) -> str:
        if extractor not in EXTRACTORS:
            raise ValueError(str(unknown("extractor", extractor, EXTRACTORS)))
        return extractor

    @model_validator(mode="after")
    def _keys_go_with_the_extractor(self) -> "GeneratorEvaluation":
        entry = EXTRACTORS[self.extractor]
        given: dict[Argument, bool] = {
            "weights": self.weights is not None,
            "download": self.download,
            "model": self.model is not None,
        }
        for key in (key for key, is_given in given.items() if is_given and key not in entry.takes):
            takers = [name for name, one in EXTRACTORS.items() if key in one.takes]
            raise ValueError(f"the key {key} is for extractor: {' or '.join(takers)} only")
        if "model" in entry.takes and not self.model:
            raise ValueError(f"extractor: {self.extractor} also needs a model, such as model: resnet50")
        if self.uses_logits and not entry.has_logits:
            raise ValueError(f"{self.name} needs class logits, which extractor: {self.extractor} has none of")
        return self

    @property
    def metric(self) -> str:
        """The name of the value without its label."""
        return self.named(self.name)

    def named(self, measure: str) -> str:
        """The name of a value of `measure` with this extractor."""
        return metric_name(measure, self.extractor, self.model)

    @property
    def measures(self) -> tuple[str, ...]:
        return (self.metric,)

    @property
    def shares(self) -> tuple[Hashable, ...]:
        return ("samples", self.features)

    @property
    def features(self) -> Hashable:
        """The piece of work that evaluations with the same extractor share."""
        return ("features", self.extractor, self.model, self.weights, self.download)

    @property
    def settings(self) -> dict[str, Any]:
        """The keys of this evaluation alone, for the protocol."""
        return {}


class FrechetConfig(GeneratorEvaluation):
    """`fd`, the Fréchet distance: `fid`, or `fd_classifier`. See `frechet.py`.

    Of a generator whose weights are averaged it also measures the weights in training, on the validation
    split: `fd_classifier_live`. An average that is much worse than they are lags behind; where they jump and
    the average does not, the training is unstable.
    """

    name: Literal["fd"] = "fd"
    live: bool = True
    """Whether to measure the weights in training as well; it takes as long again."""

    @property
    def diagnostics(self) -> tuple[str, ...]:
        return (self.live_metric,) if self.live else ()

    @property
    def live_metric(self) -> str:
        """The name of the value of the weights in training, without its label."""
        return self.metric + OF_LIVE_WEIGHTS

    @property
    def shares(self) -> tuple[Hashable, ...]:
        return (*super().shares, *(of_live(piece) for piece in super().shares if self.live))

    def check(self, data: DataFacts) -> None:
        more = {"validation": "raise data.validation_fraction", "test": "add images to it"}
        for split, images in (("validation", data.validation), ("test", data.test)):
            if len(images) < 2:
                raise UserError(
                    f"{self.metric}: a Fréchet distance needs at least 2 real images, and the {split} "
                    f"split of {data.name} has {len(images)}; {more[split]}"
                )


class KidConfig(GeneratorEvaluation):
    """`kid`, the kernel distance: `kid`, or `kid_classifier`. See `kid.py`."""

    name: Literal["kid"] = "kid"
    num_subsets: int = Field(100, ge=1, le=10**5)
    subset_size: int = Field(1_000, ge=2, le=10**6)

    @model_validator(mode="after")
    def _subsets_fit(self) -> "KidConfig":
        if self.subset_size > self.num_samples:
            raise ValueError(f"subset_size {self.subset_size} must not exceed num_samples {self.num_samples}")
        return self

    @property
    def settings(self) -> dict[str, Any]:
        return {
            "num_subsets": self.num_subsets,
            "subset_size": self.subset_size,
            "subset_seed": SHUFFLE_SEED,
            "kernel": "(x·y / d + 1)³",
        }

    def check(self, data: DataFacts) -> None:
        for split, images in (("validation", data.validation), ("test", data.test)):
            if len(images) < self.subset_size:
                raise UserError(
                    f"{self.metric}: subset_size {self.subset_size} must not exceed the {len(images)} images "
                    f"of the {split} split of {data.name}"
                )


class InceptionScoreConfig(GeneratorEvaluation):
    """`inception_score`, or `inception_score_classifier`, which looks at no real image.

    See `inception_score.py`.
    """

    name: Literal["inception_score"] = "inception_score"
    num_splits: int = Field(10, ge=1, le=10**4)

    better: ClassVar[Better] = "higher"
    uses_reference: ClassVar[bool] = False
    uses_logits: ClassVar[bool] = True

    @model_validator(mode="after")
    def _splits_fit(self) -> "InceptionScoreConfig":
        if self.num_splits > self.num_samples:
            raise ValueError(f"num_splits {self.num_splits} must not exceed num_samples {self.num_samples}")
        return self

    @property
    def settings(self) -> dict[str, Any]:
        return {"num_splits": self.num_splits, "shuffle_seed": SHUFFLE_SEED}
