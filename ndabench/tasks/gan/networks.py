"""The GAN architectures by name: how a sweep file's `task.network` picks the two networks.

Another architecture is one file with its networks and one line here; from outside,
`NETWORKS.register("mine", GanNetwork(config=MyConfig, build="my_package.networks:build"))`.
"""

from dataclasses import dataclass
from typing import Literal

from ndabench.config import Config
from ndabench.registry import Registry


class BigGanConfig(Config):
    """BigGAN for square images of 8 to 64 pixels; its sizes are the task's `width` and `latent_dim`."""

    name: Literal["biggan"] = "biggan"


class DcganConfig(Config):
    """DCGAN for square images of 8 to 128 pixels, with a discriminator that normalises nothing."""

    name: Literal["dcgan"] = "dcgan"


@dataclass(frozen=True)
class GanNetwork:
    """One architecture."""

    config: type[Config]
    build: str
    """Names a function that returns the generator and the discriminator, on the CPU.

    It takes the keys of the configuration but `name`, and the keywords of `models.biggan.build_biggan`. The
    generator takes noise `[N, latent_dim]`, labels `[N]` and `batch_statistics` (whether to normalise by the
    batch's own moments; None: as its mode says) and gives images `[N, C, H, W]` in [-1, 1]. The discriminator
    takes images and labels and gives logits `[N]`.
    """


NETWORKS: Registry[GanNetwork] = Registry(
    "network",
    "ndabench.networks",
    {
        "biggan": GanNetwork(BigGanConfig, "ndabench.models.biggan:build_biggan"),
        "dcgan": GanNetwork(DcganConfig, "ndabench.models.dcgan:build_dcgan"),
    },
)
