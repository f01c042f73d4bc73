"""The parts of an image data set: a configuration that finds its files and opens them as pictures.

A data set is one `ImageConfig` class: `files()` finds its files (and is the only method that may download),
`open()` gives the pictures with their labels, still encoded. `store.py` decodes, checks and caches every set
in the same way, and `load.py` splits it. `registry.py` has an example.
"""

import struct
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, UnidentifiedImageError
from pydantic import Field

from ndabench.data.config import DataSetConfig, SplitName
from ndabench.data.foreign_files import what_it_is
from ndabench.data.splits import Rows
from ndabench.errors import UserError

Pixels = npt.NDArray[np.uint8]

DAMAGE = (OSError, SyntaxError, ValueError, TypeError, struct.error, Image.DecompressionBombError)
"""Pillow's decoders raise all of these for damaged files."""
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What brings a picture of each EXIF orientation upright; 1 is upright."""


class Pictures(Protocol):
    """The pictures of one split, in a fixed order, decoded one at a time."""

    @property
    def labels(self) -> Rows: ...

    def where(self, row: int) -> str:
        """File and row, as an error names them."""
        ...

    def read(self, row: int) -> Image.Image:
        """The picture at `row`; the caller reports any error of Pillow or the file system with `where`."""
        ...


@dataclass(frozen=True)
class Source:
    """An opened data set: its published splits and its classes; without a test split, all is in "train"."""

    splits: Mapping[SplitName, Pictures]
    class_names: tuple[str, ...]
    notes: tuple[str, ...] = ()
    """What a reader of the results should know about how the files were understood, a line each."""


class ImageConfig(DataSetConfig):
    """The keys that every image data set has."""

    image_size: int | None = Field(default=None, ge=1, le=4096)
    """Side in pixels: the largest centred square, resized (bilinear, antialiased). None: as they are."""
    channels: Literal[1, 3] = 3
    """1 makes every picture greyscale, 3 makes every picture RGB."""
    validation_fraction: float = Field(default=0.1, gt=0, lt=1)
    """Share of the training images kept for validation where the data set has no validation split."""
    split_seed: int = Field(default=0, ge=0, lt=2**32)
    horizontal_flip: bool = False
    """Whether a task mirrors training images at random; the stored images stay as they are."""
    stream: bool | Literal["auto"] = "auto"
    """Decode on the fly instead of keeping all images on the device; auto: when they would not fit."""
    decode_workers: int = Field(default=2, ge=0, le=256)
    """Processes that decode a streamed set (at most one per core; 0: the trainer decodes itself)."""

    @abstractmethod
    def files(self) -> Sequence[Path]:
        """The files that hold the data set; downloads missing ones only when asked to, else `UserError`."""

    @abstractmethod
    def open(self) -> Source:
        """The pictures behind `files()`; `UserError` for files that cannot be understood."""

    def decoding(self) -> dict[str, Any]:
        """The keys on which the decoded pixels depend: all but those that only say how they are used."""
        use = {"validation_fraction", "split_seed", "horizontal_flip", "stream", "decode_workers", "download"}
        return self.model_dump(mode="json", exclude=use)


@dataclass(frozen=True)
class ArrayPictures:
    """Decoded pictures in one array, uint8 `[N, H, W]` or `[N, H, W, 3]`."""

    file: Path
    images: Pixels
    labels: Rows

    def where(self, row: int) -> str:
        return f"{self.file} row {row}"

    def read(self, row: int) -> Image.Image:
        return Image.fromarray(self.images[row])


@dataclass(frozen=True)
class FilePictures:
    """Pictures of which each has its own file."""

    paths: Sequence[Path]
    labels: Rows

    def where(self, row: int) -> str:
        return str(self.paths[row])

    def read(self, row: int) -> Image.Image:
        return decoded(self.paths[row])


def decoded(file: Path | IO[bytes]) -> Image.Image:
    """The one picture that an encoded file holds; `ValueError` for an animation, several pages or none."""
    try:
        opened = Image.open(file)
    except UnidentifiedImageError:
        raise ValueError(f"it is {what_it_is(file)}") from None
    with opened as image:
        num_frames = getattr(image, "n_frames", 1)
        # In the format of cameras the first picture is the photograph, others are its previews.
        if num_frames > 1 and image.format != "MPO":
            raise ValueError(f"it holds {num_frames} frames, not one picture")
        image.load()
        return image


def read_pixels(
    pictures: Pictures, row: int, image_size: int | None, channels: int, *, upright: bool = True
) -> Pixels:
    """The picture at `row`, prepared: uint8 `[channels, H, W]`; `UserError` naming it if it is broken.

    If `upright`, it is turned as its EXIF orientation says; else its pixels lie as they are stored.
    """
    try:
        image = pictures.read(row)
        return _prepared(image, image_size, channels, _orientation(image) if upright else 1)
    except DAMAGE as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise UserError(f"{pictures.where(row)}: the image cannot be read ({reason})") from None


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; 1, upright, where there is none or it cannot be read."""
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except DAMAGE:  # pixels may be whole though the EXIF block is damaged
        return 1


def _prepared(image: Image.Image, image_size: int | None, channels: int, orientation: int) -> Pixels:
    if image.mode.startswith(("I", "F")):
        raise ValueError(
            f"its pixels are {image.mode!r}, not 8 bits a channel; convert it, choosing what becomes black "
            "and white"
        )
    if "transparency" in image.info:
        image = image.convert("RGBA")
    image = image.convert("L" if channels == 1 else "RGB")
    if orientation in TURNS:
        image = image.transpose(TURNS[orientation])
    if image_size is not None and image.size != (image_size, image_size):
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        square = image.crop((left, top, left + side, top + side))
        image = square.resize((image_size, image_size), Image.Resampling.BILINEAR)
    pixels = np.asarray(image)
    return pixels[None] if channels == 1 else np.ascontiguousarray(pixels.transpose(2, 0, 1))
