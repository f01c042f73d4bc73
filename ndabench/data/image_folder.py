"""A folder with one folder of pictures per class, the layout of torchvision's ImageFolder and of ImageNet."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from ndabench.data.class_folders import (
    DEFAULT_TEST_FOLDER,
    FileKind,
    class_folders,
    files_by_class,
    files_of,
    labelled,
    read_as,
    split_folders,
    training_classes,
)
from ndabench.data.config import FullPath, SplitName
from ndabench.data.lists import read_lines
from ndabench.data.source import FilePictures, ImageConfig, Source
from ndabench.errors import UserError

IMAGES = FileKind(
    "image",
    suffixes=frozenset(
        {".png", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm"}
        | {".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".jp2", ".avif"}
    ),
    unreadable=frozenset({".heic", ".heif", ".jxl"}),
)
ONLY_CLASS = "image"
"""What the class of all pictures is called where there are no class folders."""


class ImageFolderConfig(ImageConfig):
    """`path/{train,test[,validation]}/<class>/**.png|jpg|…`, or `path/<class>/…` in one pool.

    A fixed fifth of a pool is the test split. Without class folders, where the pictures lie in
    `path/{train,test}/` or in `path` itself, the set has no classes. `class_folders.py` says which files and
    folders count.
    """

    name: Literal["image_folder"] = "image_folder"
    path: FullPath
    known_as: str | None = Field(default=None, min_length=1, max_length=60)
    """What records and reports call the set, such as imagenet100; None: the folder's name."""
    classes: tuple[str, ...] | FullPath | None = None
    """The class folders to use, or a text file that lists them, one per line; None: all of them."""
    test_folder: str = Field(default=DEFAULT_TEST_FOLDER, pattern=r"^[^/]+$")
    """The folder of the test images; ImageNet, whose test labels are secret, is tested on `val`."""

    @property
    def title(self) -> str:
        return f"{self.name}:{self.known_as or self.path.name}"

    def files(self) -> list[Path]:
        if not self.path.is_dir():
            raise UserError(f"{self.path}: no such folder (data.path of an image_folder)")
        found = self._files(self._folders(), self._wanted())
        return [file for files in found.values() for of_class in files.values() for file in of_class]

    def open(self) -> Source:
        folders, wanted = self._folders(), self._wanted()
        files = self._files(folders, wanted)
        class_names = training_classes(folders["train"], files["train"], IMAGES, wanted)
        splits = {split: _pictures(labelled(folders[split], files[split], class_names)) for split in folders}
        return Source(splits, class_names, notes=read_as(self.path, folders.values()))

    def _files(
        self, folders: Mapping[SplitName, Path], wanted: frozenset[str] | None
    ) -> dict[SplitName, dict[str, list[Path]]]:
        """The files of each split by class; all in one class where no split has class folders."""
        if wanted is None and not any(class_folders(folder) for folder in folders.values()):
            found = {split: {ONLY_CLASS: files_of(folder, IMAGES)} for split, folder in folders.items()}
            if found["train"][ONLY_CLASS]:
                return found
        return {split: files_by_class(folder, IMAGES, wanted) for split, folder in folders.items()}

    def _wanted(self) -> frozenset[str] | None:
        """The chosen classes; None for all."""
        if self.classes is None:
            return None
        if isinstance(self.classes, tuple):
            names = self.classes
        else:
            names = tuple(line for _, line in read_lines(self.classes, "list of classes"))
        if not names:
            raise UserError(f"{self.path}: data.classes names no class")
        return frozenset(names)

    def _folders(self) -> dict[SplitName, Path]:
        """The folder of each split; a pool is all in "train"."""
        return split_folders(self.path, self.test_folder, IMAGES) or {"train": self.path}


def _pictures(files: Sequence[tuple[Path, int]]) -> FilePictures:
    paths, labels = [file for file, _ in files], [label for _, label in files]
    return FilePictures(paths, np.array(labels, dtype=np.int64))
