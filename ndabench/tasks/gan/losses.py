"""The adversarial losses by name: how a sweep file's `task.losses` picks the pair of losses of a GAN.

Another pair is one function in `losses/adversarial.py` and one line here; from outside,
`ADVERSARIAL_LOSSES.register("mine", GanLosses(config=MyConfig, build="my_package.losses:build"))`.
"""

from dataclasses import dataclass
from typing import Literal

from ndabench.config import Config, NonNegative
from ndabench.registry import Registry


class LossesConfig(Config):
    """The keys of a pair of losses."""

    name: str

    @property
    def penalises_gradients(self) -> bool:
        """Whether a discriminator step also judges, for each real image, one between it and a fake."""
        return getattr(self, "gradient_penalty", 0.0) > 0


class HingeConfig(LossesConfig):
    """The hinge loss, with which the paper trains."""

    name: Literal["hinge"] = "hinge"


class NonSaturatingConfig(LossesConfig):
    """The cross-entropy with the generator's non-saturating form."""

    name: Literal["non_saturating"] = "non_saturating"


class WassersteinGpConfig(LossesConfig):
    """The losses of a critic, with a penalty on its gradient between real images and fakes."""

    name: Literal["wasserstein_gp"] = "wasserstein_gp"
    gradient_penalty: NonNegative = 10.0
    """Weight of the penalty."""


@dataclass(frozen=True)
class GanLosses:
    """The losses of discriminator and generator."""

    config: type[LossesConfig]
    build: str
    """Names a function that makes a `losses.adversarial.AdversarialLoss` from the keys of the configuration
    except `name`."""


ADVERSARIAL_LOSSES: Registry[GanLosses] = Registry(
    "adversarial loss",
    "ndabench.losses",
    {
        "hinge": GanLosses(HingeConfig, "ndabench.losses.adversarial:hinge"),
        "non_saturating": GanLosses(NonSaturatingConfig, "ndabench.losses.adversarial:non_saturating"),
        "wasserstein_gp": GanLosses(WassersteinGpConfig, "ndabench.losses.adversarial:wasserstein_gp"),
    },
)
