"""Pictures in files, each with its annotation: decoded when they are used, hashed without decoding."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, UnidentifiedImageError

from ndabench.data.detection.source import Annotation, hash_annotations
from ndabench.data.foreign_files import what_it_is
from ndabench.data.source import FilePictures, Pixels, read_pixels
from ndabench.errors import UserError


class AnnotatedPicture(NamedTuple):
    """A picture that was found, with its annotation."""

    picture: Path
    name: str
    """The same wherever the data set lies, as in VOC2007/000005."""
    size_bytes: int
    annotation: Annotation


@dataclass(frozen=True)
class AnnotatedFiles:
    """Pictures that are decoded at every access."""

    pictures: Sequence[AnnotatedPicture]

    @property
    def annotations(self) -> Sequence[Annotation]:
        return [one.annotation for one in self.pictures]

    def read(self, row: int) -> Pixels:
        file = FilePictures([self.pictures[row].picture], labels=np.zeros(0, np.int64))
        # As stored, whatever the EXIF orientation: the boxes are for the stored pixels.
        return read_pixels(file, 0, image_size=None, channels=3, upright=False)


class Header(NamedTuple):
    """What is known of a picture before it is decoded."""

    width: int
    height: int
    size_bytes: int


def read_header(file: Path) -> Header:
    """Raises `UserError` for a file that is missing or not a picture."""
    try:
        with Image.open(file) as image:  # reads the header only
            return Header(*image.size, file.stat().st_size)
    except UnidentifiedImageError:
        raise UserError(f"{file}: the image cannot be read (it is {what_it_is(file)})") from None
    except OSError as error:
        raise UserError(f"{file}: cannot be read ({error.strerror or error})") from None


def content_hash(class_names: Sequence[str], parts: Sequence[Sequence[AnnotatedPicture]]) -> str:
    """A digest of names, encoded sizes and annotations, but not of the pixels: reading the pictures would
    take minutes."""
    digest = hashlib.sha256(json.dumps(class_names).encode())
    for pictures in parts:
        digest.update(json.dumps([[one.name, one.size_bytes] for one in pictures]).encode())
        hash_annotations(digest, (one.annotation for one in pictures))
    return digest.hexdigest()
