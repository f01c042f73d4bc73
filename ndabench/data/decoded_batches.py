"""Batches that separate processes decode just before they are needed: streamed images and videos."""

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ndabench.errors import UserError
from ndabench.machine import usable_cpus
from ndabench.scratch import require_short_path

BATCHES_AHEAD = 2
"""Batches that each decoding process keeps ready or is decoding."""

LONGEST_SOCKET = "pymp-abcdefgh/listener-abcdefgh"
"""Of Python's multiprocessing, over which the processes send their batches."""

Batch = tuple[Tensor, Tensor]


def decoding_processes(wanted: int) -> int:
    """The number of decoding processes if `wanted` are requested: at most one per core."""
    return min(wanted, usable_cpus())


def decoded_batches(
    examples: Dataset[Batch], batches: Iterable[Sequence[Any]], *, processes: int, device: torch.device
) -> Iterator[Batch]:
    """Yields what the `__getitems__` of `examples` returns for each of `batches`, in order, on the device.

    `__getitems__` gives a whole batch, or the line of a `UserError`, which is raised here: raised in a
    decoding process, it would arrive as a traceback. The processes end when the iterator is dropped; with
    none, this process decodes.
    """
    if processes:
        remedy = "set TMPDIR to a shorter one, such as /tmp, or decode_workers to 0"
        require_short_path(Path(tempfile.gettempdir()), LONGEST_SOCKET, "TMPDIR", remedy)
    # Any iterable of batches serves, and whatever `__getitems__` gives; the stubs want lists.
    sampler: Any = batches
    as_it_is: Any = _as_it_is
    loader: DataLoader[Any] = DataLoader(
        examples,
        batch_sampler=sampler,
        collate_fn=as_it_is,
        num_workers=processes,
        prefetch_factor=BATCHES_AHEAD if processes else None,
        pin_memory=device.type == "cuda",
        generator=torch.Generator(),  # or it would draw from the global one
    )
    for batch in loader:
        if isinstance(batch, str):
            raise UserError(batch)
        decoded, labels = batch
        yield decoded.to(device, non_blocking=True), labels.to(device, non_blocking=True)


def _as_it_is(batch: Batch | str) -> Batch | str:
    return batch
