"""Which clips make up which batch of training."""

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor

from ndabench.data.sampling import shuffled_batches
from ndabench.data.videos.clips import ClipBatch, ClipRequest, ClipSplit
from ndabench.distributed import Workers
from ndabench.errors import UserError


def random_clips(
    split: ClipSplit, batch_size: int, *, frames: int, stride: int, seed: int, start: int = 0
) -> Iterator[list[ClipRequest]]:
    """Endless batches: every epoch takes each video once, in a new order, from a new first frame.

    Batch `k` is a function of `(seed, k)` alone, so that `start=k` resumes at batch `k`. The first frame is
    uniform over those from which the clip fits, and 0 in a shorter video. Raises `UserError` when not
    even one batch can be filled.
    """
    if not 1 <= batch_size <= len(split):
        raise UserError(f"batch_size {batch_size} must lie between 1 and the number of videos, {len(split)}")
    return _random_clips(split, batch_size, frames, stride, seed, start)


def global_clips(
    split: ClipSplit, batches: Iterable[ClipBatch], workers: Workers
) -> Iterator[tuple[Tensor, Tensor]]:
    """Whole batches of clips and labels on every worker; each worker decodes its share, then all exchange."""
    for clips, labels in split.clips(_share(requests, workers) for requests in batches):
        yield workers.all_gather(clips), workers.all_gather(labels)


def _share(requests: ClipBatch, workers: Workers) -> ClipBatch:
    return [requests[row] for row in workers.shard(torch.arange(len(requests))).tolist()]


def _random_clips(
    split: ClipSplit, batch_size: int, frames: int, stride: int, seed: int, start: int
) -> Iterator[list[ClipRequest]]:
    span = ClipRequest(0, 0, frames, stride).span
    num_frames = split.num_frames
    batches = shuffled_batches(len(split), batch_size, seed=seed, start=start)
    for number, videos in enumerate(batches, start):
        # Three words, because the two of (seed, epoch) already give the order of the videos.
        mixed = np.random.SeedSequence((seed, number, 1)).generate_state(1, np.uint64)[0]
        drawn = torch.rand(
            batch_size, generator=torch.Generator().manual_seed(int(mixed)), dtype=torch.float64
        )
        yield [
            ClipRequest(video, int(where * (max(num_frames[video] - span, 0) + 1)), frames, stride)
            for video, where in zip(videos.tolist(), drawn.tolist(), strict=True)
        ]
