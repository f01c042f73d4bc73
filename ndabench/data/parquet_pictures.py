"""Encoded images and labels from Parquet files; `image_parquet.py` describes the files."""

import bisect
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from PIL import Image

from ndabench.data.config import SplitName
from ndabench.data.source import Source, decoded
from ndabench.data.splits import Rows
from ndabench.errors import UserError, first_of, nearest

IMAGE_COLUMNS = ("img", "image")
LABEL_COLUMNS = ("label", "labels", "fine_label")


def open_parquet(
    split_files: Mapping[SplitName, Sequence[Path]],
    image_column: str | None,
    label_column: str | None,
    *,
    notes: tuple[str, ...] = (),
) -> Source:
    """The files of each split, loaded but not decoded; `notes` are passed on.

    The classes are those of the training images: their labels, of any size, are numbered 0, 1, … in ascending
    order, and a note says where this changes them. Where no file names the classes, their labels do. Raises
    `UserError` for a label without a training image.
    """
    splits = {
        split: ParquetPictures.of([ParquetFile.open(file, image_column, label_column) for file in files])
        for split, files in split_files.items()
    }
    declared = _agreed_class_names([file for pictures in splits.values() for file in pictures.files])
    for pictures in splits.values():
        _require_known_labels(pictures, declared)
    known = np.unique(splits["train"].labels)
    if not len(known):
        return Source(splits, declared or (), notes)
    for split, pictures in splits.items():
        _require_trained_labels(split, pictures, known)
    dense = {
        split: ParquetPictures(pictures.files, np.searchsorted(known, pictures.labels))
        for split, pictures in splits.items()
    }
    class_names = tuple(declared[label] if declared else str(label) for label in known)
    return Source(dense, class_names, (*notes, *_numbering(known, declared)))


def _require_known_labels(pictures: "ParquetPictures", declared: Sequence[str] | None) -> None:
    """`UserError` for a label below 0, by which hubs mark images whose class is secret, or without a name."""
    labels = pictures.labels
    outside = labels < 0 if declared is None else (labels < 0) | (labels >= len(declared))
    if not outside.any():
        return
    row = int(np.flatnonzero(outside)[0])
    if declared is None:
        raise UserError(f"{pictures.where(row)}: label {labels[row]} is not a class; classes count from 0")
    raise UserError(
        f"{pictures.where(row)}: label {labels[row]} is not one of the {len(declared)} classes "
        f"(0 to {len(declared) - 1})"
    )


def _require_trained_labels(split: SplitName, pictures: "ParquetPictures", known: Rows) -> None:
    strange = np.flatnonzero(~np.isin(pictures.labels, known))
    if len(strange):
        row = int(strange[0])
        raise UserError(
            f"{pictures.where(row)}: label {pictures.labels[row]} of the {split} split has no training image"
        )


def _numbering(known: Rows, declared: Sequence[str] | None) -> tuple[str, ...]:
    """A note that says which label became which class, where they are not the same."""
    if declared is not None:
        present = set(known.tolist())
        absent = [name for label, name in enumerate(declared) if label not in present]
        if not absent:
            return ()
        return (
            f"{len(absent)} of {len(declared)} classes have no images and are left out: {first_of(absent)}",
        )
    if np.array_equal(known, np.arange(len(known))):
        return ()
    return (f"labels {first_of(known.tolist())} of the files are the classes 0 to {len(known) - 1}",)


@dataclass(frozen=True)
class ParquetFile:
    """One file in memory: the encoded images and their labels."""

    path: Path
    images: pa.ChunkedArray
    labels: Rows
    class_names: tuple[str, ...] | None

    @classmethod
    def open(cls, path: Path, image_column: str | None, label_column: str | None) -> "ParquetFile":
        try:
            schema = pq.read_schema(path)
            image_name = _column(path, schema, "image", image_column, IMAGE_COLUMNS)
            label_name = _column(path, schema, "label", label_column, LABEL_COLUMNS)
            table = pq.read_table(path, columns=list({image_name, label_name}), partitioning=None)
        except (pa.ArrowException, OSError) as error:
            raise UserError(f"{path}: not a readable Parquet file ({str(error).splitlines()[0]})") from None
        images = _encoded(path, table.column(image_name), image_name)
        labels = _labels(path, table.column(label_name), label_name)
        return cls(path, images, labels, _class_names(schema, label_name))


@dataclass(frozen=True)
class ParquetPictures:
    """The rows of a split's files, one file after the other."""

    files: Sequence[ParquetFile]
    labels: Rows

    @classmethod
    def of(cls, files: Sequence[ParquetFile]) -> "ParquetPictures":
        """With the labels that the files hold."""
        return cls(files, np.concatenate([file.labels for file in files]))

    def where(self, row: int) -> str:
        file, row_in_file = self._locate(row)
        return f"{file.path} row {row_in_file}"

    def read(self, row: int) -> Image.Image:
        file, row_in_file = self._locate(row)
        encoded = file.images[row_in_file].as_buffer()
        if encoded is None:
            raise ValueError("the row has no image bytes")
        return decoded(io.BytesIO(encoded))

    def _locate(self, row: int) -> tuple[ParquetFile, int]:
        position = bisect.bisect_right(self._ends, row)
        return self.files[position], row - (self._ends[position - 1] if position else 0)

    @cached_property
    def _ends(self) -> list[int]:
        return list(accumulate(len(file.labels) for file in self.files))


def _column(path: Path, schema: pa.Schema, kind: str, asked: str | None, usual: Sequence[str]) -> str:
    candidates = [asked] if asked is not None else usual
    for name in candidates:
        if name in schema.names:
            return name
    raise UserError(
        f"{path}: has no {kind} column {' or '.join(map(repr, candidates))}"
        f"{nearest(candidates[0], schema.names)} (its columns: {', '.join(schema.names)}); "
        f"name it with {kind}_column"
    )


def _encoded(path: Path, column: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    """The encoded images as one binary column."""
    if pa.types.is_struct(column.type) and column.type.get_field_index("bytes") >= 0:
        column = pc.struct_field(column, "bytes")
    if not (pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type)):
        raise UserError(
            f"{path}: column {name!r} holds {column.type}, not images (struct<bytes, path> or binary)"
        )
    return column


def _labels(path: Path, column: pa.ChunkedArray, name: str) -> Rows:
    if not pa.types.is_integer(column.type):
        raise UserError(f"{path}: column {name!r} holds {column.type}, not integer labels")
    if column.null_count:
        row = int(np.flatnonzero(column.is_null().to_numpy())[0])
        raise UserError(f"{path} row {row}: column {name!r} is empty")
    return column.to_numpy().astype(np.int64)


def _class_names(schema: pa.Schema, label_column: str) -> tuple[str, ...] | None:
    try:
        metadata: Any = json.loads((schema.metadata or {})[b"huggingface"])
        return tuple(str(name) for name in metadata["info"]["features"][label_column]["names"])
    except (KeyError, TypeError, ValueError):  # absent, or another kind of feature
        return None


def _agreed_class_names(files: Sequence[ParquetFile]) -> tuple[str, ...] | None:
    named = [file for file in files if file.class_names is not None]
    for file in named:
        if file.class_names != named[0].class_names:
            raise UserError(f"{file.path}: its class names differ from those of {named[0].path}")
    return named[0].class_names if named else None
