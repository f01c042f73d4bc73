"""Describable Textures (Cimpoi et al., CVPR 2014): `path/dtd/{images,labels}/`, one of its ten partitions."""

from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from ndabench.data.config import FullPath, SplitName
from ndabench.data.lists import read_lines
from ndabench.data.source import FilePictures, ImageConfig, Source
from ndabench.errors import UserError

LISTS: dict[SplitName, str] = {"train": "train", "validation": "val", "test": "test"}


class DtdConfig(ImageConfig):
    """5,640 textures in 47 classes, a third each for training, validation and test."""

    name: Literal["dtd"] = "dtd"
    path: FullPath = Path("~/data")
    """The folder that holds `dtd`."""
    image_size: int | None = Field(default=64, ge=1, le=4096)
    partition: Annotated[int, Field(ge=1, le=10)] = 1

    def files(self) -> list[Path]:
        return [path for paths in self._lists().values() for path in paths]

    def open(self) -> Source:
        lists = self._lists()
        names = sorted({path.parent.name for paths in lists.values() for path in paths})
        number = {name: place for place, name in enumerate(names)}
        return Source(
            {
                split: FilePictures(paths, np.array([number[p.parent.name] for p in paths], np.int64))
                for split, paths in lists.items()
            },
            tuple(names),
        )

    def _lists(self) -> dict[SplitName, list[Path]]:
        """The pictures of each split, in the order of its list."""
        folder = self.path / "dtd"
        lists = {}
        for split, name in LISTS.items():
            file = folder / "labels" / f"{name}{self.partition}.txt"
            try:
                lines = read_lines(file, "list of pictures")
            except UserError:
                raise UserError(
                    f"{self.name}: {file} is missing or not a text file; data.path is the folder of dtd"
                ) from None
            lists[split] = [folder / "images" / line for _, line in lines]
        return lists
