"""Street View House Numbers (Netzer et al., 2011), cropped digits: `path/{train,test}_32x32.mat`."""

from typing import Any, Literal

import numpy as np

from ndabench.data.official import OfficialConfig
from ndabench.data.source import ArrayPictures, Source


class SvhnConfig(OfficialConfig):
    """73,257 + 26,032 RGB images of 32×32; the class is the digit. The `extra` set is not used."""

    torchvision_name = "SVHN"

    name: Literal["svhn"] = "svhn"

    def official_files(self) -> list[tuple[str, str | None]]:
        splits = self.torchvision_class.split_list
        return [(name, md5) for _, name, md5 in (splits["train"], splits["test"])]

    def torchvision_set(self, split: str, *, download: bool) -> Any:
        return self.torchvision_class(self.path, split=split, download=download)

    def open_checked(self) -> Source:
        splits = [self.torchvision_set(split, download=False) for split in ("train", "test")]
        train, test = (
            ArrayPictures(
                self.path / split.filename,
                np.ascontiguousarray(split.data.transpose(0, 2, 3, 1)),
                split.labels.astype(np.int64),
            )
            for split in splits
        )
        return Source({"train": train, "test": test}, tuple(str(digit) for digit in range(10)))
