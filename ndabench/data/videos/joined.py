"""Two splits of videos as one."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import tee

import torch
from torch import Tensor

from ndabench.data.videos.clips import ClipBatch, ClipRequest, ClipSplit, covering_windows


@dataclass(frozen=True)
class JoinedClips:
    """The videos of `first`, and after them those of `second`, which live on the same device."""

    first: ClipSplit
    second: ClipSplit

    @property
    def labels(self) -> Tensor:
        return torch.cat([self.first.labels, self.second.labels])

    @property
    def num_frames(self) -> list[int]:
        return [*self.first.num_frames, *self.second.num_frames]

    def __len__(self) -> int:
        return len(self.first) + len(self.second)

    def clips(self, batches: Iterable[ClipBatch]) -> Iterator[tuple[Tensor, Tensor]]:
        batches, for_first, for_second = tee(batches, 3)
        cut = len(self.first)

        def of_first(requests: ClipBatch) -> list[ClipRequest]:
            return [request for request in requests if request.video < cut]

        def of_second(requests: ClipBatch) -> list[ClipRequest]:
            return [
                request._replace(video=request.video - cut) for request in requests if request.video >= cut
            ]

        # Nothing can be decoded of an empty batch.
        first = self.first.clips(filter(None, map(of_first, for_first)))
        second = self.second.clips(filter(None, map(of_second, for_second)))
        for requests in batches:
            in_first = torch.tensor([request.video < cut for request in requests])
            sources = [source for source, used in ((first, in_first), (second, ~in_first)) if used.any()]
            clips, labels = zip(*map(next, sources), strict=True)
            place = torch.cat([in_first.nonzero(), (~in_first).nonzero()]).squeeze(1).argsort()
            place = place.to(clips[0].device, non_blocking=True)
            yield torch.cat(clips)[place], torch.cat(labels)[place]

    def windows(self, video: int, frames: int, stride: int, overlap: float) -> list[ClipRequest]:
        return covering_windows(video, self.num_frames[video], frames, stride, overlap)

    def require_room(self, num_clips: int, frames: int) -> None:
        for part in (self.first, self.second):
            part.require_room(num_clips, frames)
