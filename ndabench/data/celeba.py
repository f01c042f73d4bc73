"""CelebA (Liu et al., 2015), aligned faces with the authors' own three splits: `path/celeba/`."""

from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from ndabench.data.config import SplitName
from ndabench.data.official import OfficialConfig
from ndabench.data.source import FilePictures, Source

SPLITS: dict[SplitName, str] = {"train": "train", "validation": "valid", "test": "test"}
IMAGES = "img_align_celeba"


class CelebAConfig(OfficialConfig):
    """202,599 faces of 178×218; the centred 178×178 is resized to `image_size`. One class.

    Downloading needs the package gdown.
    """

    torchvision_name = "CelebA"

    name: Literal["celeba"] = "celeba"
    image_size: int | None = Field(default=64, ge=1, le=4096)

    def official_files(self) -> list[tuple[str, str | None]]:
        texts = [(name, md5) for _, md5, name in self.torchvision_class.file_list if name.endswith(".txt")]
        return [
            (f"{self.torchvision_class.base_folder}/{name}", md5) for name, md5 in [*texts, (IMAGES, None)]
        ]

    def files(self) -> list[Path]:
        return [
            *super().files(),
            *sorted((self.path / self.torchvision_class.base_folder / IMAGES).iterdir()),
        ]

    def torchvision_set(self, split: str, *, download: bool) -> Any:
        return self.torchvision_class(self.path, split=split, download=download)

    def open_checked(self) -> Source:
        return Source({name: self._pictures(split) for name, split in SPLITS.items()}, ("face",))

    def _pictures(self, split: str) -> FilePictures:
        folder = self.path / self.torchvision_class.base_folder / IMAGES
        names = self.torchvision_set(split, download=False).filename
        return FilePictures([folder / name for name in names], np.zeros(len(names), dtype=np.int64))
