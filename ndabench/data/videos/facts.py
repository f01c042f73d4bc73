"""What is known of a video that was scanned, and which of its frames is shown when. Needs no decoder."""

from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple

from ndabench.config import Config
from ndabench.data.videos.source import Pixels

TIME_TOLERANCE = 1e-4
"""In frames or seconds: a rounded time that is off by less still counts as reached."""

START = (0, None)
"""The anchor that every video has."""
Anchor = tuple[int, int | None]
"""A frame's index, and its time stamp in the stream's own units (None: the beginning of the file)."""


class Orientation(NamedTuple):
    """What brings a stored picture upright: an exchange of rows and columns, then reversals."""

    transposed: bool
    reversed_rows: bool
    """The last row becomes the first."""
    reversed_columns: bool

    def size(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) of an upright picture from those of the stored one, and the reverse."""
        return (width, height) if self.transposed else (height, width)

    def turn(self, picture: Pixels) -> Pixels:
        """A stored picture `[H, W, 3]`, upright."""
        if self.transposed:
            picture = picture.swapaxes(0, 1)
        return picture[:: -1 if self.reversed_rows else 1, :: -1 if self.reversed_columns else 1]

    @property
    def mirrored(self) -> bool:
        """Whether turning alone does not suffice."""
        return self.transposed ^ self.reversed_rows ^ self.reversed_columns


UPRIGHT = Orientation(False, False, False)


class VideoFacts(Config):
    """What a scan learns about a video."""

    num_frames: int
    height: int
    width: int
    """Of the first frame, upright."""
    frame_rate: float
    """Frames per second, on average."""
    times: tuple[float, ...] | None = None
    """Seconds from the first frame to each, where they do not come at equal intervals."""
    anchors: tuple[tuple[int, int], ...] = ()
    """Frames and time stamps, other than the beginning, at which decoding may start, ascending."""
    sha256: str
    """Of the file's bytes."""
    orientation: Orientation = UPRIGHT
    """How its frames are turned from how they are stored."""

    def anchor_of(self, frame: int) -> Anchor:
        """The last anchor at or before `frame`."""
        place = bisect_right(self.anchors, frame, key=lambda anchor: anchor[0])
        return self.anchors[place - 1] if place else START


def frames_at(facts: VideoFacts, frame_rate: float | None) -> int:
    """How many ticks of `frame_rate` there are from the first frame to the last; at least 1."""
    if frame_rate is None:
        return facts.num_frames
    last = facts.times[-1] if facts.times else (facts.num_frames - 1) / facts.frame_rate
    return int(last * frame_rate + TIME_TOLERANCE) + 1


def shown_frames(facts: VideoFacts, ticks: Sequence[int], frame_rate: float | None) -> Sequence[int]:
    """The file's frame at each of the `ticks`; without a `frame_rate` a tick is a frame."""
    if frame_rate is None:
        return ticks
    if facts.times is None:
        found = [int(tick / frame_rate * facts.frame_rate + TIME_TOLERANCE) for tick in ticks]
    else:
        times = facts.times
        found = [bisect_right(times, tick / frame_rate + TIME_TOLERANCE) - 1 for tick in ticks]
    return [min(frame, facts.num_frames - 1) for frame in found]
