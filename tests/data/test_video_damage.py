"""A video that is cut off or damaged is unreadable, one that is odd, but whole, is not; all come upright."""

import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch

from ndabench.config import parse
from ndabench.data.registry import VideoDataConfig, load_data
from ndabench.data.videos.clips import ClipData
from ndabench.data.videos.decoding import read_frames, scan
from ndabench.data.videos.facts import VideoFacts
from ndabench.data.videos.source import Framing
from ndabench.errors import UserError
from tests.video_files import numbers_of, write_video

CODECS = {
    "a.avi": ("mpeg4", {"g": "12"}),
    "b-frames.avi": ("mpeg4", {"g": "12", "bf": "2"}),
    "motion-jpeg.avi": ("mjpeg", {}),
    "a.mkv": ("libx264", {"bf": "2"}),
    "a.webm": ("libvpx-vp9", {"cpu-used": "8", "deadline": "realtime"}),
    "a.flv": ("flv1", {}),
    "a.mpg": ("mpeg2video", {"g": "12", "bf": "2"}),
}
PLAIN = Framing(48, 64, crop=False)


def write(folder: Path, name: str, num_frames: int = 60) -> Path:
    codec, options = CODECS[name]
    if codec not in av.codecs_available:
        pytest.skip(f"this FFmpeg has no {codec}")
    pixel_format = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    return write_video(
        folder / name, codec, num_frames=num_frames, options=options, pixel_format=pixel_format
    )


def refused(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        scan(path)
    line = str(caught.value)
    assert line.startswith(f"{path}: ")
    assert "\n" not in line
    return line


@pytest.mark.parametrize("name", CODECS)
@pytest.mark.parametrize("kept", [0.3, 0.6, 0.85])
def test_a_video_that_is_cut_off_is_unreadable(name: str, kept: float, tmp_path: Path) -> None:
    path = write(tmp_path, name)
    assert scan(path).num_frames == 60
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    line = refused(path)
    assert any(reason in line for reason in ("cut off", "damaged", "cannot be read", "has no frame"))


@pytest.mark.parametrize("name", CODECS)
def test_a_video_with_altered_bytes_gives_its_own_frames_or_none(name: str, tmp_path: Path) -> None:
    """400 bytes at each of five places."""
    path = write(tmp_path, name)
    facts, content = scan(path), path.read_bytes()
    whole = read_frames(path, facts, range(60), PLAIN)
    noticed = 0
    for place in np.linspace(0.3, 0.8, 5):
        first = int(len(content) * place)
        altered = bytes(byte ^ 0x5A for byte in content[first : first + 400])
        path.write_bytes(content[:first] + altered + content[first + 400 :])
        try:
            found = read_frames(path, scan(path), range(60), PLAIN)
        except UserError:
            noticed += 1
        else:
            np.testing.assert_array_equal(found, whole)
    assert noticed >= 3


def test_frames_that_an_avi_leaves_out_are_no_damage(tmp_path: Path) -> None:
    """A recorder that drops frames leaves their places empty, and the header counts the places."""
    times = [0, 1, 2, 10, 11, 12, 20, 21, 30, 31]
    path = write_video(tmp_path / "a.avi", num_frames=10, times=times)
    with av.open(str(path)) as container:
        assert container.streams.video[0].frames == 32
    facts = scan(path)
    assert facts.num_frames == 10
    assert numbers_of(read_frames(path, facts, range(10), PLAIN)) == list(range(10))


def test_frames_that_an_edit_list_hides_are_no_damage(tmp_path: Path) -> None:
    """A film that was cut without encoding it anew starts at a key frame and hides what is before the cut."""
    path = write_video(tmp_path / "a.mp4", "libx264", times=range(-12, 28), options={"g": "40", "bf": "0"})
    with av.open(str(path)) as container:
        assert container.streams.video[0].frames == 40
    facts = scan(path)
    assert facts.num_frames == 28
    assert numbers_of(read_frames(path, facts, [0, 27], PLAIN)) == [12, 39]


MATRICES: dict[str, tuple[tuple[int, int, int, int], Callable[[np.ndarray], np.ndarray]]] = {
    "90° clockwise": ((0, 1, -1, 0), lambda frames: np.rot90(frames, -1, (1, 2))),
    "180°": ((-1, 0, 0, -1), lambda frames: np.rot90(frames, 2, (1, 2))),
    "270° clockwise": ((0, -1, 1, 0), lambda frames: np.rot90(frames, 1, (1, 2))),
    "mirrored": ((-1, 0, 0, 1), lambda frames: frames[:, :, ::-1]),
    "upside down and mirrored": ((1, 0, 0, -1), lambda frames: frames[:, ::-1]),
    "transposed": ((0, 1, 1, 0), lambda frames: frames.swapaxes(1, 2)),
    "empty": ((0, 0, 0, 0), lambda frames: frames),
}


def matrix_of(a: float, b: float, c: float, d: float) -> bytes:
    places = [round(number * 2**16) for number in (a, b, 0, c, d, 0, 0, 0, 2**14)]
    return struct.pack(">9i", *places)


def rotate(path: Path, *matrix: float) -> None:
    """Changes the display matrix in the track header of an MP4."""
    content = path.read_bytes()
    place = content.index(matrix_of(1, 0, 0, 1), content.index(b"tkhd"))
    path.write_bytes(content[:place] + matrix_of(*matrix) + content[place + 36 :])


@pytest.mark.parametrize("kind", MATRICES)
def test_frames_come_upright(kind: str, tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", "libx264", num_frames=4)
    stored = read_frames(path, scan(path), range(4), PLAIN)
    matrix, expected = MATRICES[kind]
    rotate(path, *matrix)
    facts, upright = scan(path), expected(stored)
    assert (facts.height, facts.width) == upright.shape[1:3]
    np.testing.assert_array_equal(
        read_frames(path, facts, range(4), Framing(facts.height, facts.width, crop=False)), upright
    )
    assert VideoFacts.model_validate_json(facts.model_dump_json(exclude_defaults=True)) == facts
    narrow = read_frames(path, facts, [0], Framing(32, 16, crop=True))
    assert narrow.shape == (1, 32, 16, 3)
    assert abs(int(narrow.mean()) - int(upright[0].mean())) < 30


def test_an_odd_angle_is_refused(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", "libx264", num_frames=2)
    rotate(path, 0.7071, 0.7071, -0.7071, 0.7071)
    assert "is to be shown turned by -45°; only quarter turns can be read" in refused(path)


def load(folder: Path, **keys: Any) -> ClipData:
    config = parse(VideoDataConfig, {"name": "video_folder", "path": folder, **keys}, "data")
    return load_data(config, device=torch.device("cpu"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(4):
        for split in ("train", "test"):
            write_video(tmp_path / split / "ab"[number % 2] / f"{split} {number}.mp4", num_frames=12)
    return tmp_path


def test_the_hash_changes_with_the_rotation_alone(folder: Path) -> None:
    """The hash of plain videos is that of earlier versions, which did not turn them."""
    before = load(folder).content_hash
    rotate(folder / "train/a/train 0.mp4", -1, 0, 0, -1)
    turned = load(folder).content_hash
    assert turned != before


def test_videos_that_are_left_out_are_counted_and_named(folder: Path) -> None:
    for name in ("train/a/train 0.mp4", "test/b/test 1.mp4"):
        shutil.copy(folder / name, folder / "whole")
        (folder / name).write_bytes((folder / "whole").read_bytes()[:-200])
    data = load(folder, unreadable="skip")
    expected = "2 of 8 videos cannot be read and are left out: test 1.mp4, train 0.mp4"
    assert data.notes == (expected,)
    (folder / "train/a/train 2.mp4").write_bytes(b"")
    with pytest.raises(UserError, match=r"1 of 2 classes have no training video that can be read: a$"):
        load(folder, unreadable="skip")
