"""A video data set as a task sees it: splits that give the clips that the task requests.

A task requests a clip by a `ClipRequest`: the decoded frames and their order depend on the requests alone,
however many processes decode. Clips are uint8 `[B, C, T, H, W]`.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import tee
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from ndabench.errors import UserError


class ClipRequest(NamedTuple):
    """The `frames` frames `first`, `first + stride`, … of a video; past its end, its last frame again."""

    video: int
    first: int
    frames: int
    stride: int = 1

    @property
    def span(self) -> int:
        """Frames of the video from the clip's first to its last, both included."""
        return (self.frames - 1) * self.stride + 1

    def indices(self, num_frames: int) -> list[int]:
        """The clip's frames in a video of `num_frames`, `[frames]`."""
        assert 0 <= self.first < num_frames
        assert self.frames >= 1
        assert self.stride >= 1
        return [min(self.first + step * self.stride, num_frames - 1) for step in range(self.frames)]


ClipBatch = Sequence[ClipRequest]
"""Clips of one length that make up a batch."""


class ClipSplit(Protocol):
    """One split of a data set, in device memory or decoded when needed."""

    @property
    def labels(self) -> Tensor:
        """int64 `[N]` on the CPU."""
        ...

    @property
    def num_frames(self) -> Sequence[int]:
        """How many frames each of the N videos has (at the configured rate, where there is one)."""
        ...

    def __len__(self) -> int: ...

    def clips(self, batches: Iterable[ClipBatch]) -> Iterator[tuple[Tensor, Tensor]]:
        """For every batch of B requests: (uint8 `[B, C, T, H, W]`, int64 `[B]`) on the device.

        Requests may be read ahead of the clips that are given out. Raises `UserError` naming the file where
        a video cannot be read, and for clips that the memory cannot hold.
        """
        ...

    def windows(self, video: int, frames: int, stride: int, overlap: float) -> list[ClipRequest]:
        """The clips that together cover a whole video: see `covering_windows`."""
        ...

    def require_room(self, num_clips: int, frames: int) -> None:
        """`UserError`, saying what would fit, where the memory cannot hold such batches of clips."""
        ...


@dataclass(frozen=True)
class ClipData:
    """A video data set ready for training: three splits that share no video."""

    name: str
    content_hash: str
    """Hex digest of the videos, how they are decoded, labels, class names and the cut into splits."""
    class_names: tuple[str, ...]
    frame_shape: tuple[int, int, int]
    """(C, H, W)."""
    train: ClipSplit
    validation: ClipSplit
    test: ClipSplit
    unreadable: tuple[str, ...] = ()
    """A line for every listed video that was left out because it cannot be read (`unreadable: skip`)."""
    notes: tuple[str, ...] = ()
    """What a reader of the results should know about how the files were understood, a line each."""
    kept: str = ""
    """What is kept of the decoded frames and how large they are, a line for the user."""

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """The shape of a frame, by the name that data sets of images have for theirs."""
        return self.frame_shape


def covering_windows(
    video: int, num_frames: int, frames: int, stride: int, overlap: float
) -> list[ClipRequest]:
    """Windows of `frames` frames from the first frame of a video to its last; the last one ends with it.

    Neighbours share the part `overlap` in [0, 1) of their frames (the last two may share more), 0.5 in DPC's
    test. A video shorter than a window has one, which is padded.
    """
    if not 0 <= overlap < 1:
        raise UserError(f"overlap {overlap:g} of windows must be at least 0 and less than 1")
    last = max(num_frames - ClipRequest(video, 0, frames, stride).span, 0)
    step = max(round(frames * (1 - overlap)), 1) * stride
    firsts = [*range(0, last, step), last]
    return [ClipRequest(video, first, frames, stride) for first in firsts]


def spread_windows(video: int, num_frames: int, frames: int, stride: int, count: int) -> list[ClipRequest]:
    """`count` windows at equal distances, from the first frame of a video to its last, as far as they differ.

    A video shorter than a window has one, which is padded.
    """
    last = max(num_frames - ClipRequest(video, 0, frames, stride).span, 0)
    firsts = sorted({round(last * number / (count - 1)) for number in range(count)})
    return [ClipRequest(video, first, frames, stride) for first in firsts]


@dataclass(frozen=True)
class ConcatClips:
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
