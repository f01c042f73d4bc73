"""Places365 (Zhou et al., 2017), its validation pictures: `path/val_256/` and `path/places365_val.txt`."""

from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from ndabench.data.config import FullPath
from ndabench.data.lists import read_lines
from ndabench.data.source import FilePictures, ImageConfig, Source
from ndabench.errors import UserError

NUM_CLASSES = 365


class Places365Config(ImageConfig):
    """The 36,500 validation pictures ("small images", 256×256) in 365 classes, a hundred each."""

    name: Literal["places365"] = "places365"
    path: FullPath = Path("~/data")
    image_size: int | None = Field(default=64, ge=1, le=4096)

    def files(self) -> list[Path]:
        return [path for path, _ in self._list()]

    def open(self) -> Source:
        paths, labels = zip(*self._list(), strict=True)
        return Source(
            {"train": FilePictures(paths, np.array(labels, np.int64))},
            tuple(f"scene {number}" for number in range(NUM_CLASSES)),
        )

    def _list(self) -> list[tuple[Path, int]]:
        file = self.path / "places365_val.txt"
        try:
            lines = read_lines(file, "list of pictures")
        except UserError:
            raise UserError(
                f"{self.name}: {file} is missing or not a text file; data.path holds it, with val_256"
            ) from None
        found = []
        for where, line in lines:
            name, _, label = line.partition(" ")
            if not label.isdecimal() or int(label) >= NUM_CLASSES:
                raise UserError(f"{where}: is not `<picture> <class from 0 to 364>`")
            found.append((self.path / "val_256" / name, int(label)))
        if not found:
            raise UserError(f"{file}: lists no picture")
        return found
