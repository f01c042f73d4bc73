"""Whether all of a video came out of its file: FFmpeg skips over damage and stops quietly where a file ends.

A container's header states how many frames there are, or how long they last. Whole files may have fewer
frames than that: AVI counts the places that a recorder left empty and the placeholders of packed B-frames,
MP4 the frames that its edit list hides. A file is damaged only if less came out than that explains. The
headers of transport and program streams state nothing.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import av

PLACEHOLDER_BYTES = 20
"""A packet that is no longer may stand for a frame that an earlier packet held."""
TOLERATED_INTERVALS = 2.0
TOLERATED_SHARE = 0.02
"""How much of the stated length may be missing: headers round, and sound may outlast the picture."""


class Stated(NamedTuple):
    """What a header says about its video stream."""

    frames: int = 0
    """0: it does not say."""
    counts_places: bool = False
    """The number of frames counts time slots, whether or not they hold a frame, as in AVI."""
    seconds: float | None = None
    """How long the stream lasts; None: it does not say, or FFmpeg has estimated it from the file itself."""


@dataclass
class Delivery:
    """What has come out of a video file so far."""

    stated: Stated = field(default_factory=Stated)
    frames: int = 0
    corrupt: int = 0
    """Packets and frames that FFmpeg marks as corrupt."""
    packets: int = 0
    hidden: int = 0
    """Packets whose frames an edit list hides."""
    small: int = 0
    places: set[int] = field(default_factory=set)
    """The packets' decoding times, in units of the stream."""
    seconds: float = 0.0
    """From the stream's beginning to the end of the last frame."""

    def add_packet(self, packet: av.Packet) -> None:
        """Counts a packet of the stream, in the order of the file."""
        if not packet.size:  # the end of the stream
            return
        self.packets += 1
        self.corrupt += packet.is_corrupt
        self.hidden += packet.is_discard
        self.small += packet.size <= PLACEHOLDER_BYTES
        if packet.dts is not None:
            self.places.add(packet.dts)

    def add_frame(self, frame: av.VideoFrame) -> None:
        """Counts a decoded frame, in the order in which frames are shown."""
        self.frames += 1
        self.corrupt += frame.is_corrupt
        if frame.pts is not None and frame.time_base:
            self.seconds = float((frame.pts + (frame.duration or 0)) * frame.time_base)

    def damage(self) -> str | None:
        """What is wrong with the whole file; None for a sound one."""
        if self.corrupt:
            return f"it is damaged: {self.corrupt} of its {self.frames} frames are corrupt"
        frames, stated = self.frames, self.stated
        without_frame = self.packets - self.hidden - frames
        explained = frames + self.hidden + max(min(self.small, without_frame), 0)
        if stated.counts_places and self.places:
            explained += max(self.places) - min(self.places) + 1 - len(self.places)
        if explained < stated.frames:
            return f"it is cut off or damaged: {frames} of the {stated.frames} frames that its header states"
        tolerated = max(TOLERATED_INTERVALS * self.seconds / max(frames, 1), TOLERATED_SHARE * self.seconds)
        if not stated.frames and stated.seconds is not None and self.seconds + tolerated < stated.seconds:
            lengths = f"{self.seconds:.2f} of the {stated.seconds:.2f} seconds"
            return f"it is cut off: {lengths} that its header states"
        return None


def stated_by(container: av.container.InputContainer, stream: av.VideoStream) -> Stated:
    """What the header of an opened file says about its video stream."""
    formats = set(container.format.name.split(","))
    if stream.frames:
        return Stated(stream.frames, counts_places="avi" in formats)
    if "matroska" in formats and (length := _seconds(stream.metadata.get("DURATION", ""))) is not None:
        return Stated(seconds=length)
    alone = len(container.streams) == 1  # else the length may be that of the sound
    if alone and formats & {"matroska", "flv", "asf"} and container.duration:
        return Stated(seconds=container.duration / av.time_base)
    return Stated()


def _seconds(duration: str) -> float | None:
    """The seconds of a Matroska tag, `00:00:04.800000000`."""
    try:
        hours, minutes, seconds = duration.split(":")
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    except ValueError:
        return None
