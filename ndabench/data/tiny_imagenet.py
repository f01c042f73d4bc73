"""Tiny ImageNet (Stanford CS231n): `path/tiny-imagenet-200/{train,val}/`. The test labels are secret, so the
validation pictures are the test split."""

from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from ndabench.data.class_folders import is_junk
from ndabench.data.config import FullPath
from ndabench.data.lists import read_lines
from ndabench.data.source import FilePictures, ImageConfig, Source
from ndabench.errors import UserError


class TinyImageNetConfig(ImageConfig):
    """100,000 + 10,000 pictures of 64×64 in 200 classes."""

    name: Literal["tiny_imagenet"] = "tiny_imagenet"
    path: FullPath = Path("~/data")
    """The folder that holds `tiny-imagenet-200`."""
    image_size: int | None = Field(default=64, ge=1, le=4096)

    def files(self) -> list[Path]:
        names = self._classes()
        return [path for path, _ in [*self._train(names), *self._validation(names)]]

    def open(self) -> Source:
        names = self._classes()
        return Source(
            {"train": _pictures(self._train(names)), "test": _pictures(self._validation(names))}, names
        )

    def _classes(self) -> tuple[str, ...]:
        return tuple(sorted(self._lines("wnids.txt")))

    def _train(self, names: tuple[str, ...]) -> list[tuple[Path, int]]:
        folder = self.path / "tiny-imagenet-200" / "train"
        found = [
            (path, label)
            for label, name in enumerate(names)
            for path in sorted((folder / name / "images").glob("*.JPEG"))
            if not is_junk(path.name)
        ]
        if not found:
            raise UserError(f"{folder}: has no pictures <class>/images/*.JPEG")
        return found

    def _validation(self, names: tuple[str, ...]) -> list[tuple[Path, int]]:
        number = {name: label for label, name in enumerate(names)}
        found = []
        for line in self._lines("val/val_annotations.txt"):
            picture, name, *_ = [*line.split("\t"), "", ""]
            if name not in number:
                raise UserError(
                    f"{self.name}: val_annotations.txt gives {picture} the class {name!r}, which wnids.txt "
                    "does not list"
                )
            found.append((self.path / "tiny-imagenet-200" / "val" / "images" / picture, number[name]))
        return found

    def _lines(self, name: str) -> list[str]:
        file = self.path / "tiny-imagenet-200" / name
        try:
            lines = [line for _, line in read_lines(file, "list of pictures")]
        except UserError:
            raise UserError(
                f"{self.name}: {file} is missing or not a text file; "
                "data.path is the folder of tiny-imagenet-200"
            ) from None
        if not lines:
            raise UserError(f"{file}: is empty")
        return lines


def _pictures(listed: list[tuple[Path, int]]) -> FilePictures:
    paths, labels = zip(*listed, strict=True)
    return FilePictures(paths, np.array(labels, np.int64))
