"""Pictures as others wrote them, all of one split: a folder of any depth, a zip or an npz.

The zip is that of StyleGAN's dataset tool (pictures in any folders), the npz that of guided diffusion: one
uint8 array `[N, H, W, 3]`, called `arr_0` there. As a data set the pictures have no classes; `labels` gives
those that the tool's `dataset.json` has for generated ones.
"""

import json
import os
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from ndabench.data.class_folders import files_of, is_junk, to_read
from ndabench.data.config import FullPath
from ndabench.data.image_folder import IMAGES
from ndabench.data.source import ArrayPictures, FilePictures, ImageConfig, Pictures, Source, decoded
from ndabench.data.splits import Rows
from ndabench.errors import UserError, first_of

ARCHIVES = (".zip", ".npz")
LABELS = "dataset.json"


class ImageCollectionConfig(ImageConfig):
    """All pictures below `path`, in the order of their names; `class_folders.py` says which files count."""

    name: Literal["images"] = "images"
    path: FullPath

    @property
    def title(self) -> str:
        return f"images:{self.path.name}"

    def files(self) -> list[Path]:
        if self.path.is_dir():
            return _some(files_of(self.path, IMAGES), self.path)
        if self.path.suffix.lower() in ARCHIVES and self.path.is_file():
            return [self.path]
        raise UserError(f"{self.path}: no such folder, zip or npz of pictures")

    def open(self) -> Source:
        return Source({"train": self._pictures(self.files())}, class_names=("picture",))

    def labels(self) -> Rows | None:
        """The classes of the pictures, in their order, as `dataset.json` numbers them; None without any.

        `UserError` for one that gives some pictures no class, or classes that are no numbers.
        """
        content = _dataset_json(self.path)
        if content is None:
            return None
        try:
            pairs = json.loads(content)["labels"]
            known = None if pairs is None else {str(name): int(label) for name, label in pairs}
        except (ValueError, TypeError, KeyError):
            raise UserError(
                f'{self.path}: {LABELS} needs {{"labels": [[picture, class], …]}} with classes from 0 on'
            ) from None
        if known is None:
            return None
        in_folder = self.path.is_dir()
        names = [file.relative_to(self.path).as_posix() for file in self.files()] if in_folder else []
        names = names or _names_in(self.path)
        without = [name for name in names if known.get(name, -1) < 0]
        if without:
            raise UserError(
                f"{self.path}: {LABELS} has no class for {len(without)} pictures: {first_of(without, 3)}"
            )
        return np.array([known[name] for name in names], dtype=np.int64)

    def _pictures(self, files: Sequence[Path]) -> Pictures:
        if self.path.is_dir():
            return FilePictures(files, _no_labels(len(files)))
        if self.path.suffix.lower() == ".npz":
            images = _array_of(self.path)
            return ArrayPictures(self.path, images, _no_labels(len(images)))
        names = _names_in(self.path)
        return ZipPictures(self.path, names, _no_labels(len(names)))


def _dataset_json(path: Path) -> bytes | None:
    """The content of `dataset.json` in a folder or a zip."""
    if path.is_dir():
        file = path / LABELS
        return file.read_bytes() if file.is_file() else None
    if path.suffix.lower() != ".zip":
        return None
    archive = _archive(path, os.getpid())
    return archive.read(LABELS) if LABELS in archive.namelist() else None


@dataclass(frozen=True)
class ZipPictures:
    """Pictures in a zip; nothing is unpacked to the disk."""

    file: Path
    names: Sequence[str]
    labels: Rows

    def where(self, row: int) -> str:
        return f"{self.file}: {self.names[row]}"

    def read(self, row: int) -> Image.Image:
        with _archive(self.file, os.getpid()).open(self.names[row]) as member:
            return decoded(member)


@lru_cache(maxsize=4)
def _archive(file: Path, process: int) -> zipfile.ZipFile:
    """One for each process: forked processes would share the position in the file."""
    return zipfile.ZipFile(file)


def _names_in(file: Path) -> list[str]:
    try:
        names = [name for name in _archive(file, os.getpid()).namelist() if not name.endswith("/")]
    except zipfile.BadZipFile as error:
        raise UserError(f"{file}: is no zip that can be read ({error})") from None
    inside = {file / name: name for name in names if not any(map(is_junk, Path(name).parts))}
    return sorted(inside[one] for one in _some(to_read(list(inside), IMAGES), file))


def _some(pictures: list[Path], where: Path) -> list[Path]:
    """The `pictures`; `UserError` where there are none."""
    if not pictures:
        raise UserError(f"{where}: holds no pictures ({first_of(sorted(IMAGES.suffixes))})")
    return pictures


def _array_of(file: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """The one array of pictures in an npz, uint8 `[N, H, W]` or `[N, H, W, 3]`."""
    try:
        with np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (ValueError, OSError, zipfile.BadZipFile) as error:
        raise UserError(f"{file}: is no npz that can be read ({error})") from None
    found = [array for array in arrays.values() if array.ndim >= 3]
    if len(found) != 1 or found[0].dtype != np.uint8 or not _is_stack(found[0].shape):
        held = ", ".join(f"{name} {array.dtype} {list(array.shape)}" for name, array in arrays.items())
        raise UserError(
            f"{file}: needs one array of pictures, uint8 [N, H, W] or [N, H, W, 3]; it has {held}"
        )
    pictures: np.ndarray[tuple[int, ...], np.dtype[np.uint8]] = found[0]
    return pictures[..., 0] if pictures.ndim == 4 and pictures.shape[-1] == 1 else pictures


def _is_stack(shape: tuple[int, ...]) -> bool:
    return min(shape) > 0 and (len(shape) == 3 or (len(shape) == 4 and shape[-1] in (1, 3)))


def _no_labels(count: int) -> Rows:
    return np.zeros(count, dtype=np.int64)
