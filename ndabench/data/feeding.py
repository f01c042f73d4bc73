"""The two ways in which a split's images reach the device: from a tensor that lives there, or by decoding.

Both give the same pixels for the same indices.
"""

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor
from torch.utils.data import Dataset

from ndabench.data.decoded_batches import Batch, decoded_batches, decoding_processes
from ndabench.data.images import ImageSplit
from ndabench.data.source import Pictures, read_pixels
from ndabench.distributed import Workers
from ndabench.errors import UserError


class ResidentSplit:
    """Rows of a uint8 tensor `[M, C, H, W]` on the device, which several splits may share."""

    def __init__(self, images: Tensor, labels: Tensor, rows: Tensor) -> None:
        """`labels`: int64 `[N]` of the split's own N images; `rows`: their rows in `images`, `[N]`."""
        self.labels = labels
        self._images = images
        self._rows_there = rows.to(images.device)
        self._labels_there = labels.to(images.device)

    def __len__(self) -> int:
        return len(self.labels)

    def batches(self, index_batches: Iterable[Tensor]) -> Iterator[Batch]:
        for index in index_batches:
            there = index.to(self._images.device, non_blocking=True)
            yield self._images[self._rows_there[there]], self._labels_there[there]


class StreamedSplit:
    """Pictures that worker processes decode just before they are needed."""

    def __init__(
        self,
        pictures: Pictures,
        labels: Tensor,
        rows: Tensor,
        *,
        image_size: int | None,
        channels: int,
        workers: int,
        device: torch.device,
    ) -> None:
        """`labels`: int64 `[N]` of the split's own N images; `rows`: their rows in `pictures`, `[N]`."""
        self.labels = labels
        self._decoded = _Decoded(pictures, labels, rows, image_size, channels)
        self._processes = decoding_processes(workers)
        self._device = device

    def __len__(self) -> int:
        return len(self.labels)

    def batches(self, index_batches: Iterable[Tensor]) -> Iterator[Batch]:
        wanted = (index.tolist() for index in index_batches)
        yield from decoded_batches(self._decoded, wanted, processes=self._processes, device=self._device)


def global_batches(split: ImageSplit, index_batches: Iterable[Tensor], workers: Workers) -> Iterator[Batch]:
    """Whole batches on every worker; each worker decodes its share of a streamed split, then all exchange."""
    if workers.world_size == 1 or not isinstance(split, StreamedSplit):
        yield from split.batches(index_batches)
        return
    for images, labels in split.batches(workers.shard(index) for index in index_batches):
        yield workers.all_gather(images), workers.all_gather(labels)


class _Decoded(Dataset[Batch]):
    def __init__(
        self, pictures: Pictures, labels: Tensor, rows: Tensor, image_size: int | None, channels: int
    ) -> None:
        self.pictures, self.labels, self.rows = pictures, labels, rows
        self.image_size, self.channels = image_size, channels

    def __getitems__(self, index: list[int]) -> Batch | str:
        """For `decoded_batches`."""
        try:
            pixels = [
                torch.tensor(read_pixels(self.pictures, int(self.rows[i]), self.image_size, self.channels))
                for i in index
            ]
        except UserError as error:
            return str(error)
        return torch.stack(pixels), self.labels[index]
