"""Street View House Numbers (Netzer et al., 2011), cropped digits: `path/{train,test}_32x32.mat`."""

from typing import Any, Literal

import numpy as np
from torchvision.datasets import SVHN

from ndabench.data.official import OfficialConfig
from ndabench.data.source import ArrayPictures, Source


class SvhnConfig(OfficialConfig):
    """73,257 + 26,032 RGB images of 32×32; the class is the digit. The `extra` set is not used."""

    name: Literal["svhn"] = "svhn"

    def official_files(self) -> list[tuple[str, str | None]]:
        return [(name, md5) for _, name, md5 in (SVHN.split_list["train"], SVHN.split_list["test"])]

    def torchvision_set(self, split: str, *, download: bool) -> Any:
        return SVHN(self.path, split=split, download=download)

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
