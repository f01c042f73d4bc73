"""Counting a video's frames at another rate than its own: at every tick, the frame that is shown then."""

from bisect import bisect_right
from collections.abc import Sequence

from ndabench.data.videos.decoding import VideoFacts

NEXT_TO_NOTHING = 1e-4
"""In frames or seconds: what rounded times may be off and still count as reached."""


def frames_at(facts: VideoFacts, frame_rate: float | None) -> int:
    """How many ticks of `frame_rate` there are from the first frame to the last; at least 1."""
    if frame_rate is None:
        return facts.num_frames
    last = facts.times[-1] if facts.times else (facts.num_frames - 1) / facts.frame_rate
    return int(last * frame_rate + NEXT_TO_NOTHING) + 1


def shown_frames(facts: VideoFacts, ticks: Sequence[int], frame_rate: float | None) -> Sequence[int]:
    """The file's frame at each of the `ticks`; without a `frame_rate` a tick is a frame."""
    if frame_rate is None:
        return ticks
    if facts.times is None:
        found = [int(tick / frame_rate * facts.frame_rate + NEXT_TO_NOTHING) for tick in ticks]
    else:
        times = facts.times
        found = [bisect_right(times, tick / frame_rate + NEXT_TO_NOTHING) - 1 for tick in ticks]
    return [min(frame, facts.num_frames - 1) for frame in found]
