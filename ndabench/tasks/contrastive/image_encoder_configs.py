"""How a sweep file names an image encoder: a ResNet of some depth and width, or the raw pixels."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from ndabench.config import Config, named
from ndabench.tasks.weights_file import WeightsFile


class ResNetConfig(Config):
    """The encoder: see `models.resnet`."""

    name: Literal["resnet"] = "resnet"
    depth: Literal[18, 34, 50] = 18
    width: int = Field(64, ge=1, le=1024)
    """Channels of the first stage; the published networks have 64."""
    stem: Literal["cifar", "imagenet"] = "cifar"
    weights: WeightsFile | None = None
    """A state dict to start from, such as the `encoder.pt` of another trial; it sees images in [-1, 1]."""


class PixelsConfig(Config):
    """No encoder at all: evaluations measure the raw pixels. Requires `num_steps: 0`."""

    name: Literal["pixels"] = "pixels"


def _encoder_named(value: Any) -> Any:
    """`resnet18` and `pixels` are short for mappings."""
    if isinstance(value, str) and value.startswith("resnet") and value[6:].isdigit():
        return {"name": "resnet", "depth": int(value[6:])}
    return named(value)


EncoderConfig = Annotated[
    ResNetConfig | PixelsConfig, Field(discriminator="name"), BeforeValidator(_encoder_named)
]
