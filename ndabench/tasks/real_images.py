"""The real images of a training: their order, their flips, their positive augmentation."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ndabench.augmentations.compose import Augmentation
from ndabench.data.feeding import global_batches
from ndabench.data.images import ImageSplit, to_float, to_uint8
from ndabench.data.sampling import shuffled_batches
from ndabench.data.sheets import COLUMNS, comparison_sheet
from ndabench.distributed import Workers
from ndabench.tasks.judging import Batch
from ndabench.tasks.random_streams import random_stream, stream_seed


@dataclass(frozen=True)
class RealImages:
    """Global batches of a split as the discriminator is to see them, alike on every worker."""

    split: ImageSplit
    batch_size: int
    seed: int
    positive: Augmentation | None
    horizontal_flip: bool
    conditional: bool
    """Without it all labels are 0."""
    workers: Workers

    def batches(self, streams: Mapping[str, torch.Generator], *, start: int) -> Iterator[Batch]:
        """Batches without end from batch `start` on, drawing on the streams "flips" and "positives"."""
        order = stream_seed(self.seed, "order")
        indices = shuffled_batches(len(self.split), self.batch_size, seed=order, start=start)
        return (
            self._prepared(*batch, streams) for batch in global_batches(self.split, indices, self.workers)
        )

    def _prepared(self, images: Tensor, labels: Tensor, streams: Mapping[str, torch.Generator]) -> Batch:
        shown = to_float(images)
        if self.horizontal_flip:
            shown = flip_half(shown, generator=streams["flips"])
        if self.positive is not None:
            shown = self.positive(shown, generator=streams["positives"])
        return shown, labels if self.conditional else torch.zeros_like(labels)

    def before_and_after(self, augmentation: Augmentation, device: torch.device) -> bytes:
        """A PNG sheet of the first few images above what `augmentation` makes of them."""
        indices = torch.arange(min(4 * COLUMNS, len(self.split)))
        images, _ = next(iter(self.split.batches([indices])))
        stream = random_stream(self.seed, "augmentation sheet", device)
        return comparison_sheet(images, to_uint8(augmentation(to_float(images), generator=stream)))


def flip_half(images: Tensor, *, generator: torch.Generator) -> Tensor:
    """Mirrors each image left to right with probability ½."""
    chosen = torch.rand(len(images), 1, 1, 1, generator=generator, device=images.device) < 0.5
    return torch.where(chosen, images.flip(-1), images)
