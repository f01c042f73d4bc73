"""Two splits as one."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import tee

import torch
from torch import Tensor

from ndabench.data.images import ImageSplit


@dataclass(frozen=True)
class JoinedSplit:
    """The images of `first`, and after them those of `second`, which live on the same device."""

    first: ImageSplit
    second: ImageSplit

    @property
    def labels(self) -> Tensor:
        return torch.cat([self.first.labels, self.second.labels])

    def __len__(self) -> int:
        return len(self.first) + len(self.second)

    def batches(self, index_batches: Iterable[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        indices, for_first, for_second = tee(index_batches, 3)
        cut = len(self.first)
        # A streamed split cannot make an empty batch.
        first = self.first.batches(part for index in for_first if len(part := index[index < cut]))
        second = self.second.batches(part - cut for index in for_second if len(part := index[index >= cut]))
        for index in indices:
            in_first = index < cut
            sources = [source for source, used in ((first, in_first), (second, ~in_first)) if used.any()]
            images, labels = zip(*map(next, sources), strict=True)
            place = torch.cat([in_first.nonzero(), (~in_first).nonzero()]).squeeze(1).argsort()
            place = place.to(images[0].device, non_blocking=True)
            yield torch.cat(images)[place], torch.cat(labels)[place]
