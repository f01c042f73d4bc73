"""CIFAR-10 and CIFAR-100 (Krizhevsky, 2009), the "python version": `path/cifar-10-batches-py/` and so on."""

from typing import Any, Literal

import numpy as np

from ndabench.data.official import OfficialConfig
from ndabench.data.source import ArrayPictures, Source


class _CifarConfig(OfficialConfig):
    def official_files(self) -> list[tuple[str, str | None]]:
        cifar = self.torchvision_class
        files = [*cifar.train_list, *cifar.test_list, (cifar.meta["filename"], cifar.meta["md5"])]
        return [(f"{cifar.base_folder}/{name}", md5) for name, md5 in files]

    def torchvision_set(self, split: str, *, download: bool) -> Any:
        return self.torchvision_class(self.path, train=split == "train", download=download)

    def open_checked(self) -> Source:
        train, test = (self.torchvision_set(split, download=False) for split in ("train", "test"))
        folder = self.path / self.torchvision_class.base_folder
        return Source(
            {
                "train": ArrayPictures(folder / "(train)", train.data, np.array(train.targets, np.int64)),
                "test": ArrayPictures(folder / "(test)", test.data, np.array(test.targets, np.int64)),
            },
            tuple(train.classes),
        )


class Cifar10Config(_CifarConfig):
    """50,000 + 10,000 RGB images of 32×32 in ten classes."""

    torchvision_name = "CIFAR10"

    name: Literal["cifar10"] = "cifar10"


class Cifar100Config(_CifarConfig):
    """50,000 + 10,000 RGB images of 32×32 in a hundred (fine) classes."""

    torchvision_name = "CIFAR100"

    name: Literal["cifar100"] = "cifar100"
