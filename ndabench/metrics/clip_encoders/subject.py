"""A clip encoder to be measured: the features of the windows of a data set's videos."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import ClassVar

from torch import nn

from ndabench.data.config import SplitName
from ndabench.data.registry import VideoDataConfig, load_data
from ndabench.data.videos.clip_sampling import ClipSampling
from ndabench.data.videos.clips import ClipData
from ndabench.distributed import Workers
from ndabench.metrics.clip_encoders.config import ClipEncoderEvaluation, windows_of
from ndabench.metrics.clip_encoders.windows import Windows, concat_windows, window_values
from ndabench.metrics.evaluation import Evaluation
from ndabench.metrics.subjects import CLIP_ENCODER, SharedWork


@dataclass
class ClipEncoderSubject:
    """A frozen clip encoder, and the data set whose videos it is measured on."""

    kind: ClassVar[str] = CLIP_ENCODER

    encoder: nn.Module
    """Float clips in [-1, 1], `[N, C, T, S, S]`, to `[N, d]`; see `windows.py`."""
    data: ClipData
    sampling: ClipSampling
    """How the encoder sees videos."""
    seed: int
    workers: Workers = field(default_factory=Workers)
    shared: SharedWork = field(default_factory=SharedWork)
    data_config: VideoDataConfig | None = None
    """Where `data` is not what the encoder was trained on, its configuration."""

    def plan(self, evaluations: Sequence[Evaluation]) -> None:
        """Nothing to plan."""

    def on_data_of(self, config: ClipEncoderEvaluation) -> "ClipEncoderSubject":
        """The same encoder on the data set, the windows and the crops that `config` measures on; `UserError`
        where they do not fit."""
        data, other = self.data, config.data
        if other is not None:
            key = ("data set", other)
            data = self.shared.get("data sets", key, lambda: load_data(other, self.workers.device))
        sampling = config.of(self.sampling)
        sampling.check(data)
        return replace(self, data=data, data_config=config.data, sampling=sampling)

    def windows(self, *splits: SplitName) -> Windows:
        """The features of the windows of all videos of `splits`, concatenated."""
        return concat_windows([self._windows(split) for split in splits])

    def _windows(self, split: SplitName) -> Windows:
        rules = self.sampling.windows, self.sampling.crops
        piece = windows_of(self.data_config, *rules)
        extract = partial(window_values, self.encoder, getattr(self.data, split), self.sampling, self.workers)
        return self.shared.get(piece, (self.data.content_hash, split, *rules), extract)
