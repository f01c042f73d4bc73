"""A flipped bit in a large file of the cache, the records or the checkpoints is noticed, or changes nothing.

The tests of each of these flip every bit of small files. Here it is a seeded sample of the bits of files of
a million bytes; `make release-check` flips one bit of every byte of files of a quarter million.
"""

import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ndabench.data.build_cache import build_once, problem_of
from ndabench.measurement import Measurement
from ndabench.records import RecordStore
from ndabench.records.damage import DamagedError
from ndabench.trials.checkpoints import _unpacked, save_checkpoint

LARGE, QUARTER = 1_000_000, 250_000
SAMPLED = 400
"""Flips of a large file: half of them anywhere, the others within `EDGE` bytes of its ends, where formats
keep what gives the rest its meaning."""
EDGE = 4096


@dataclass(frozen=True)
class Stored:
    """A file as ndabench wrote it."""

    content: bytes
    read: Callable[[bytes], Any]
    """What ndabench makes of such content; raises where it is noticed to be damaged."""


def in_the_cache(folder: Path, size: int) -> Stored:
    """An array, as data sets are kept."""
    pixels = np.random.default_rng(0).integers(0, 256, size, np.uint8)
    entry = build_once(folder, "key", lambda made: np.save(made / "pixels.npy", pixels))

    def read(content: bytes) -> bytes:
        (entry / "pixels.npy").write_bytes(content)
        if problem := problem_of(entry):
            raise DamagedError(problem)
        return content

    return Stored((entry / "pixels.npy").read_bytes(), read)


def in_the_records(folder: Path, size: int) -> Stored:
    """The metrics of a trial: per row a random value and a random time, which nothing compresses."""
    store, values = RecordStore(str(folder)), random.Random(1)
    rows = {f"loss_{i}": Measurement(values.random(), seconds=values.random()) for i in range(size // 20)}
    store.write_progress("s", "none-01", 5, rows, {})
    store.compact("none-01")
    parsed = store._table("metrics")._parsed
    return Stored((folder / "metrics" / "none-01.parquet").read_bytes(), lambda content: parsed(content))


def in_a_checkpoint(folder: Path, size: int) -> Stored:
    """The weights of a network."""
    weights = torch.randn(size // 4, generator=torch.Generator().manual_seed(2))
    store = RecordStore(str(folder))
    task = {"made_by": {}, "step": 4, "streams": {}, "weights": weights}
    save_checkpoint(store, "none-0", 4, {"task": task, "seconds": 1.5, "num_images": 8})
    content = store.read_bytes("checkpoints/none-0/000000004.pt") or b""

    def read(content: bytes) -> Any:
        state = _unpacked(content)
        return {**state, "task": {**state["task"], "weights": state["task"]["weights"].numpy().tobytes()}}

    return Stored(content, read)


KINDS = [in_the_cache, in_the_records, in_a_checkpoint]


def unnoticed(stored: Stored, flips: Iterable[tuple[int, int]]) -> int:
    """How many of `flips` (byte, bit) ndabench does not notice; fails where one changes what it reads."""
    whole, count = stored.read(stored.content), 0
    for place, bit in flips:
        changed = bytearray(stored.content)
        changed[place] ^= 1 << bit
        try:
            read = stored.read(bytes(changed))
        except Exception:  # whatever a damaged file raises: it is passed over
            continue
        assert read == whole, (place, bit)
        count += 1
    return count


def sampled(size: int, seed: int) -> Iterator[tuple[int, int]]:
    places = random.Random(seed)
    for _ in range(SAMPLED // 4):
        for low, high in ((0, size), (0, size), (0, EDGE), (size - EDGE, size)):
            yield places.randrange(low, high), places.randrange(8)


@pytest.mark.parametrize("kind", KINDS)
def test_a_sample_of_the_bits_of_a_large_file(kind: Callable[..., Stored], tmp_path: Path) -> None:
    """400 flips of each of three files of one to two million bytes.

    Unnoticed may be those in the words before a checksum: the file then counts as one of an older version,
    and everything else is as it was.
    """
    stored = kind(tmp_path, LARGE)
    assert LARGE <= len(stored.content) < 2 * LARGE
    assert unnoticed(stored, sampled(len(stored.content), seed=15)) <= 4


@pytest.mark.release
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kind", KINDS)
def test_a_bit_of_every_byte_of_a_file_of_a_quarter_million(
    kind: Callable[..., Stored], tmp_path: Path
) -> None:
    """Some 250,000 to 500,000 flips of each."""
    stored = kind(tmp_path, QUARTER)
    size = len(stored.content)
    assert QUARTER <= size < 2 * QUARTER
    assert unnoticed(stored, ((place, place % 8) for place in range(size))) <= 64
