"""The image data sets by name."""

from typing import TYPE_CHECKING, Annotated, Union

from pydantic import Field

from ndabench.data.celeba import CelebAConfig
from ndabench.data.cifar import Cifar10Config, Cifar100Config
from ndabench.data.digits import DigitsConfig
from ndabench.data.image_folder import ImageFolderConfig
from ndabench.data.image_parquet import ImageParquetConfig
from ndabench.data.source import ImageConfig
from ndabench.data.stl10 import Stl10Config
from ndabench.data.svhn import SvhnConfig

IMAGE_DATA: dict[str, type[ImageConfig]] = {
    "digits": DigitsConfig,
    "image_parquet": ImageParquetConfig,
    "image_folder": ImageFolderConfig,
    "cifar10": Cifar10Config,
    "cifar100": Cifar100Config,
    "stl10": Stl10Config,
    "svhn": SvhnConfig,
    "celeba": CelebAConfig,
}

if TYPE_CHECKING:
    ImageDataConfig = ImageConfig
else:  # pydantic picks the class by its `name`; a type checker could not follow a union made from a dict
    ImageDataConfig = Annotated[Union[tuple(IMAGE_DATA.values())], Field(discriminator="name")]  # noqa: UP007
