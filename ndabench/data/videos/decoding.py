"""Decoding exactly the requested frames with PyAV (FFmpeg's libraries).

Scanning decodes a video once from beginning to end. This gives the exact number of frames, for which no
container's header can be trusted, and finds every video that cannot be read or is not whole
(`completeness.py`). Frames come upright, as the file's display matrix says. A scan also finds by trial where
decoding may start later: a key frame becomes an *anchor* only if seeking to it in a freshly opened file gives
this frame and the next one bit for bit as decoding from the beginning did. So seeking is right for any codec
and container (B-frames, open groups of pictures, intra refresh, times that do not start at 0 or are missing);
where no key frame passes, decoding starts from the beginning. Frames are counted from the anchor, so variable
frame rates need no special care.
"""

import hashlib
import struct
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from ndabench.data.videos.completeness import Delivery, stated_by
from ndabench.data.videos.facts import START, UPRIGHT, Anchor, Orientation, VideoFacts
from ndabench.data.videos.source import Framing, Pixels
from ndabench.errors import UserError

ANCHOR_DISTANCE = 12
"""The least number of frames between two anchors: decoding so few costs less than opening and seeking."""
HASHED_BYTES = 2**20
ODD_ANGLE = 0.02
"""The share of a display matrix beside the axes from which it is not a quarter turn."""


def scan(path: Path) -> VideoFacts:
    """Decodes the whole video; `UserError` naming it where it cannot be decoded or is not whole."""
    times: list[int | None] = []
    candidates: list[int] = []
    digests: dict[int, bytes] = {}
    delivery = Delivery()
    with closing(_checked(_frames_from(path, START, delivery), path)) as frames:
        for index, frame in enumerate(frames):
            times.append(frame.pts)
            last = candidates[-1] if candidates else 0
            if frame.key_frame and index >= last + ANCHOR_DISTANCE:
                candidates.append(index)
            if candidates and index <= candidates[-1] + 1:
                digests[index] = _digest(frame)
            if index == 0:
                orientation, time_base = _orientation(frame, path), frame.time_base
                height, width = orientation.size(frame.height, frame.width)
                stated_rate = _stated_rate(path)
    if not times:
        raise UserError(f"{path}: the video has no frame")
    if (damage := delivery.damage()) is not None:
        raise UserError(f"{path}: {damage}")
    seconds = _seconds(times, float(time_base or 0))
    frame_rate = (len(times) - 1) / seconds[-1] if seconds else stated_rate
    return VideoFacts(
        num_frames=len(times),
        height=height,
        width=width,
        frame_rate=frame_rate,
        times=seconds if seconds and not _regular(seconds, frame_rate) else None,
        anchors=_anchors(path, candidates, times, digests),
        sha256=_sha256(path),
        orientation=orientation,
    )


def read_frames(path: Path, facts: VideoFacts, wanted: Sequence[int], framing: Framing) -> Pixels:
    """Frames `wanted` (any order, repeats allowed) of a scanned video, uint8 RGB `[T, H, W, 3]`.

    Only the frames from an anchor to a wanted one are decoded, and only the wanted ones converted to RGB.
    """
    distinct, place = np.unique(np.asarray(wanted), return_inverse=True)
    orientation = facts.orientation
    shown = np.empty((len(distinct), framing.height, framing.width, 3), dtype=np.uint8)
    reformatter = VideoReformatter()  # reuses its tables for the next frame
    for row, frame in enumerate(_pick(path, facts, distinct.tolist())):
        upright = framing.scaled_size(*orientation.size(frame.height, frame.width))
        picture = _picture(frame, orientation.size(*upright), reformatter)
        shown[row] = framing.cut(orientation.turn(picture))
    return shown[place]


def _pick(path: Path, facts: VideoFacts, ascending: Sequence[int]) -> Iterator[av.VideoFrame]:
    """The frames at the `ascending` indices, each from the nearest anchor where that saves decoding."""
    frames: Iterator[av.VideoFrame] | None = None
    following = 0
    for index in ascending:
        anchor = facts.anchor_of(index)
        if frames is None or anchor[0] > following:
            frames, following = _checked(_frames_from(path, anchor), path), anchor[0]
        frame = next(islice(frames, index - following, None), None)
        if frame is None:
            raise UserError(f"{path}: has no frame {index} any more; it was changed after it was scanned")
        following = index + 1
        yield frame


def _frames_from(
    path: Path, anchor: Anchor, delivery: Delivery | None = None
) -> Generator[av.VideoFrame, None, None]:
    """The frames from `anchor` on, in the order in which they are shown; none if it is not found.

    What comes out of the file is counted in `delivery`.

    The file is opened anew each time: some demuxers seek differently once they have read more of it.
    """
    with av.open(str(path), metadata_errors="replace") as container:
        if not container.streams.video:
            raise UserError(f"{path}: has no video stream")
        stream = container.streams.video[0]
        if stream.codec_context is None:
            raise UserError(f"{path}: its video codec is unknown to this FFmpeg")
        stream.codec_context.thread_count = 1  # the callers' processes and threads decode in parallel
        if delivery is not None:
            delivery.stated = stated_by(container, stream)
        _, time_stamp = anchor
        if time_stamp is not None:
            container.seek(time_stamp, stream=stream, backward=True)
        found = time_stamp is None
        for packet in container.demux(stream):
            if delivery is not None:
                delivery.add_packet(packet)
            for frame in packet.decode():
                if delivery is not None:
                    delivery.add_frame(frame)
                found = found or frame.pts == time_stamp
                if found:
                    yield frame


def _checked(frames: Iterator[av.VideoFrame], path: Path) -> Generator[av.VideoFrame, None, None]:
    """`frames`, where an error of FFmpeg is a `UserError`."""
    try:
        yield from frames
    except (av.FFmpegError, OSError) as error:
        reason = error.strerror or type(error).__name__
        raise UserError(f"{path}: the video cannot be read ({reason})") from None


def _orientation(frame: av.VideoFrame, path: Path) -> Orientation:
    """By the display matrix, which maps a stored place (x, y) to (a x + c y, b x + d y)."""
    matrix: Any = frame.side_data.get("DISPLAYMATRIX")  # PyAV types it as an object
    if matrix is None:
        return UPRIGHT
    a, b, _, c, d = struct.unpack_from("=5i", bytes(matrix))
    straight, across = min(abs(a), abs(d)), min(abs(b), abs(c))
    if max(abs(a), abs(b), abs(c), abs(d)) == 0:  # some writers leave it empty
        return UPRIGHT
    if min(straight, across) > ODD_ANGLE * max(straight, across) or straight == across:
        raise UserError(f"{path}: is to be shown turned by {frame.rotation}°; only quarter turns can be read")
    return Orientation(across > straight, reversed_rows=b + d < 0, reversed_columns=a + c < 0)


def _stated_rate(path: Path) -> float:
    """Frames per second by the file's header, for videos whose frames have no (ascending) times."""
    with av.open(str(path), metadata_errors="replace") as container:
        stream = container.streams.video[0]
        return float(stream.average_rate or stream.guessed_rate or 25)


def _seconds(times: Sequence[int | None], time_base: float) -> tuple[float, ...] | None:
    """Seconds since the first frame; None unless every frame has a time and they ascend."""
    known = [time for time in times if time is not None]
    ascending = all(early < late for early, late in pairwise(known))
    if len(known) < max(len(times), 2) or not ascending or not time_base:
        return None
    return tuple(round((time - known[0]) * time_base, 6) for time in known)


def _regular(seconds: Sequence[float], frame_rate: float) -> bool:
    """Whether every frame is less than a quarter of an interval away from equal spacing."""
    return all(abs(time * frame_rate - index) < 0.25 for index, time in enumerate(seconds))


def _anchors(
    path: Path, candidates: Sequence[int], times: Sequence[int | None], digests: dict[int, bytes]
) -> tuple[tuple[int, int], ...]:
    """The candidates from which decoding gives the same two frames as from the beginning."""
    anchors = []
    for index in candidates:
        time = times[index]
        if time is None:
            continue
        expected = [(times[i], digests[i]) for i in (index, index + 1) if i < len(times)]
        try:
            with closing(_frames_from(path, (index, time))) as frames:
                found = [(frame.pts, _digest(frame)) for frame in islice(frames, len(expected))]
        except (av.FFmpegError, OSError):  # a container that cannot seek
            continue
        if found == expected:
            anchors.append((index, time))
    return tuple(anchors)


def _digest(frame: av.VideoFrame) -> bytes:
    picture = _picture(frame, (frame.height, frame.width), VideoReformatter())
    return hashlib.blake2b(picture.tobytes(), digest_size=16).digest()


def _picture(frame: av.VideoFrame, size: tuple[int, int], reformatter: VideoReformatter) -> Pixels:
    """`frame`, scaled to `size` (height, width), as uint8 RGB `[H, W, 3]`."""
    height, width = size
    # One thread: starting more for every small frame takes longer than scaling it.
    scaled = reformatter.reformat(frame, width, height, "rgb24", interpolation="BILINEAR", threads=1)
    return np.asarray(scaled.to_ndarray(), dtype=np.uint8)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(HASHED_BYTES):
            digest.update(block)
    return digest.hexdigest()
