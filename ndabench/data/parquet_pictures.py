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
from ndabench.data.source import Source
from ndabench.data.splits import Rows
from ndabench.errors import UserError, nearest

IMAGE_COLUMNS = ("img", "image")
LABEL_COLUMNS = ("label", "labels", "fine_label")


def open_parquet(
    split_files: Mapping[SplitName, Sequence[Path]], image_column: str | None, label_column: str | None
) -> Source:
    """The files of each split, loaded but not decoded; where no file names the classes, their numbers do."""
    splits = {
        split: ParquetPictures([ParquetFile.open(file, image_column, label_column) for file in files])
        for split, files in split_files.items()
    }
    class_names = _agreed_class_names([file for pictures in splits.values() for file in pictures.files])
    if class_names is None:
        highest = max((int(p.labels.max()) for p in splits.values() if len(p.labels)), default=0)
        class_names = tuple(str(label) for label in range(highest + 1))
    return Source(splits, class_names)


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

    @property
    def labels(self) -> Rows:
        return np.concatenate([file.labels for file in self.files])

    def where(self, row: int) -> str:
        file, row_in_file = self._locate(row)
        return f"{file.path} row {row_in_file}"

    def read(self, row: int) -> Image.Image:
        file, row_in_file = self._locate(row)
        encoded = file.images[row_in_file].as_buffer()
        if encoded is None:
            raise ValueError("the row has no image bytes")
        return Image.open(io.BytesIO(encoded))

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
