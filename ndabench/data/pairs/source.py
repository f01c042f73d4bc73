"""The parts of a paired data set: a configuration that finds its pairs and opens them as pictures A and B.

A data set is one `PairedConfig` class: `files()` finds its files, `open_pairs()` gives the pairs, still
encoded. Both pictures of a pair are squeezed to one square and stored next to each other as one image, A on
the left, so that `store.py` decodes, checks and caches pairs in the way of all images.
"""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

import numpy as np
from PIL import Image
from pydantic import Field, model_validator

from ndabench.data.config import SplitName
from ndabench.data.source import DAMAGE, ImageConfig, Source, decoded
from ndabench.data.splits import Rows
from ndabench.errors import UserError

Direction = Literal["AtoB", "BtoA"]
Side = Literal["A", "B"]
Level = Annotated[int, Field(ge=0, le=255)]
Colour = tuple[Level, Level, Level]

LOAD_SCALE = 286 / 256
"""Training pairs are loaded so much larger than they are shown, and cropped at random (Isola et al.)."""


@dataclass(frozen=True)
class Palette:
    """The classes of a label map by the colours that they are drawn in."""

    side: Side
    """Which picture of a pair is the label map."""
    colours: Mapping[str, Colour]
    """RGB by class. A pixel belongs to the class of the nearest colour, which undoes the traces of JPEG."""
    ignored: tuple[Colour, ...] = ()
    """Colours of pixels that belong to no class and that no score counts."""


class Pairs(Protocol):
    """The pairs of one split, in a fixed order, decoded one at a time."""

    def __len__(self) -> int: ...

    def where(self, row: int) -> str:
        """File and row, as an error names them."""
        ...

    def read(self, row: int) -> tuple[Image.Image, Image.Image]:
        """A and B; the caller reports any error of Pillow or the file system with `where`."""
        ...


class PairedConfig(ImageConfig):
    """The keys that every paired data set has."""

    image_size: int = Field(default=256, ge=4, le=4096)
    """Side in pixels of what a network sees. Whole pictures are squeezed to squares, as published."""
    load_size: int | None = Field(default=None, ge=4, le=4096)
    """Side to which training pairs are squeezed before a random crop to `image_size`, the same for both
    pictures. None: 286/256 of `image_size`."""
    channels: Literal[3] = 3
    direction: Direction = "AtoB"
    """Which picture is the input, and which the target."""
    horizontal_flip: bool = True
    """Whether training pairs are mirrored at random, both pictures together."""

    @model_validator(mode="after")
    def _loads_at_least_what_is_shown(self) -> "PairedConfig":
        if self.load_size is not None and self.load_size < self.image_size:
            raise ValueError(f"load_size {self.load_size} must not be below image_size {self.image_size}")
        return self

    @property
    def loaded_size(self) -> int:
        """`load_size`, or what it is where none is given."""
        return self.load_size or round(self.image_size * LOAD_SCALE)

    @property
    def palette(self) -> Palette | None:
        """The classes of the label map, where one of the pictures is one."""
        return None

    @abstractmethod
    def open_pairs(self) -> Mapping[SplitName, Pairs]:
        """The pairs behind `files()`; `UserError` for files that cannot be understood."""

    def open(self) -> Source:
        return JoinedPairs.of_size(self, self.image_size).open()


class JoinedPairs(ImageConfig):
    """A paired data set as images `[3, S, 2·S]`: A on the left, B on the right, each squeezed to S × S."""

    name: Literal["joined pairs"] = "joined pairs"
    pairs: Any
    """The `PairedConfig`."""
    size: int = Field(ge=4, le=4096)
    """S."""

    @classmethod
    def of_size(cls, pairs: PairedConfig, size: int) -> "JoinedPairs":
        use = ("validation_fraction", "split_seed", "stream", "decode_workers")
        return cls(pairs=pairs, size=size, **{key: getattr(pairs, key) for key in use})

    @property
    def title(self) -> str:
        return str(self.pairs.title)

    def files(self) -> Sequence[Path]:
        files: Sequence[Path] = self.pairs.files()
        return files

    def open(self) -> Source:
        splits = self.pairs.open_pairs()
        joined = {
            name: JoinedPictures(pairs, self.size, self.pairs.palette) for name, pairs in splits.items()
        }
        return Source(joined, ("pair",))

    def decoding(self) -> dict[str, Any]:
        use = {"direction", "load_size", "image_size"}
        of_pairs = self.pairs.decoding()
        return {"size": self.size, **{key: of_pairs[key] for key in of_pairs.keys() - use}}


@dataclass(frozen=True)
class JoinedPictures:
    """The pairs of one split as single pictures of size 2·S × S."""

    pairs: Pairs
    size: int
    palette: Palette | None

    @property
    def labels(self) -> Rows:
        """All 0: a pair has no class."""
        return np.zeros(len(self.pairs), np.int64)

    def where(self, row: int) -> str:
        return self.pairs.where(row)

    def read(self, row: int) -> Image.Image:
        """A and B next to each other; raises `ValueError` where they differ in size."""
        first, second = self.pairs.read(row)
        if first.size != second.size:
            sizes = " and ".join(f"{picture.width}×{picture.height}" for picture in (first, second))
            raise ValueError(f"the pictures of the pair are {sizes} pixels, and must be of one size")
        joined = Image.new("RGB", (2 * self.size, self.size))
        for number, (side, picture) in enumerate(zip("AB", (first, second), strict=True)):
            is_labels = self.palette is not None and self.palette.side == side
            # A label map has no colours between those of its classes.
            resampling = Image.Resampling.NEAREST if is_labels else Image.Resampling.BICUBIC
            square = picture.convert("RGB").resize((self.size, self.size), resampling)
            joined.paste(square, (number * self.size, 0))
        return joined


@dataclass(frozen=True)
class HalvedPictures:
    """Files of which each holds a pair: A is the left half, B the right one."""

    files: Sequence[Path]

    def __len__(self) -> int:
        return len(self.files)

    def where(self, row: int) -> str:
        return str(self.files[row])

    def read(self, row: int) -> tuple[Image.Image, Image.Image]:
        picture = decoded(self.files[row])
        if picture.width % 2:
            raise ValueError(f"its width of {picture.width} pixels cannot be halved into a pair")
        middle = picture.width // 2
        left = picture.crop((0, 0, middle, picture.height))
        return left, picture.crop((middle, 0, picture.width, picture.height))


@dataclass(frozen=True)
class FilePairs:
    """Pairs of which each picture has its own file."""

    first: Sequence[Path]
    """The pictures A."""
    second: Sequence[Path]
    """The pictures B, in the same order."""

    def __len__(self) -> int:
        return len(self.first)

    def where(self, row: int) -> str:
        return f"{self.first[row]} and {self.second[row]}"

    def read(self, row: int) -> tuple[Image.Image, Image.Image]:
        pictures = []
        for file in (self.first[row], self.second[row]):
            try:
                pictures.append(decoded(file))
            except DAMAGE as error:
                raise UserError(f"{file}: the image cannot be read ({error})") from None
        return pictures[0], pictures[1]
