"""The outputs of a network for whole videos: a video's value is the mean over windows that cover it.

A network is any module that maps float clips in [-1, 1], `[N, C, T, S, S]`, to `[N, d]`; a features module
also has `dimension` d, and takes the keyword `generator`, from which it draws dropout in training.

Windows overlap by half, as in DPC's test (Han et al., arXiv 1909.04656). DPC drops the frames after the last
whole window, and videos shorter than a window; here the last window ends with its video, and short videos are
padded: every listed video counts.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ndabench.data.images import to_float
from ndabench.data.videos.clip_sampling import OVERLAP, ClipSampling
from ndabench.data.videos.clips import ClipRequest, ClipSplit
from ndabench.distributed import Workers
from ndabench.metrics.features import Examples, frozen, in_shares, middle

VIDEO_FEATURE = "mean over a video's windows"
"""What `Windows.means` gives, for protocols."""
WINDOWS_AT_A_TIME = 16
"""Windows in one forward pass; it changes memory and speed, not the values."""


class Windows(NamedTuple):
    """Values of the windows of N videos, on one device."""

    values: Tensor
    """`[W, d]`."""
    videos: Tensor
    """int64 `[W]`: the video that each window belongs to."""
    labels: Tensor
    """int64 `[N]`, of the videos."""

    def means(self) -> Tensor:
        """The mean over each video's windows, float64 `[N, d]`: two workers' sums then round equally."""
        sums = self.values.new_zeros(len(self.labels), self.values.shape[1], dtype=torch.float64)
        sums.index_add_(0, self.videos, self.values.double())
        return sums / self.videos.bincount(minlength=len(self.labels))[:, None]

    def examples(self) -> Examples:
        """Every window, with the label of its video."""
        return Examples(self.values, self.labels[self.videos])


def windows_of_videos(split: ClipSplit, sampling: ClipSampling) -> list[ClipRequest]:
    """The windows of all videos, one video after the other."""
    return [
        window
        for video in range(len(split))
        for window in split.windows(video, sampling.frames, sampling.stride, OVERLAP)
    ]


def window_values(network: nn.Module, split: ClipSplit, sampling: ClipSampling, workers: Workers) -> Windows:
    """The outputs of the frozen `network` for every window of `split`; workers share the windows, and all get
    all outputs."""
    windows = windows_of_videos(split, sampling)

    def compute(rows: Tensor) -> Tensor:
        own = [windows[row] for row in rows.tolist()]
        batches = [own[i : i + WINDOWS_AT_A_TIME] for i in range(0, len(own), WINDOWS_AT_A_TIME)]
        clips = (to_float(middle(shown, sampling.size)) for shown, _ in split.clips(batches))
        return torch.cat([network(batch).float() for batch in clips])

    with frozen(network):
        values = in_shares(len(windows), compute, workers)
    videos = torch.tensor([window.video for window in windows], device=workers.device)
    return Windows(values, videos, split.labels.to(workers.device))


def concat_windows(parts: Sequence[Windows]) -> Windows:
    """The videos of all parts, one part after the other."""
    first = [0]
    for part in parts:
        first.append(first[-1] + len(part.labels))
    return Windows(
        torch.cat([part.values for part in parts]),
        torch.cat([part.videos + start for part, start in zip(parts, first, strict=False)]),
        torch.cat([part.labels for part in parts]),
    )
