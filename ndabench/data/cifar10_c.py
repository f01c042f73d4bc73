"""CIFAR-10-C (Hendrycks and Dietterich, ICLR 2019): the CIFAR-10 test images, corrupted in 19 ways.

`path/CIFAR-10-C/<corruption>.npy` is uint8 `[50000, 32, 32, 3]`; severity s has the rows (s - 1)·10000 to
s·10000, each in the order of the CIFAR-10 test set.
"""

from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, field_validator

from ndabench.data.config import FullPath
from ndabench.data.source import ArrayPictures, ImageConfig, Pixels, Source
from ndabench.data.splits import Rows
from ndabench.errors import UserError, unknown

CORRUPTIONS = (
    "gaussian_noise",
    "shot_noise",
    "impulse_noise",
    "defocus_blur",
    "glass_blur",
    "motion_blur",
    "zoom_blur",
    "snow",
    "frost",
    "fog",
    "brightness",
    "contrast",
    "elastic_transform",
    "pixelate",
    "jpeg_compression",
)
"""The 15 corruptions of the benchmark."""
EXTRA_CORRUPTIONS = ("gaussian_blur", "saturate", "spatter", "speckle_noise")
IMAGES_PER_SEVERITY = 10_000


class Cifar10CConfig(ImageConfig):
    """The chosen corruptions at one severity. The class of an image is its corruption."""

    name: Literal["cifar10_c"] = "cifar10_c"
    path: FullPath = Path("~/data")
    """The folder that holds `CIFAR-10-C`."""
    corruptions: tuple[str, ...] = Field(default=CORRUPTIONS, min_length=1)
    severity: Annotated[int, Field(ge=1, le=5)] = 5

    @field_validator("corruptions")
    @classmethod
    def _known_once(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if name not in CORRUPTIONS + EXTRA_CORRUPTIONS:
                raise ValueError(str(unknown("corruption", name, CORRUPTIONS + EXTRA_CORRUPTIONS)))
        if len(set(names)) < len(names):
            raise ValueError("a corruption is named twice")
        return names

    @property
    def title(self) -> str:
        return f"{self.name}:severity{self.severity}"

    def files(self) -> list[Path]:
        files = [self.path / "CIFAR-10-C" / f"{name}.npy" for name in self.corruptions]
        for file in files:
            if not file.is_file():
                raise UserError(f"{self.name}: {file} is missing; data.path is the folder of CIFAR-10-C")
        return files

    def open(self) -> Source:
        parts = [_severity(file, self.severity) for file in self.files()]
        labels: Rows = np.repeat(np.arange(len(parts)), IMAGES_PER_SEVERITY)
        pictures = ArrayPictures(self.path / "CIFAR-10-C", np.concatenate(parts), labels)
        return Source({"train": pictures}, self.corruptions)


def _severity(file: Path, severity: int) -> Pixels:
    """The images of one severity, `[10000, 32, 32, 3]`."""
    try:
        images = np.load(file, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise UserError(f"{file}: damaged or not a .npy file ({error})") from None
    expected = (5 * IMAGES_PER_SEVERITY, 32, 32, 3)
    if images.shape != expected or images.dtype != np.uint8:
        raise UserError(
            f"{file}: holds {images.dtype} {list(images.shape)}; CIFAR-10-C has uint8 {list(expected)}"
        )
    rows: Pixels = np.ascontiguousarray(
        images[(severity - 1) * IMAGES_PER_SEVERITY : severity * IMAGES_PER_SEVERITY]
    )
    return rows
