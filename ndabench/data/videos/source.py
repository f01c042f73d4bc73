"""The parts of a set of video files: a configuration that lists its videos by split.

A data set is one `VideoConfig` class, whose `lists()` reads its official files. `load.py` scans, splits and
decodes every set in the same way.
"""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import Field

from ndabench.data.config import DataSetConfig
from ndabench.errors import UserError

Side = Annotated[int, Field(ge=1, le=4096)]
"""Pixels of a side of a frame."""
FrameSize = Side | tuple[Side, Side]

Pixels = npt.NDArray[np.uint8]


class Framing(NamedTuple):
    """The size that every frame gets: scaled as a whole, or scaled to cover it and cut to its centre."""

    height: int
    width: int
    crop: bool
    """Keep proportions and cut off what does not fit; else squeeze the whole picture into the size."""

    def scaled_size(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) to which a picture is scaled before `cut`; never below the target."""
        if not self.crop:
            return self.height, self.width
        # In whole numbers, so that the fitting side fits exactly.
        if height * self.width <= width * self.height:
            return self.height, max(round(width * self.height / height), self.width)
        return max(round(height * self.width / width), self.height), self.width

    def cut(self, picture: Pixels) -> Pixels:
        """The centre of a scaled picture `[H', W', 3]`, `[H, W, 3]`."""
        top, left = (picture.shape[0] - self.height) // 2, (picture.shape[1] - self.width) // 2
        return picture[top : top + self.height, left : left + self.width]


class Video(NamedTuple):
    """A listed video."""

    path: Path
    label: int
    group: str
    """Training and validation never share a group (one scene, one film)."""


@dataclass(frozen=True)
class VideoLists:
    """The videos of each split in the order of their lists; a split without videos is cut from train."""

    class_names: tuple[str, ...]
    train: Sequence[Video]
    test: Sequence[Video] = ()
    validation: Sequence[Video] = ()
    notes: tuple[str, ...] = ()
    """What a reader of the results should know about how the files were understood, a line each."""


class VideoConfig(DataSetConfig):
    """The keys that every video data set has."""

    frame_size: FrameSize = 128
    """Side, or (height, width), in pixels, to which all frames are brought."""
    crop: bool = True
    """Scale frames until they cover `frame_size` and keep the centre; else squeeze whole frames into it."""
    frame_rate: float | None = Field(default=None, gt=0, le=1000)
    """Frames per second at which every file is sampled; None: every frame of a file."""
    decoder: Literal["pyav", "torchcodec"] = "pyav"
    decode_workers: int = Field(default=2, ge=0, le=256)
    """Processes that decode (at most one per core; 0: the trainer decodes itself)."""
    cache: Literal["auto", "memory", "disk", "none"] = "auto"
    """Where decoded frames are kept. `disk`: in the cache folder, once for all trials; `memory`: also in the
    memory of the training device; `none`: nowhere, each clip is decoded anew; `auto`: `disk`, where they
    take at most 4 GiB."""
    unreadable: Literal["error", "skip"] = "error"
    """What to do about a video that cannot be read; `ClipData.unreadable` lists those left out."""
    validation_fraction: float = Field(default=0.1, gt=0, lt=1)
    """Share of the training videos, in whole groups, kept for validation where no list says which."""
    split_seed: int = Field(default=0, ge=0, lt=2**32)

    NUM_OFFICIAL_CLASSES: ClassVar[int | None] = None
    """The number of classes of a published set, whose layout other sets may share."""

    def title_of(self, num_classes: int) -> str:
        """`title`; where these cannot be the published videos, a name that says so."""
        published = self.NUM_OFFICIAL_CLASSES in (None, num_classes)
        return self.title if published else f"layout of {self.title}"

    @property
    def framing(self) -> Framing:
        height, width = (self.frame_size,) * 2 if isinstance(self.frame_size, int) else self.frame_size
        return Framing(height, width, self.crop)

    @abstractmethod
    def lists(self) -> VideoLists:
        """The videos by split; `UserError` for lists or folders that are missing or contradict each other."""


def require_distinct(train: Sequence[Video], test: Sequence[Video], where: str) -> None:
    """`UserError` for a video that is in a list twice, or in the training list and in the test list."""
    seen: dict[Path, str] = {}
    for name, videos in (("training", train), ("test", test)):
        for video in videos:
            before = seen.setdefault(video.path, "")
            if before:
                also = f"in the {before} list and" if before != name else "twice"
                raise UserError(f"{where}: {video.path.name} is {also} in the {name} list")
            seen[video.path] = name


def require_files(videos: Sequence[Video], where: str) -> None:
    """`UserError` naming the first listed video that is missing, and how many more are."""
    missing = [video.path for video in videos if not video.path.is_file()]
    if missing:
        more = f" (and {len(missing) - 1} more of its {len(videos)} videos)" if len(missing) > 1 else ""
        raise UserError(f"{where}: lists {missing[0]}, which does not exist{more}")
