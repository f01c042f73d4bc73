"""A folder of pictures sorted into one folder a class, as torchvision's ImageFolder and ImageNet have it."""

from pathlib import Path
from typing import Literal

import numpy as np

from ndabench.data.source import FilePictures, FullPath, ImageConfig, Source, SplitName
from ndabench.errors import UserError

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

    Of a pool one image in five is cut off for testing, always the same ones.
    """

    name: Literal["image_folder"] = "image_folder"
    path: FullPath

    @property
    def title(self) -> str:
        return f"{self.name}:{self.path.name}"

    def files(self) -> list[Path]:
        if not self.path.is_dir():
            raise UserError(f"{self.path}: no such folder (data.path of an image_folder)")
        return [file for folder in self._split_folders().values() for file in _pictures_in(folder)]

    def open(self) -> Source:
        folders = self._split_folders()
        class_names = _class_names(folders["train"])
        splits = {name: _open_split(folder, class_names) for name, folder in folders.items()}
        return Source(splits, class_names)

    def _split_folders(self) -> dict[SplitName, Path]:
        if not (self.path / "train").is_dir():
            return {"train": self.path}
        found = {split: self.path / name for name, split in FOLDERS.items() if (self.path / name).is_dir()}
        if "test" not in found:
            raise UserError(f"{self.path}: has a folder train, but no folder test beside it")
        return found


def _class_names(folder: Path) -> tuple[str, ...]:
    names = sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and entry.name[0] != ".")
    if not names:
        raise UserError(f"{folder}: has no class folders; images belong in {folder}/<class>/")
    return tuple(names)


def _open_split(folder: Path, class_names: tuple[str, ...]) -> FilePictures:
    known = {name: label for label, name in enumerate(class_names)}
    paths = _pictures_in(folder)
    classes = [path.relative_to(folder).parts[0] for path in paths]
    for path, name in zip(paths, classes, strict=True):
        if name not in known:
            raise UserError(f"{path}: its class {name!r} is not among the {len(known)} of the train folder")
    return FilePictures(paths, np.array([known[name] for name in classes], dtype=np.int64))


def _pictures_in(folder: Path) -> list[Path]:
    """Every picture below a class folder of `folder`, sorted by name."""
    found = (path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.parent != folder)
    return sorted(path for path in found if not any(p[0] == "." for p in path.relative_to(folder).parts))
