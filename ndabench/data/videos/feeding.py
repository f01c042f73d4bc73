"""The two ways in which clips reach the device: from frames that are kept decoded, or by decoding.

Decoding keeps nothing between clips: it opens a file for each clip and closes it again. Before a batch that
is larger than any before it, `require_room` checks that the memory can hold it.
"""

import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from math import prod
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from ndabench.data.decoded_batches import BATCHES_AHEAD, Batch, decoded_batches, decoding_processes
from ndabench.data.videos.clips import ClipBatch, ClipRequest, ClipSplit, covering_windows
from ndabench.data.videos.facts import VideoFacts, frames_at, shown_frames
from ndabench.data.videos.source import Framing, Pixels, Video
from ndabench.errors import UserError

ReadFrames = Callable[[Path, VideoFacts, Sequence[int], Framing], Pixels]
"""A decoder: frames `wanted` of a scanned video, uint8 RGB `[T, H, W, 3]`."""
SHARED_MEMORY = Path("/dev/shm")
"""Through which decoding processes pass finished clips to the trainer."""
GIB = 2**30


class ScannedVideo(NamedTuple):
    """A listed video that can be read."""

    video: Video
    facts: VideoFacts


class ResidentClips:
    """Clips of frames that are at hand: in the memory of a device, or in a file that is mapped into memory.

    They have three channels, which are equal where the frames are greyscale.
    """

    def __init__(
        self,
        frames: Tensor,
        labels: Tensor,
        starts: Tensor,
        num_frames: Sequence[int],
        *,
        device: torch.device | None = None,
    ) -> None:
        """`frames`: uint8 `[F, C, H, W]`, those of a video one after the other, shared by the splits.

        `labels` and `starts`, the places of the videos' first frames in `frames`: int64 `[N]` on the CPU.
        Clips are given out on `device`; None: where the frames are.
        """
        self.labels, self.num_frames = labels, num_frames
        self._planes, self._starts = frames.flatten(0, 1), starts
        self._channels = frames.shape[1]
        self._device = frames.device if device is None else device

    def __len__(self) -> int:
        return len(self.labels)

    def clips(self, batches: Iterable[ClipBatch]) -> Iterator[Batch]:
        channels = torch.arange(self._channels)[:, None]
        for requests in fitting(self, batches):
            video = torch.tensor([request.video for request in requests])
            frames = torch.tensor([request.indices(self.num_frames[request.video]) for request in requests])
            planes = (self._starts[video, None] + frames)[:, None] * self._channels + channels
            planes = planes.expand(-1, 3, -1)
            there = planes.flatten().to(self._planes.device, non_blocking=True)
            # Copies whole planes, which is ten times as fast on a CPU as indexing.
            clips = self._planes.index_select(0, there).unflatten(0, planes.shape)
            labels = self.labels[video]
            yield clips.to(self._device, non_blocking=True), labels.to(self._device, non_blocking=True)

    def windows(self, video: int, frames: int, stride: int, overlap: float) -> list[ClipRequest]:
        return covering_windows(video, self.num_frames[video], frames, stride, overlap)

    def require_room(self, num_clips: int, frames: int) -> None:
        require_room((num_clips, 3, frames, *self._planes.shape[1:]), 1, shared=False)


def greyscale_clips(videos: Tensor, labels: Tensor, rows: Tensor) -> ResidentClips:
    """A split of greyscale videos of one length, uint8 `[M, T, H, W]`, that live on the device.

    `labels`: int64 `[N]` of the split's own N videos; `rows`: their rows in `videos`, `[N]`; both on the CPU.
    """
    length = videos.shape[1]
    return ResidentClips(videos.flatten(0, 1)[:, None], labels, rows * length, [length] * len(labels))


class DecodedClips:
    """Clips of video files, which worker processes decode just before they are needed."""

    def __init__(
        self,
        videos: Sequence[ScannedVideo],
        *,
        read_frames: ReadFrames,
        framing: Framing,
        frame_rate: float | None,
        workers: int,
        device: torch.device,
    ) -> None:
        self.labels = torch.tensor([video.label for video, _ in videos], dtype=torch.int64)
        self.num_frames = [frames_at(facts, frame_rate) for _, facts in videos]
        self._decoding = _Decoding(videos, self.num_frames, self.labels, read_frames, framing, frame_rate)
        self._processes = decoding_processes(workers)
        self._device = device

    def __len__(self) -> int:
        return len(self.labels)

    def clips(self, batches: Iterable[ClipBatch]) -> Iterator[Batch]:
        requests = fitting(self, batches)
        yield from decoded_batches(self._decoding, requests, processes=self._processes, device=self._device)

    def windows(self, video: int, frames: int, stride: int, overlap: float) -> list[ClipRequest]:
        return covering_windows(video, self.num_frames[video], frames, stride, overlap)

    def require_room(self, num_clips: int, frames: int) -> None:
        framing = self._decoding.framing
        shape = (num_clips, 3, frames, framing.height, framing.width)
        require_room(shape, self._processes * BATCHES_AHEAD + 1, shared=self._processes > 0)


def fitting(split: ClipSplit, batches: Iterable[ClipBatch]) -> Iterator[ClipBatch]:
    """`batches`; raises `UserError` before the first batch that does not fit into memory."""
    largest = 0
    for requests in batches:
        size = len(requests) * requests[0].frames
        if size > largest:  # a smaller batch reuses the memory of an earlier one
            split.require_room(len(requests), requests[0].frames)
            largest = size
        yield requests


class _Decoding(Dataset[Batch]):
    def __init__(
        self,
        videos: Sequence[ScannedVideo],
        num_frames: Sequence[int],
        labels: Tensor,
        read_frames: ReadFrames,
        framing: Framing,
        frame_rate: float | None,
    ) -> None:
        self.videos, self.num_frames, self.labels = videos, num_frames, labels
        self.read_frames, self.framing, self.frame_rate = read_frames, framing, frame_rate

    def __getitems__(self, requests: ClipBatch) -> Batch | str:
        """For `decoded_batches`."""
        size = (self.framing.height, self.framing.width)
        clips = np.empty((len(requests), 3, requests[0].frames, *size), dtype=np.uint8)
        try:
            for clip, request in zip(clips, requests, strict=True):
                clip[:] = self._read(request).transpose(3, 0, 1, 2)
        except UserError as error:
            return str(error)
        return torch.from_numpy(clips), self.labels[[request.video for request in requests]]

    def _read(self, request: ClipRequest) -> Pixels:
        video, facts = self.videos[request.video]
        wanted = request.indices(self.num_frames[request.video])
        return self.read_frames(video.path, facts, shown_frames(facts, wanted, self.frame_rate), self.framing)


def require_room(shape: tuple[int, int, int, int, int], at_a_time: int, *, shared: bool) -> None:
    """`UserError` if `at_a_time` batches of uint8 clips `shape` [B, C, T, H, W] exceed the free memory.

    With `shared`, clips pass through shared memory, which containers often keep small.
    """
    free, what = free_memory(shared)
    if free is None or prod(shape) * at_a_time <= free:
        return
    batch, _, frames, height, width = shape
    per_frame = prod(shape) // frames * at_a_time
    if free >= per_frame:
        fitting = f"{free // per_frame} frames per clip would fit"
    else:
        fitting = f"{free * batch // (per_frame * frames)} clips per batch would fit"
    raise UserError(
        f"{at_a_time} batches at a time of {batch} clips of {frames} frames of {height}×{width} take "
        f"{prod(shape) * at_a_time / GIB:.2f} GiB, but {free / GIB:.2f} GiB of {what} are free; {fitting}"
    )


def free_memory(shared: bool) -> tuple[int | None, str]:
    """The free bytes (None where the system does not say) and the kind of memory that limits them."""
    known = [(size, "memory") for size in (_available(), _left_in_group()) if size is not None]
    if shared and SHARED_MEMORY.is_dir():
        known.append((shutil.disk_usage(SHARED_MEMORY).free, f"shared memory ({SHARED_MEMORY})"))
    return min(known) if known else (None, "memory")


def _available() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    found = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return int(found[0]) * 1024 if found else None


def _left_in_group() -> int | None:
    """The bytes that the limit of the container leaves (control groups, version 2)."""
    group = Path("/sys/fs/cgroup")
    try:
        limit, used = ((group / name).read_text().strip() for name in ("memory.max", "memory.current"))
        stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
    except OSError:
        return None
    if limit == "max":
        return None
    reclaimable = int(stat.get("file", 0)) - int(stat.get("shmem", 0))
    return max(int(limit) - int(used) + reclaimable, 0)
