"""What a network makes of whole videos: of windows that cover them, which a video's value is the mean over.

A network is any module that maps float clips in [-1, 1], `[N, C, T, S, S]`, to `[N, d]`; a features module
also has `dimension` d, and takes the keyword `generator`, which it draws dropout from in training.

Windows overlap by half, as in DPC's test (Han et al., arXiv 1909.04656). There, what is left of a video after
its last whole window is not looked at, and videos shorter than a window are left out; here the last window
ends with its video, and short videos are padded: every listed video counts.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ndabench.data.config import SplitName
from ndabench.data.images import to_float
from ndabench.data.videos.clips import ClipData, ClipRequest, ClipSplit
from ndabench.distributed import Workers
from ndabench.errors import UserError
from ndabench.metrics.features import Examples, frozen, in_shares, middle

OVERLAP = 0.5
"""The part of its frames that a window shares with the next."""
WINDOWS_AT_A_TIME = 16
"""Windows in one forward pass; it changes memory and speed, not the values."""


@dataclass(frozen=True)
class ClipSampling:
    """How clips are cut out of videos for a network."""

    frames: int
    stride: int
    """Of so many frames of the video one is taken."""
    size: int | None = None
    """Side of the middle that is looked at, and of the views learned from; None: whole frames."""

    def check(self, data: ClipData) -> None:
        """`UserError` for frames that are smaller than the clips cut out of them."""
        _, height, width = data.frame_shape
        if self.size is not None and min(height, width) < self.size:
            raise UserError(
                f"{data.name}: its frames are {height}×{width}, but the encoder looks at "
                f"{self.size}×{self.size}; set the data's frame_size to at least {self.size}"
            )

    def windows(self, split: ClipSplit) -> list[ClipRequest]:
        """Those of all videos, one video after the other."""
        return [
            window
            for video in range(len(split))
            for window in split.windows(video, self.frames, self.stride, OVERLAP)
        ]

    def protocol(self, data: ClipData) -> dict[str, Any]:
        """As plain data."""
        return {
            "clip_frames": self.frames,
            "frame_stride": self.stride,
            "clip_size": list(data.frame_shape[1:]) if self.size is None else [self.size, self.size],
            "window_overlap": OVERLAP,
        }


class Windows(NamedTuple):
    """Values of the windows of N videos, on one device."""

    values: Tensor
    """`[W, d]`."""
    videos: Tensor
    """int64 `[W]`: whose window it is."""
    labels: Tensor
    """int64 `[N]`, the videos'."""

    def means(self) -> Tensor:
        """Of each video, float64 `[N, d]`: two workers' sums then round alike."""
        sums = self.values.new_zeros(len(self.labels), self.values.shape[1], dtype=torch.float64)
        sums.index_add_(0, self.videos, self.values.double())
        return sums / self.videos.bincount(minlength=len(self.labels))[:, None]

    def examples(self) -> Examples:
        """Every window, with the label of its video."""
        return Examples(self.values, self.labels[self.videos])


def window_values(network: nn.Module, split: ClipSplit, sampling: ClipSampling, workers: Workers) -> Windows:
    """What the frozen `network` makes of every window of `split`; workers share them, all get all."""
    windows = sampling.windows(split)

    def compute(rows: Tensor) -> Tensor:
        own = [windows[row] for row in rows.tolist()]
        batches = [own[i : i + WINDOWS_AT_A_TIME] for i in range(0, len(own), WINDOWS_AT_A_TIME)]
        clips = (to_float(middle(shown, sampling.size)) for shown, _ in split.clips(batches))
        return torch.cat([network(batch).float() for batch in clips])

    with frozen(network):
        values = in_shares(len(windows), compute, workers)
    videos = torch.tensor([window.video for window in windows], device=workers.device)
    return Windows(values, videos, split.labels.to(workers.device))


def joined(parts: list[Windows]) -> Windows:
    """The videos of all parts, one part after the other."""
    first = [0]
    for part in parts:
        first.append(first[-1] + len(part.labels))
    return Windows(
        torch.cat([part.values for part in parts]),
        torch.cat([part.videos + start for part, start in zip(parts, first, strict=False)]),
        torch.cat([part.labels for part in parts]),
    )


@dataclass(frozen=True)
class EncodedVideos:
    """A data set and a frozen features module, with what was extracted of whichever splits."""

    network: nn.Module
    data: ClipData
    sampling: ClipSampling
    features: Mapping[SplitName, Windows]
    workers: Workers

    def windows(self, *splits: SplitName) -> Windows:
        """Those of `splits`, one after the other."""
        return joined([self.features[split] for split in splits])
