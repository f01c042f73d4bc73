"""Decoding a data set once: the cache of decoded images that all trials share.

It has two levels below `cache_folder()/images`. `keys/<key>.json` leads from the cheap identity of a
configuration (its decoding keys and its files' names, sizes and times) to a manifest with the hash of the
decoded content; `content/<hash>/` holds that content as `.npy` files, which are mapped into memory, so that
trials on one machine share their pages. A set that is to be streamed is decoded once for its manifest
(which also finds every broken image before training starts), but its pixels are not kept.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import numpy as np
from filelock import FileLock

from ndabench.config import Config
from ndabench.data.build_cache import cache_folder
from ndabench.data.config import SplitName
from ndabench.data.source import ImageConfig, Pictures, Pixels, Source, read_pixels
from ndabench.data.splits import Rows
from ndabench.errors import UserError

FORMAT = 1
"""Part of every key; raise it when decoding gives other pixels or the cache has another layout."""
RESIDENT_LIMIT_BYTES = 4 * 2**30
"""`stream: auto` streams a set whose decoded images take more."""
WINDOW = 1024
"""Images that are decoded before they are hashed and written together."""

Shape = tuple[int, int, int]


class Manifest(Config):
    """What is known after the whole set was decoded."""

    decoded_hash: str
    """SHA-256 of class names, shape, labels and pixels of all of the source's splits."""
    class_names: tuple[str, ...]
    image_shape: Shape
    splits: tuple[SplitName, ...]
    streamed: bool


def decode_once(config: ImageConfig) -> Manifest:
    """The set's manifest; the first process to ask decodes the set, others wait for it.

    Raises `UserError` naming file and row of the first image or label that is broken.
    """
    folder = cache_folder() / "images"
    key = _key(config)
    manifest = _known(folder, key)
    if manifest is not None:
        return manifest
    with _writing(folder):
        for part in ("keys", "content", "locks"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        with FileLock(folder / "locks" / f"{key}.lock"):
            return _known(folder, key) or _decode(config, folder, key)


def read_decoded(manifest: Manifest) -> dict[SplitName, tuple[Pixels, Rows]]:
    """Images uint8 `[N, C, H, W]`, mapped into memory, and labels of each split that the source has."""
    content = _content(cache_folder() / "images", manifest)
    try:
        return {
            # Copy-on-write, because torch wants writable memory; nothing is ever written to it.
            name: (
                np.load(content / f"{name}_images.npy", mmap_mode="c"),
                np.load(content / f"{name}_labels.npy"),
            )
            for name in manifest.splits
        }
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{content}: the cached images are damaged ({error}); delete this folder") from None


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


def _known(folder: Path, key: str) -> Manifest | None:
    try:
        manifest = Manifest.model_validate_json((folder / "keys" / f"{key}.json").read_text())
    except (OSError, ValueError):
        return None
    return manifest if manifest.streamed or _content(folder, manifest).is_dir() else None


def _content(folder: Path, manifest: Manifest) -> Path:
    return folder / "content" / manifest.decoded_hash


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Turns the error of a full or write-protected disk into a `UserError`."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{folder}: the cache cannot be written ({error.strerror or error}); "
            "set NDABENCH_CACHE to a writable folder with free space"
        ) from error


def _decode(config: ImageConfig, folder: Path, key: str) -> Manifest:
    """Decodes and checks every image and stores the result; the caller holds the key's lock."""
    source = opened(config)
    _check_labels(source)
    shape = _shape(read_pixels(source.splits["train"], 0, config.image_size, config.channels))
    streamed = _streams(config.stream, source, shape)
    # One name per key, so that the next process clears away what a killed one left behind.
    unfinished = folder / "content" / f".{key}"
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    try:
        decoded_hash = _decode_splits(config, source, shape, None if streamed else unfinished)
        manifest = Manifest(
            decoded_hash=decoded_hash,
            class_names=source.class_names,
            image_shape=shape,
            splits=tuple(sorted(source.splits)),
            streamed=streamed,
        )
        if not streamed:
            _rename(unfinished, _content(folder, manifest))
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    entry = folder / "keys" / f"{key}.json"
    entry.with_suffix(".new").write_text(manifest.model_dump_json())
    entry.with_suffix(".new").replace(entry)
    return manifest


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
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for start in range(0, num_rows, WINDOW):
            yield np.stack(list(pool.map(read, range(start, min(start + WINDOW, num_rows)))))


def _shape(pixels: Pixels) -> Shape:
    channels, height, width = pixels.shape
    return channels, height, width


def _rename(finished: Path, target: Path) -> None:
    try:
        finished.rename(target)
    except OSError:
        if not target.is_dir():  # else the same content has come by way of another key
            raise
