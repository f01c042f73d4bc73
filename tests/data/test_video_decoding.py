"""Any frames of any codec and container are those that decoding everything from the beginning gives."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from ndabench.data.videos import decoding
from ndabench.data.videos.decoding import read_frames, scan
from ndabench.data.videos.facts import VideoFacts, frames_at, shown_frames
from ndabench.data.videos.source import Framing
from tests.video_files import numbers_of, write_video

OPEN_GROUPS = {"bf": "3", "x264-params": "open-gop=1:keyint=13:min-keyint=13:scenecut=0"}
CLOSED_GROUPS = {"bf": "2", "x264-params": "keyint=13:scenecut=0"}
FILES: dict[str, tuple[str, str, dict[str, str]]] = {
    "MPEG-4 in AVI": ("a.avi", "mpeg4", {"g": "12"}),
    "MPEG-4 with B-frames in AVI": ("a.avi", "mpeg4", {"g": "12", "bf": "2"}),
    "MPEG-4 with B-frames in MP4": ("a.mp4", "mpeg4", {"g": "12", "bf": "2"}),
    "MPEG-2 with B-frames": ("a.mpg", "mpeg2video", {"g": "12", "bf": "2"}),
    "Motion JPEG": ("a.avi", "mjpeg", {}),
    "H.264, closed groups": ("a.mp4", "libx264", CLOSED_GROUPS),
    "H.264, open groups": ("a.mp4", "libx264", OPEN_GROUPS),
    "H.264, open groups in Matroska": ("a.mkv", "libx264", OPEN_GROUPS),
    "H.264, open groups in a transport stream": ("a.ts", "libx264", OPEN_GROUPS),
    "H.264 in AVI, times out of order": ("a.avi", "libx264", CLOSED_GROUPS),
    "H.264, intra refresh": ("a.mp4", "libx264", {"x264-params": "intra-refresh=1:keyint=13"}),
    "H.264 without a container, without times": ("a.h264", "libx264", CLOSED_GROUPS),
    "H.265, open groups": ("a.mp4", "libx265", {"x265-params": "keyint=13:open-gop=1:log-level=none"}),
    "VP9": ("a.webm", "libvpx-vp9", {"g": "13", "cpu-used": "8", "deadline": "realtime"}),
}
PLAIN = Framing(48, 64, crop=False)


def write(folder: Path, kind: str) -> Path:
    name, codec, options = FILES[kind]
    if codec not in av.codecs_available:
        pytest.skip(f"this FFmpeg has no {codec}")
    pixel_format = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    return write_video(folder / name, codec, options=options, pixel_format=pixel_format)


def decoded_from_the_beginning(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


@pytest.mark.parametrize("kind", FILES)
def test_any_frame_is_the_right_one(kind: str, tmp_path: Path) -> None:
    path = write(tmp_path, kind)
    facts = scan(path)
    expected = decoded_from_the_beginning(path)
    assert facts.num_frames == len(expected) == 40
    for wanted in (
        *([[frame] for frame in range(0, 40, 3)]),
        [13, 14, 15],
        [25, 26, 27],
        [2, 17, 39],
        [39, 39, 0],
        list(range(40)),
    ):
        found = read_frames(path, facts, wanted, PLAIN)
        assert numbers_of(found) == wanted
        np.testing.assert_array_equal(found, expected[wanted])


@pytest.mark.parametrize("kind", ["MPEG-4 in AVI", "H.264, closed groups", "H.264, open groups", "VP9"])
def test_seeking_saves_decoding(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, kind)
    facts = scan(path)
    assert len(facts.anchors) >= 2
    seen = []
    frames_from = decoding._frames_from

    def counted(path: Path, anchor: decoding.Anchor) -> object:
        for frame in frames_from(path, anchor):
            seen.append(frame.pts)
            yield frame

    monkeypatch.setattr(decoding, "_frames_from", counted)
    second = facts.anchors[1][0]
    read_frames(path, facts, [1, second + 1], PLAIN)
    assert len(seen) == 4  # two from the beginning, two from the anchor


def test_a_seek_that_lands_elsewhere_is_no_anchor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, "MPEG-4 in AVI")
    frames_from = decoding._frames_from

    def astray(path: Path, anchor: decoding.Anchor, delivery: Any = None) -> object:
        frames = frames_from(path, anchor, delivery)
        if anchor[1] is not None:
            next(frames)
        return frames

    monkeypatch.setattr(decoding, "_frames_from", astray)
    assert scan(path).anchors == ()


def test_times_that_do_not_start_at_0_and_are_not_regular(tmp_path: Path) -> None:
    """A frame is shown until the next one; at 5 frames a second there is a tick every 5 units."""
    times = [100, 101, 102, 110, 111, 130, *range(131, 150)]
    path = write_video(tmp_path / "a.mkv", "libx264", num_frames=25, times=times, options=CLOSED_GROUPS)
    facts = scan(path)
    assert facts.num_frames == 25
    assert facts.times is not None
    np.testing.assert_allclose(facts.times, [(time - 100) / 25 for time in times], atol=0.002)
    assert numbers_of(read_frames(path, facts, [24, 3, 13, 14], PLAIN)) == [24, 3, 13, 14]
    assert frames_at(facts, 5) == 10  # ticks 0, 5, … 45 of 49
    assert shown_frames(facts, range(10), 5) == [0, 2, 3, 4, 4, 4, 5, 10, 15, 20]


@pytest.mark.parametrize(
    ("rate", "expected"), [(25.0, [0, 1, 2, 3]), (50.0, [0, 0, 1, 1]), (12.5, [0, 2, 4, 6])]
)
def test_frames_at_another_rate(rate: float, expected: list[int]) -> None:
    facts = VideoFacts(num_frames=20, height=8, width=8, frame_rate=25.0, sha256="")
    assert shown_frames(facts, range(4), rate) == expected
    assert frames_at(facts, rate) == {25.0: 20, 50.0: 39, 12.5: 10}[rate]
    assert frames_at(facts, None) == 20
    assert shown_frames(facts, [7], None) == [7]


def test_regular_times_are_not_kept(tmp_path: Path) -> None:
    facts = scan(write_video(tmp_path / "a.mp4", "libx264", num_frames=10, rate=30))
    assert facts.times is None
    assert facts.frame_rate == pytest.approx(30)


def corner_colours(frame: np.ndarray) -> list[str]:
    """The dominant colour in the four corners: top left, top right, bottom left, bottom right."""
    near = frame[[4, 4, -5, -5], [4, -5, 4, -5]].astype(int)
    return ["rgb"[corner.argmax()] if np.ptp(corner) > 60 else "grey" for corner in near]


@pytest.fixture
def framed(tmp_path: Path) -> Callable[[Framing], np.ndarray]:
    """A 96×48 video, red, green and blue in vertical thirds."""
    picture = np.zeros((48, 96, 3), dtype=np.uint8)
    for third in range(3):
        picture[:, 32 * third : 32 * third + 32, third] = 220
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=Fraction(25))
        stream.height, stream.width = picture.shape[:2]
        container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    facts = scan(path)
    return lambda framing: read_frames(path, facts, [0], framing)[0]


def test_frames_are_cut_to_the_centre_or_squeezed_in(framed: Callable[[Framing], np.ndarray]) -> None:
    squeezed = framed(Framing(40, 40, crop=False))
    assert squeezed.shape == (40, 40, 3)
    assert corner_colours(squeezed) == ["r", "b", "r", "b"]
    centre = framed(Framing(24, 24, crop=True))
    assert centre.shape == (24, 24, 3)
    assert centre[12, 12].argmax() == 1
    np.testing.assert_array_equal(framed(Framing(48, 32, crop=True)), framed(Framing(48, 96, True))[:, 32:64])
    assert framed(Framing(20, 60, crop=True)).shape == (20, 60, 3)


@pytest.mark.parametrize(
    ("size", "target", "expected"),
    [
        ((240, 320), (128, 128), (128, 171)),
        ((320, 240), (128, 128), (171, 128)),
        ((100, 100), (30, 60), (60, 60)),
        ((48, 64), (48, 64), (48, 64)),
        ((7, 1000), (64, 64), (64, 9143)),
    ],
)
def test_scaling_covers_the_target(
    size: tuple[int, int], target: tuple[int, int], expected: tuple[int, int]
) -> None:
    assert Framing(*target, crop=True).scaled_size(*size) == expected
    assert Framing(*target, crop=False).scaled_size(*size) == target
