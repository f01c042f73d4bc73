"""The configurations of the measures of generated images beyond `fd`, `kid` and `inception_score`.

Nothing here imports torch.
"""

from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from ndabench.config import Count
from ndabench.errors import UserError
from ndabench.measurement import Better
from ndabench.metrics.evaluation import DataFacts
from ndabench.metrics.generators.config import SHUFFLE_SEED, GeneratorEvaluation
from ndabench.metrics.image_encoders.config import CONVERGENCE


class FeatureMeasure(GeneratorEvaluation):
    """A measure of which `function` gives the values, in the order of `values`."""

    values: ClassVar[tuple[str, ...]]
    """The names of its values, without the extractor's."""
    function: ClassVar[str]
    """The function `(config, Compared) -> tuple[float, ...]`, as `"package.module:attribute"`."""
    smallest_set: ClassVar[int] = 2
    """How many images each side must have."""
    of_classes: ClassVar[bool] = False
    """Whether the classes that images were drawn for must be known."""
    of_held_out: ClassVar[bool] = False
    """Whether it compares training images with held-out ones."""

    @property
    def needed(self) -> int:
        """How many images each side must have with these keys."""
        return max(self.smallest_set, getattr(self, "k", 0) + 1)

    @property
    def measures(self) -> tuple[str, ...]:
        return tuple(map(self.named, self.values))

    @property
    def settings(self) -> dict[str, Any]:
        shared = GeneratorEvaluation.model_fields
        return {key: getattr(self, key) for key in type(self).model_fields if key not in shared}

    def check(self, data: DataFacts) -> None:
        for split, images in (("validation", data.validation), ("test", data.test)):
            if len(images) < self.needed:
                raise UserError(
                    f"{self.metric}: needs at least {self.needed} real images, and the {split} split of "
                    f"{data.name} has {len(images)}"
                )


class FdInfinityConfig(FeatureMeasure):
    """`fd_infinity`: the Fréchet distance extrapolated to infinitely many samples; see `fd_infinity.py`."""

    name: Literal["fd_infinity"] = "fd_infinity"
    smallest: int = Field(5_000, ge=2, le=10**7)
    """The smallest number of samples that a distance is measured with."""
    num_points: int = Field(15, ge=2, le=1000)

    values: ClassVar[tuple[str, ...]] = ("fd_infinity",)
    function: ClassVar[str] = "ndabench.metrics.generators.feature_measures:of_fd_infinity"

    @model_validator(mode="after")
    def _sizes_differ(self) -> "FdInfinityConfig":
        if self.smallest >= self.num_samples:
            raise ValueError(f"smallest {self.smallest} must be below num_samples {self.num_samples}")
        return self

    @property
    def settings(self) -> dict[str, Any]:
        return {**super().settings, "subset_seed": SHUFFLE_SEED}


class _BallsConfig(FeatureMeasure):
    k: int = Field(3, ge=1, le=1000)
    """Which nearest neighbour the ball around a feature vector reaches to."""

    better: ClassVar[Better] = "higher"

    @model_validator(mode="after")
    def _enough_samples(self) -> "_BallsConfig":
        if self.k >= self.num_samples:
            raise ValueError(f"k {self.k} must be below num_samples {self.num_samples}")
        return self


class PrecisionRecallConfig(_BallsConfig):
    """`precision` and `recall` of the supports; see `manifolds.py`."""

    name: Literal["precision_recall"] = "precision_recall"

    values: ClassVar[tuple[str, ...]] = ("precision", "recall")
    function: ClassVar[str] = "ndabench.metrics.generators.feature_measures:of_precision_recall"


class DensityCoverageConfig(_BallsConfig):
    """`density` and `coverage`; see `manifolds.py`."""

    name: Literal["density_coverage"] = "density_coverage"
    k: int = Field(5, ge=1, le=1000)

    values: ClassVar[tuple[str, ...]] = ("density", "coverage")
    function: ClassVar[str] = "ndabench.metrics.generators.feature_measures:of_density_coverage"


class CmmdConfig(FeatureMeasure):
    """`cmmd` with the extractor `clip`, else `cmmd_<extractor>`; see `cmmd.py`."""

    name: Literal["cmmd"] = "cmmd"
    sigma: float = Field(10.0, gt=0, le=1e6)

    values: ClassVar[tuple[str, ...]] = ("cmmd",)
    function: ClassVar[str] = "ndabench.metrics.generators.feature_measures:of_cmmd"


class MemorizationConfig(FeatureMeasure):
    """`memorization` and `auth_pct`: whether training images are copied; see `memorization.py`."""

    name: Literal["memorization"] = "memorization"

    better: ClassVar[Better] = "neither"
    values: ClassVar[tuple[str, ...]] = ("memorization", "auth_pct")
    function: ClassVar[str] = "ndabench.metrics.generators.feature_measures:of_memorization"
    of_held_out: ClassVar[bool] = True


class ClassFdConfig(FeatureMeasure):
    """`class_fd`: the mean of the Fréchet distances within each class; see `conditional.py`."""

    name: Literal["class_fd"] = "class_fd"

    values: ClassVar[tuple[str, ...]] = ("class_fd",)
    function: ClassVar[str] = "ndabench.metrics.generators.feature_measures:of_class_fd"
    of_classes: ClassVar[bool] = True

    def check(self, data: DataFacts) -> None:
        super().check(data)
        require_classes(self, data)


class CasConfig(FeatureMeasure):
    """`cas`: accuracy on real images of a classifier of generated ones; see `conditional.py`."""

    name: Literal["cas"] = "cas"
    l2: float = Field(0.01, gt=0, le=1e6)
    max_iterations: Count = 10_000

    better: ClassVar[Better] = "higher"
    values: ClassVar[tuple[str, ...]] = ("cas",)
    function: ClassVar[str] = "ndabench.metrics.generators.feature_measures:of_cas"
    of_classes: ClassVar[bool] = True

    @property
    def settings(self) -> dict[str, Any]:
        return {**super().settings, **CONVERGENCE}

    def check(self, data: DataFacts) -> None:
        super().check(data)
        require_classes(self, data)


def require_classes(config: FeatureMeasure, data: DataFacts) -> None:
    """`UserError` where the data have no classes that images could be drawn for."""
    if len(data.class_names) < 2:
        raise UserError(f"{config.metric}: {data.name} has no classes; it is for conditional generators")
