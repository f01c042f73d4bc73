"""A folder with one folder of pictures per class, the layout of torchvision's ImageFolder and of ImageNet."""

from collections.abc import Collection
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from ndabench.data.config import FullPath, SplitName
from ndabench.data.source import FilePictures, ImageConfig, Source
from ndabench.errors import UserError, nearest

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"}
FOLDERS: dict[str, SplitName] = {
    "train": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "test": "test",
}


class ImageFolderConfig(ImageConfig):
    """`path/{train,test[,validation]}/<class>/**.png|jpg|…`, or `path/<class>/…` in one pool.

    A fixed fifth of a pool is the test split.
    """

    name: Literal["image_folder"] = "image_folder"
    path: FullPath
    known_as: str | None = Field(default=None, min_length=1, max_length=60)
    """What records and reports call the set, such as imagenet100; None: the folder's name."""
    classes: tuple[str, ...] | FullPath | None = None
    """The class folders to use, or a text file that lists them, one per line; None: all of them."""
    test_folder: str = Field(default="test", pattern=r"^[^/]+$")
    """The folder of the test images; ImageNet, whose test labels are secret, is tested on `val`."""

    @property
    def title(self) -> str:
        return f"{self.name}:{self.known_as or self.path.name}"

    def files(self) -> list[Path]:
        if not self.path.is_dir():
            raise UserError(f"{self.path}: no such folder (data.path of an image_folder)")
        folders = self._split_folders()
        wanted = self._wanted()
        return [file for folder in folders.values() for file in _pictures_in(folder, wanted)]

    def open(self) -> Source:
        folders = self._split_folders()
        wanted = self._wanted()
        class_names = _class_names(folders["train"], wanted)
        splits = {name: _open_split(folder, class_names, wanted) for name, folder in folders.items()}
        return Source(splits, class_names)

    def _wanted(self) -> frozenset[str] | None:
        """The chosen classes; None for all."""
        if self.classes is None:
            return None
        if isinstance(self.classes, tuple):
            names = self.classes
        else:
            try:
                names = tuple(self.classes.read_text("utf-8").split())
            except (OSError, UnicodeDecodeError):
                raise UserError(f"{self.classes}: no readable list of classes (data.classes)") from None
        if not names:
            raise UserError(f"{self.path}: data.classes names no class")
        return frozenset(names)

    def _split_folders(self) -> dict[SplitName, Path]:
        if not (self.path / "train").is_dir():
            return {"train": self.path}
        roles = {**FOLDERS, self.test_folder: "test"}
        roles = {name: role for name, role in roles.items() if role != "test" or name == self.test_folder}
        found = {split: self.path / name for name, split in roles.items() if (self.path / name).is_dir()}
        if "test" not in found or not (self.path / self.test_folder).is_dir():
            raise UserError(
                f"{self.path}: has a folder train but no folder {self.test_folder} "
                "(data.test_folder names the folder of the test images)"
            )
        return found


def _class_names(folder: Path, wanted: Collection[str] | None) -> tuple[str, ...]:
    names = sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and entry.name[0] != ".")
    if not names:
        raise UserError(f"{folder}: has no class folders; images belong in {folder}/<class>/")
    if wanted is None:
        return tuple(names)
    missing = sorted(set(wanted) - set(names))
    if missing:
        raise UserError(f"{folder}: has no folder for the class {missing[0]!r}{nearest(missing[0], names)}")
    return tuple(name for name in names if name in wanted)


def _open_split(folder: Path, class_names: tuple[str, ...], wanted: Collection[str] | None) -> FilePictures:
    known = {name: label for label, name in enumerate(class_names)}
    paths = _pictures_in(folder, wanted)
    classes = [path.relative_to(folder).parts[0] for path in paths]
    for path, name in zip(paths, classes, strict=True):
        if name not in known:
            raise UserError(f"{path}: its class {name!r} is not among the {len(known)} of the train folder")
    return FilePictures(paths, np.array([known[name] for name in classes], dtype=np.int64))


def _pictures_in(folder: Path, wanted: Collection[str] | None) -> list[Path]:
    """Every picture below a (wanted) class folder of `folder`, sorted by name."""
    roots = [folder] if wanted is None else [folder / name for name in sorted(wanted)]
    found = (path for root in roots for path in root.rglob("*") if path.suffix.lower() in SUFFIXES)
    inside = (path for path in found if path.parent != folder)
    return sorted(path for path in inside if not any(p[0] == "." for p in path.relative_to(folder).parts))
