"""STL-10 (Coates et al., 2011), the binary files: `path/stl10_binary/`."""

from pathlib import Path
from typing import Any, Literal

import numpy as np

from ndabench.data.official import OfficialConfig
from ndabench.data.source import ArrayPictures, Source


class Stl10Config(OfficialConfig):
    """The 5,000 labelled training and 8,000 test images, RGB 96×96, in ten classes.

    With `unlabelled` the 100,000 unlabelled images are what is trained on, and there is one class.
    """

    torchvision_name = "STL10"

    name: Literal["stl10"] = "stl10"
    unlabelled: bool = False

    def official_files(self) -> list[tuple[str, str | None]]:
        stl10 = self.torchvision_class
        files = [*stl10.train_list, *stl10.test_list, (stl10.class_names_file, None)]
        return [(f"{stl10.base_folder}/{name}", md5) for name, md5 in files]

    def torchvision_set(self, split: str, *, download: bool) -> Any:
        return self.torchvision_class(self.path, split=split, download=download)

    def open_checked(self) -> Source:
        used = "unlabeled" if self.unlabelled else "train"
        train, test = (self.torchvision_set(split, download=False) for split in (used, "test"))
        folder = self.path / self.torchvision_class.base_folder
        return Source(
            {
                "train": self._pictures(folder / f"{used}_X.bin", train),
                "test": self._pictures(folder / "test_X.bin", test),
            },
            ("image",) if self.unlabelled else tuple(train.classes),
        )

    def _pictures(self, file: Path, data: Any) -> ArrayPictures:
        images = np.ascontiguousarray(data.data.transpose(0, 2, 3, 1))
        labels = np.zeros(len(images), np.int64) if self.unlabelled else data.labels.astype(np.int64)
        return ArrayPictures(file, images, labels)
