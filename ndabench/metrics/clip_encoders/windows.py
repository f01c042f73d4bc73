"""The outputs of a network for whole videos: a video's value is the mean over windows that cover it.

A network is any module that maps float clips in [-1, 1], `[N, C, T, S, S]`, to `[N, d]`; a features module
also has `dimension` d, and takes the keyword `generator`, from which it draws dropout in training.

Windows overlap by half, as in the tests of DPC (Han et al., arXiv 1909.04656) and CoCLR (Han et al., arXiv
2010.09709), which looks at ten crops of each (`crops: ten`); or there are ten, spread evenly. DPC drops the
frames after the last whole window, and videos shorter than a window; here the last window ends with its
video, and short videos are padded: every listed video counts.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ndabench.data.images import to_float
from ndabench.data.videos.clip_sampling import NUM_SPREAD, OVERLAP, ClipSampling, CropRule
from ndabench.data.videos.clips import ClipRequest, ClipSplit, spread_windows
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
    frames, stride = sampling.frames, sampling.stride

    def windows(video: int) -> list[ClipRequest]:
        if sampling.windows == "ten":
            return spread_windows(video, split.num_frames[video], frames, stride, NUM_SPREAD)
        return split.windows(video, frames, stride, OVERLAP)

    return [window for video in range(len(split)) for window in windows(video)]


def cropped(clips: Tensor, size: int | None, rule: CropRule) -> list[Tensor]:
    """The parts of the frames of `[N, C, T, H, W]` that are tested, `size` × `size` pixels each."""
    parts = [middle(clips, size)]
    if rule != "centre":
        assert size is not None, "ClipSampling.check"
        rows, columns = (slice(0, size), slice(-size, None)), (slice(0, size), slice(-size, None))
        parts += [clips[..., row, column] for row in rows for column in columns]
    return parts + [part.flip(-1) for part in parts] if rule == "ten" else parts


def window_values(network: nn.Module, split: ClipSplit, sampling: ClipSampling, workers: Workers) -> Windows:
    """The outputs of the frozen `network` for every crop of every window of `split`; workers share the
    windows, and all get all outputs."""
    windows = windows_of_videos(split, sampling)

    def compute(rows: Tensor) -> Tensor:
        own = [windows[row] for row in rows.tolist()]
        batches = [own[i : i + WINDOWS_AT_A_TIME] for i in range(0, len(own), WINDOWS_AT_A_TIME)]
        outputs = []
        for shown, _ in split.clips(batches):
            crops = cropped(shown, sampling.size, sampling.crops)
            outputs.append(torch.stack([network(to_float(crop)).float() for crop in crops], 1))
        return torch.cat(outputs)

    with frozen(network):
        values = in_shares(len(windows), compute, workers)  # [W, crops, d]
    videos = torch.tensor([window.video for window in windows], device=workers.device)
    return Windows(
        values.flatten(0, 1), videos.repeat_interleave(values.shape[1]), split.labels.to(workers.device)
    )


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
