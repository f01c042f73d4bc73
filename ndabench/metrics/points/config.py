"""The configurations of the evaluations of a generator of points. Nothing here imports torch.

All compare with the distribution itself, whose density and support are known, except `wasserstein_2`, which
compares two samples. The values of the validation and of the test split differ in the points that are drawn.
"""

from collections.abc import Hashable
from typing import ClassVar, Literal

from pydantic import Field

from ndabench.config import Share
from ndabench.measurement import Better
from ndabench.metrics.evaluation import Evaluation


class PointEvaluation(Evaluation):
    """The keys that all evaluations of generated points share."""

    num_samples: int = Field(50_000, ge=100, le=10**7)
    """Generated points."""

    better: ClassVar[Better] = "lower"

    @property
    def measures(self) -> tuple[str, ...]:
        return (self.name,)

    @property
    def shares(self) -> tuple[Hashable, ...]:
        return ("samples",)


class MassOutsideConfig(PointEvaluation):
    """The share of generated points outside the support of the data."""

    name: Literal["mass_outside"] = "mass_outside"


class ModesCoveredConfig(PointEvaluation):
    """How many modes get at least `least_share` of the points that they should."""

    name: Literal["modes_covered"] = "modes_covered"
    least_share: Share = 0.2

    better: ClassVar[Better] = "higher"


class ModeImbalanceConfig(PointEvaluation):
    """Half the sum over the modes of |share of the points inside the support − share it should have|: the
    total variation over the modes of what is inside, 0 for the right balance."""

    name: Literal["mode_imbalance"] = "mode_imbalance"


class GridEvaluation(PointEvaluation):
    """The keys of evaluations by a histogram."""

    bins: int = Field(64, ge=4, le=1024)
    """Cells of the histogram along each side of the window; the rest of the plane is one more cell."""


class TotalVariationConfig(GridEvaluation):
    """Half the sum over the cells of |generated share − exact mass|, in [0, 1]."""

    name: Literal["total_variation"] = "total_variation"


class JensenShannonConfig(GridEvaluation):
    """The Jensen-Shannon divergence of generated shares and exact masses over the cells, in bits, in
    [0, 1]."""

    name: Literal["jensen_shannon"] = "jensen_shannon"


class Wasserstein2Config(PointEvaluation):
    """The 2-Wasserstein distance of as many generated points and new real ones, by the exact assignment."""

    name: Literal["wasserstein_2"] = "wasserstein_2"
    num_samples: int = Field(1_000, ge=100, le=5_000)


class DiscriminatorDistanceConfig(GridEvaluation):
    """E|D(x) − D*(x)| with D* = p/(p + λ·p_G + (1 − λ)·P̄), over x drawn half from p and half from the fakes.

    p is exact; the density of λ·p_G + (1 − λ)·P̄ is that of a histogram of `num_samples` generated points and
    as many negatives. D is p/(p + q) as the loss' optimal logit gives it.
    """

    name: Literal["discriminator_distance"] = "discriminator_distance"
    num_samples: int = Field(200_000, ge=100, le=10**7)
    bins: int = Field(128, ge=4, le=1024)
