"""The configuration of the embedded moving digits: generated in memory, or as files written once."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import torch
from pydantic import AfterValidator, Field

from ndabench.config import Config
from ndabench.data.videos.clips import ClipData
from ndabench.data.videos.groups import held_out_groups
from ndabench.data.videos.moving_digits import CLASS_NAMES, NOMINAL_RATE, TEST_GROUPS, draw_motions, render
from ndabench.data.videos.once import made_once
from ndabench.data.videos.source import FrameSize, Video, VideoConfig, VideoLists
from ndabench.data.videos.ucf101 import official_lists
from ndabench.errors import UserError

FORMAT = 1
"""Raise it when other pictures or other files are made from the same keys."""


def _even(size: tuple[int, int]) -> tuple[int, int]:
    if any(side % 2 or not 16 <= side <= 4096 for side in size):
        raise ValueError(f"{size} must be two even numbers from 16 to 4096")
    return size


class DigitFiles(Config):
    """How the videos are written as real files."""

    codec: Literal["mpeg4", "libx264"] = "mpeg4"
    sizes: tuple[Annotated[tuple[int, int], AfterValidator(_even)], ...] = Field(
        default=((48, 48),), min_length=1
    )
    """(height, width), even numbers, taken in turns."""
    frame_rates: tuple[Annotated[float, Field(ge=1, le=120)], ...] = Field(default=(25.0,), min_length=1)
    """Taken in turns."""


class MovingDigitsConfig(VideoConfig):
    """Handwritten digits that move left, right, up, down, turn left or right, come nearer or go away."""

    name: Literal["moving_digits"] = "moving_digits"
    frame_size: FrameSize = 32
    split: Literal[1, 2, 3] = 1
    video_frames: int = Field(default=32, ge=1, le=1000)
    """Frames of a video in memory, at 25 a second; files of other rates last as long."""
    clips_per_group: int = Field(default=4, ge=1, le=100)
    """The set has 8 classes × 25 groups × so many videos, 28 % of them for testing."""
    seed: int = Field(default=0, ge=0, lt=2**32)
    files: DigitFiles | None = None
    """Encode the videos once, into the cache, and decode them like any others; None: keep them in memory."""

    @property
    def title(self) -> str:
        return f"{self.name} split {self.split}"

    def lists(self) -> VideoLists:
        folder = self.written()
        return official_lists(folder / "UCF-101", folder / "ucfTrainTestlist", self.split)

    def load(self, device: torch.device) -> ClipData:
        return self._in_memory(device) if self.files is None else super().load(device)

    def written(self) -> Path:
        """The folder with the set's files, in UCF-101's layout; the first process to ask writes them."""
        from ndabench.data.videos.digit_files import clear, write_moving_digits  # late: it needs PyAV

        files = self.files or DigitFiles()

        def write(folder: Path) -> None:
            clear(folder)
            write_moving_digits(
                folder,
                codec=files.codec,
                sizes=files.sizes,
                frame_rates=files.frame_rates,
                seconds=self.video_frames / NOMINAL_RATE,
                clips_per_group=self.clips_per_group,
                seed=self.seed,
            )

        made_from = [FORMAT, files.model_dump(), self.video_frames, self.clips_per_group, self.seed]
        key = hashlib.sha256(json.dumps(made_from, sort_keys=True).encode()).hexdigest()[:32]
        return made_once("moving_digits", key, write)

    def _in_memory(self, device: torch.device) -> ClipData:
        from ndabench.data.videos.feeding import ResidentClips  # late: it needs PyAV

        framing = self.framing
        if self.frame_rate not in (None, NOMINAL_RATE):
            raise UserError(
                f"data.frame_rate: moving digits in memory have {NOMINAL_RATE:g} frames a second; "
                "with data.files they can have others"
            )
        motions = draw_motions(self.clips_per_group, self.seed)
        seconds = torch.arange(self.video_frames, dtype=torch.float64) / NOMINAL_RATE
        grey = render(motions, seconds, framing.height, framing.width)
        rows = self._cut(motions.labels, motions.groups)
        shown = grey.to(device)
        splits = {name: ResidentClips(shown, motions.labels[own], own) for name, own in rows.items()}
        return ClipData(
            name=self.title,
            content_hash=_content_hash(grey, motions.labels, rows),
            class_names=CLASS_NAMES,
            frame_shape=(3, framing.height, framing.width),
            train=splits["train"],
            validation=splits["validation"],
            test=splits["test"],
        )

    def _cut(self, labels: torch.Tensor, groups: torch.Tensor) -> dict[str, torch.Tensor]:
        """The rows of each split, exactly those that the written files would have."""
        for_test = torch.isin(groups, torch.tensor(list(TEST_GROUPS[self.split])))
        trained = (~for_test).nonzero()[:, 0]
        pairs = zip(labels[trained].tolist(), groups[trained].tolist(), strict=True)
        videos = [Video(Path(), label, f"{CLASS_NAMES[label]} g{group}") for label, group in pairs]
        kept, held = held_out_groups(
            videos, self.validation_fraction, seed=self.split_seed, class_names=CLASS_NAMES
        )
        return {"train": trained[kept], "validation": trained[held], "test": for_test.nonzero()[:, 0]}


def _content_hash(grey: torch.Tensor, labels: torch.Tensor, rows: Mapping[str, torch.Tensor]) -> str:
    digest = hashlib.sha256(json.dumps(list(grey.shape)).encode())
    for part in (grey, labels, *(rows[name] for name in sorted(rows))):
        digest.update(part.numpy().tobytes())
    return digest.hexdigest()
