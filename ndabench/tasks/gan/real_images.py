"""The real images of a training: their order, their flips, their positive augmentation."""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from ndabench.augmentations.compose import Augmentation
from ndabench.data.feeding import global_batches
from ndabench.data.images import to_float, to_uint8
from ndabench.data.sampling import shuffled_batches
from ndabench.data.sheets import COLUMNS, comparison_sheet
from ndabench.random_streams import stream_seed
from ndabench.tasks.setup import TrialSetup

Batch = tuple[Tensor, Tensor]
"""Images `[N, C, H, W]`, float in [-1, 1], and their labels `[N]`."""


class RealImages:
    """Global batches of the training split as the discriminator sees them, the same on every worker."""

    def __init__(self, setup: TrialSetup) -> None:
        self.setup, self.split, self.positive = setup, setup.data.train, setup.positive

    def batches(self, streams: Mapping[str, torch.Generator], *, start: int) -> Iterator[Batch]:
        """Batches without end from batch `start` on, drawing from the streams "flips" and "positives"."""
        order = stream_seed(self.setup.seed, "order")
        batch_size = self.setup.config.batch_size
        indices = shuffled_batches(len(self.split), batch_size, seed=order, start=start)
        batches = global_batches(self.split, indices, self.setup.workers)
        return (self._prepared(*batch, streams) for batch in batches)

    def _prepared(self, images: Tensor, labels: Tensor, streams: Mapping[str, torch.Generator]) -> Batch:
        shown = to_float(images)
        if self.setup.horizontal_flip:
            shown = flip_half(shown, generator=streams["flips"])
        if self.positive is not None:
            shown = self.positive(shown, generator=streams["positives"])
        return shown, labels if self.setup.config.conditional else torch.zeros_like(labels)

    def before_and_after(self, augmentation: Augmentation, device: torch.device) -> bytes:
        """A PNG sheet of the first few images above their augmented versions."""
        indices = torch.arange(min(4 * COLUMNS, len(self.split)))
        images, _ = next(iter(self.split.batches([indices])))
        stream = self.setup.stream("augmentation sheet", device)
        return comparison_sheet(images, to_uint8(augmentation(to_float(images), generator=stream)))


def flip_half(images: Tensor, *, generator: torch.Generator) -> Tensor:
    """Mirrors each image left to right with probability ½."""
    chosen = torch.rand(len(images), 1, 1, 1, generator=generator, device=images.device) < 0.5
    return torch.where(chosen, images.flip(-1), images)
