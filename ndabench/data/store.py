"""Decoding a data set once: the cache of decoded images that all trials share.

It has two levels of entries below `cache_folder()/images`. `keys/<key>` leads from the cheap identity of a
configuration (its decoding keys and its files' names, sizes and times) to a manifest with the hash of the
decoded content; `content/<hash>` holds that content as `.npy` files, which are mapped into memory, so that
trials on one machine share their pages. A set that is to be streamed is decoded once for its manifest
(which also finds every broken image before training starts), but its pixels are not kept.
"""

import hashlib
import json
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from ndabench.config import Config
from ndabench.data.build_cache import build_once, cache_folder, finish_entry, unfinished_entry
from ndabench.data.config import SplitName
from ndabench.data.progress import told
from ndabench.data.source import ImageConfig, Pictures, Pixels, Source, read_pixels
from ndabench.data.splits import Rows
from ndabench.errors import UserError, first_of
from ndabench.machine import usable_cpus

MANIFEST = "manifest.json"
FORMAT = 2
"""Part of every key; raise it when decoding gives other pixels or the cache has another layout."""
RESIDENT_LIMIT_BYTES = 4 * 2**30
"""`stream: auto` streams a set whose decoded images take more."""
WINDOW = 1024
"""Images that are decoded before they are hashed and written together."""

Shape = tuple[int, int, int]

_log = logging.getLogger(__name__)


class Manifest(Config):
    """What is known after the whole set was decoded."""

    decoded_hash: str
    """SHA-256 of class names, shape, labels and pixels of all of the source's splits."""
    class_names: tuple[str, ...]
    image_shape: Shape
    splits: tuple[SplitName, ...]
    streamed: bool
    notes: tuple[str, ...] = ()
    """Those of the source."""


def decode_once(config: ImageConfig) -> Manifest:
    """The set's manifest; the first process to ask decodes the set, others wait for it.

    Raises `UserError` naming file and row of the first image or label that is broken.
    """
    content, key = cache_folder() / "images" / "content", _key(config)

    def build(entry: Path) -> None:
        (entry / MANIFEST).write_text(_decode(config, content, key).model_dump_json(), encoding="utf-8")

    keys = cache_folder() / "images" / "keys"
    return _manifest(build_once(keys, key, build, partial(_kept_content, content)))


def read_decoded(manifest: Manifest) -> dict[SplitName, tuple[Pixels, Rows]]:
    """Images uint8 `[N, C, H, W]`, mapped into memory, and labels of each split that the source has."""
    content = cache_folder() / "images" / "content" / manifest.decoded_hash
    return {
        # Copy-on-write, because torch wants writable memory; nothing is ever written to it.
        name: (
            np.load(content / f"{name}_images.npy", mmap_mode="c"),
            np.load(content / f"{name}_labels.npy"),
        )
        for name in manifest.splits
    }


def _key(config: ImageConfig) -> str:
    """A key that identifies the decoded content: the configuration, and names, sizes and times of the
    files."""
    try:
        stats = [(str(file), file.stat()) for file in config.files()]
    except OSError as error:
        raise UserError(f"{error.filename}: cannot be read ({error.strerror})") from None
    files = [(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats]
    identity = json.dumps([FORMAT, config.decoding(), config.stream, files], sort_keys=True)
    return hashlib.sha256(identity.encode()).hexdigest()[:32]


def _manifest(entry: Path) -> Manifest:
    return Manifest.model_validate_json((entry / MANIFEST).read_text(encoding="utf-8"))


def _kept_content(content: Path, entry: Path) -> Path | None:
    """The decoded images that the manifest in `entry` leads to; None where they are streamed."""
    manifest = _manifest(entry)
    return None if manifest.streamed else content / manifest.decoded_hash


def _decode(config: ImageConfig, content: Path, key: str) -> Manifest:
    """Decodes and checks every image and stores the result; the caller holds the key's lock."""
    source = opened(config)
    _check_labels(source)
    shape = _shape(read_pixels(source.splits["train"], 0, config.image_size, config.channels))
    total = sum(len(pictures.labels) for pictures in source.splits.values())
    _log.info("decoding %s pictures of %s, once; cached in %s", f"{total:,}", config.title, content)
    streamed = _streams(config.stream, source, shape)
    with unfinished_entry(content, key) as unfinished:
        decoded_hash = _decode_splits(config, source, shape, None if streamed else unfinished)
        if not streamed:
            finish_entry(unfinished, content / decoded_hash)
    return Manifest(
        decoded_hash=decoded_hash,
        class_names=source.class_names,
        image_shape=shape,
        splits=tuple(sorted(source.splits)),
        streamed=streamed,
        notes=source.notes,
    )


def opened(config: ImageConfig) -> Source:
    """`config.open()`, where a file that cannot be read is a `UserError`."""
    try:
        return config.open()
    except OSError as error:
        raise UserError(f"{error.filename or config.title}: cannot be read ({error.strerror})") from None


def _check_labels(source: Source) -> None:
    num_classes = len(source.class_names)
    for name, pictures in source.splits.items():
        labels = pictures.labels
        if not len(labels):
            raise UserError(f"{name}: there are no images in this split")
        outside = np.flatnonzero((labels < 0) | (labels >= num_classes))
        if len(outside):
            row = int(outside[0])
            raise UserError(
                f"{pictures.where(row)}: label {labels[row]} is not one of the {num_classes} classes "
                f"(0 to {num_classes - 1})"
            )
    counts = np.bincount(source.splits["train"].labels, minlength=num_classes)
    absent = [name for name, count in zip(source.class_names, counts, strict=True) if not count]
    if absent:
        raise UserError(f"{len(absent)} of {num_classes} classes have no training image: {first_of(absent)}")


def _streams(stream: bool | Literal["auto"], source: Source, shape: Shape) -> bool:
    if stream != "auto":
        return stream
    num_images = sum(len(pictures.labels) for pictures in source.splits.values())
    return num_images * int(np.prod(shape)) > RESIDENT_LIMIT_BYTES


def _decode_splits(config: ImageConfig, source: Source, shape: Shape, folder: Path | None) -> str:
    """The hash of everything, decoded; where there is a `folder`, the arrays are written to it."""
    digest = hashlib.sha256(json.dumps([source.class_names, shape]).encode())
    for name in sorted(source.splits):
        pictures = source.splits[name]
        labels = pictures.labels.astype("<i8")
        digest.update(f"{name} {len(labels)}".encode())
        digest.update(labels.tobytes())
        if folder is None:
            for pixels in _windows(config, pictures, shape):
                digest.update(pixels.data)
            continue
        np.save(folder / f"{name}_labels.npy", labels)
        with (folder / f"{name}_images.npy").open("wb") as file:
            # Written, not mapped: a full disk under a mapping would kill the process.
            header = {"descr": "|u1", "fortran_order": False, "shape": (len(labels), *shape)}
            np.lib.format.write_array_header_1_0(file, header)
            for pixels in _windows(config, pictures, shape):
                digest.update(pixels.data)
                file.write(pixels.data)
    return digest.hexdigest()


def _windows(config: ImageConfig, pictures: Pictures, shape: Shape) -> Iterator[Pixels]:
    """All images in order, uint8 `[n, C, H, W]`, decoded in threads (Pillow frees the interpreter lock)."""

    def read(row: int) -> Pixels:
        pixels = read_pixels(pictures, row, config.image_size, config.channels)
        if pixels.shape != shape:
            raise UserError(
                f"{pictures.where(row)}: the image is {pixels.shape[2]}×{pixels.shape[1]}, the first one "
                f"{shape[2]}×{shape[1]}; an image_size would bring all to one size"
            )
        return pixels

    num_rows = len(pictures.labels)
    with ThreadPoolExecutor(usable_cpus()) as pool:
        for start in told(range(0, num_rows, WINDOW), f"decoding {config.title}", num_rows, WINDOW):
            yield np.stack(list(pool.map(read, range(start, min(start + WINDOW, num_rows)))))


def _shape(pixels: Pixels) -> Shape:
    channels, height, width = pixels.shape
    return channels, height, width
