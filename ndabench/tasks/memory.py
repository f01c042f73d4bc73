"""Running out of memory, as one line that names the settings to lower."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from ndabench.errors import OutOfMemoryError

SIGNS = ("out of memory", "can't allocate memory", "ALLOC_FAILED")
"""What CUDA, PyTorch on a CPU, and NVIDIA's libraries say; they raise several types."""
WANTED = re.compile(r"ried to allocate ([\d.]+ \w+)")


@contextmanager
def memory_for(work: str, remedy: str) -> Iterator[None]:
    """Where memory runs out in the block: `OutOfMemoryError`, naming the `work` and the `remedy`."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        wanted = WANTED.search(str(error))
        amount = f" (it asked for {wanted[1]} more)" if wanted else ""
        raise OutOfMemoryError(f"{work} ran out of memory{amount}: {remedy}") from error


def is_out_of_memory(error: BaseException) -> bool:
    """Whether any allocator raised it, on whatever device."""
    known = isinstance(error, torch.OutOfMemoryError | MemoryError)
    return known or any(sign in str(error) for sign in SIGNS)


def lower(config: Any, names: Sequence[str]) -> str:
    """`lower batch_size (64) or width (16)`: every key of `names` that the configuration has and sets.

    `encoder.width` is the key `width` of its part `encoder`.
    """
    found = []
    for name in names:
        value = config
        for key in name.split("."):
            value = getattr(value, key, None)
        if isinstance(value, int) and value:
            found.append(f"{name} ({value})")
    return f"lower {' or '.join(found)}" if found else "it needs a device with more memory"
