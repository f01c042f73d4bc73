"""The bundled moving digits: handwritten digits (scikit-learn's) whose motion is the class.

Without `files` they are drawn into memory (`digits_in_memory.py`); with `files` they are encoded as videos
once, into the cache, and decoded like any others. `digit_rendering.py` says what the videos show.
"""

import hashlib
import json
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from ndabench.config import Config
from ndabench.data.build_cache import build_once, cache_folder
from ndabench.data.videos.source import FrameSize, VideoConfig, VideoLists
from ndabench.data.videos.ucf101 import official_lists

FRAME_RATE = 25.0
"""Frames per second of a video in memory."""
FORMAT = 1
"""Raise it when the same keys give other pictures or other files."""


EncodedSide = Annotated[int, Field(ge=16, le=4096, multiple_of=2)]
"""Pixels of a side, as the codecs can encode them."""


class DigitFiles(Config):
    """How the videos are encoded."""

    codec: Literal["mpeg4", "libx264"] = "mpeg4"
    sizes: tuple[tuple[EncodedSide, EncodedSide], ...] = Field(default=((48, 48),), min_length=1)
    """(height, width), even numbers; the videos take them in turns."""
    frame_rates: tuple[Annotated[float, Field(ge=1, le=120)], ...] = Field(default=(25.0,), min_length=1)
    """Frames per second; the videos take them in turns."""


class MovingDigitsConfig(VideoConfig):
    """Handwritten digits that move left, right, up or down, turn left or right, come nearer or go away."""

    name: Literal["moving_digits"] = "moving_digits"
    frame_size: FrameSize = 32
    split: Literal[1, 2, 3] = 1
    video_frames: int = Field(default=32, ge=1, le=1000)
    """Frames of a video in memory, at 25 per second; files of other rates have the same duration."""
    clips_per_group: int = Field(default=4, ge=1, le=100)
    """The set has 8 classes × 25 groups × this number of videos, 28 % of them for testing."""
    seed: int = Field(default=0, ge=0, lt=2**32)
    files: DigitFiles | None = None
    """Encode the videos once, into the cache, and decode them like others; None: keep them in memory."""

    @property
    def title(self) -> str:
        return f"{self.name} split {self.split}"

    def lists(self) -> VideoLists:
        folder = self.written()
        return official_lists(folder / "UCF-101", folder / "ucfTrainTestlist", self.split)

    def written(self) -> Path:
        """The folder with the set's files, in UCF-101's layout; the first process to ask writes them."""
        from ndabench.data.videos.digit_files import write_moving_digits  # late: it needs PyAV and torch

        files = self.files or DigitFiles()

        def write(folder: Path) -> None:
            write_moving_digits(
                folder,
                codec=files.codec,
                sizes=files.sizes,
                frame_rates=files.frame_rates,
                seconds=self.video_frames / FRAME_RATE,
                clips_per_group=self.clips_per_group,
                seed=self.seed,
            )

        made_from = [FORMAT, files.model_dump(), self.video_frames, self.clips_per_group, self.seed]
        key = hashlib.sha256(json.dumps(made_from, sort_keys=True).encode()).hexdigest()[:32]
        return build_once(cache_folder() / "videos" / "moving_digits", key, write)
