"""Whatever is wrong with a set of videos is one line that names the list or the video."""

import logging
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import pytest
import torch

from ndabench.config import parse
from ndabench.data import progress
from ndabench.data.registry import VideoDataConfig, load_data
from ndabench.data.videos import feeding
from ndabench.data.videos.clips import ClipRequest
from ndabench.data.videos.decoding import scan
from ndabench.errors import UserError
from tests.video_files import write_ucf101, write_video

CPU = torch.device("cpu")


def error_of(**keys: Any) -> str:
    with pytest.raises(UserError) as caught:
        load_data(parse(VideoDataConfig, keys, "data"), device=CPU)
    line = str(caught.value)
    assert "\n" not in line
    return line


def test_a_long_scan_is_heard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write_ucf101(tmp_path / "ucf")
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", -1.0)
    keys = {"name": "ucf101", "path": tmp_path / "ucf", "cache": "none"}
    with caplog.at_level("INFO"):
        load_data(parse(VideoDataConfig, keys, "data"), device=CPU)
    assert caplog.messages == [f"scanning videos: {number} of 16" for number in range(16)]


@pytest.fixture
def ucf(tmp_path: Path) -> Path:
    write_ucf101(tmp_path / "ucf")
    return tmp_path / "ucf"


def lists(ucf: Path, name: str) -> Path:
    return ucf / "ucfTrainTestlist" / f"{name}.txt"


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


FIRST = "Archery/v_Archery_g08_c01.avi"


@pytest.mark.parametrize(
    ("name", "old", "new", "expected"),
    [
        ("trainlist01", f"{FIRST} 1", f"{FIRST} 2", "trainlist01.txt:1: gives the number 2 to a video of"),
        ("trainlist01", FIRST, "Archer/a.avi", "'Archer' is not in classInd.txt; did you mean 'Archery'"),
        ("trainlist01", FIRST, "a.avi", "trainlist01.txt:1: must be '<class>/<video>', but is 'a.avi 1'"),
        ("trainlist01", FIRST, "Archery/a.avi", "UCF-101/Archery/a.avi, which does not exist"),
        ("testlist01", "g01_c01", "g08_c01", "g08_c01.avi is in the training list and in the test list"),
        ("testlist01", "g01_c01", "g01_c02", "v_Archery_g01_c02.avi is twice in the test list"),
        ("classInd", "2 Biking", "3 Biking", "classInd.txt:2: must be '2 <class>', but is '3 Biking'"),
        ("classInd", "2 Biking", "", "the class 'Biking' is not in classInd.txt"),
    ],
)  # fmt: skip
def test_lists_that_contradict(ucf: Path, name: str, old: str, new: str, expected: str) -> None:
    edit(lists(ucf, name), old, new)
    assert expected in error_of(name="ucf101", path=ucf)


def test_missing_videos_are_counted(ucf: Path) -> None:
    for file in (ucf / "UCF-101/Biking").glob("*_g08_*"):
        file.unlink()
    line = error_of(name="ucf101", path=ucf)
    assert "trainlist01.txt: lists " in line
    assert "Biking/v_Biking_g08_c01.avi, which does not exist (and 1 more of its 12 videos)" in line


def test_missing_and_empty_lists(ucf: Path) -> None:
    assert "trainlist02.txt: cannot be read (No such file" in error_of(name="ucf101", path=ucf, split=2)
    lists(ucf, "testlist01").write_text("\n")
    assert "testlist01.txt: the list has no video" in error_of(name="ucf101", path=ucf)
    lists(ucf, "testlist01").write_bytes(b"\xff\xfe")
    assert "not a text file in UTF-8" in error_of(name="ucf101", path=ucf)


def sound(path: Path) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(8000))


def of_unknown_codec(path: Path) -> None:
    write_video(path, num_frames=3)
    path.write_bytes(path.read_bytes().replace(b"FMP4", b"QQQQ"))


def without_frames(path: Path) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuvj420p"
        container.start_encoding()


def cut_off(path: Path) -> None:
    """An MP4 without its end, where its index is."""
    whole = write_video(path.with_suffix(".mp4"), "mpeg4").read_bytes()
    path.write_bytes(whole[: len(whole) // 2])


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda path: path.write_bytes(b""), "the video cannot be read (Invalid data found"),
        (lambda path: path.write_bytes(b"not a video" * 100), "the video cannot be read (Invalid data found"),
        (cut_off, "the video cannot be read (Invalid data found"),
        (sound, "has no video stream"),
        (of_unknown_codec, "its video codec is unknown to this FFmpeg"),
        (without_frames, "the video has no frame"),
    ],
)
def test_unreadable_videos(make: Callable[[Path], Any], expected: str, tmp_path: Path) -> None:
    path = tmp_path / "a.avi"
    make(path)
    with pytest.raises(UserError) as caught:
        scan(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert expected in str(caught.value)


def test_an_unreadable_video_is_an_error_or_left_out_and_reported(ucf: Path) -> None:
    for name in ("Archery/v_Archery_g08_c02.avi", "Biking/v_Biking_g01_c01.avi"):
        (ucf / "UCF-101" / name).write_bytes(b"nothing")
    line = error_of(name="ucf101", path=ucf)
    assert "v_Archery_g08_c02.avi: the video cannot be read (" in line
    assert line.endswith("(and 1 more of 16 videos); `unreadable: skip` would leave it out")
    config = parse(VideoDataConfig, {"name": "ucf101", "path": ucf, "unreadable": "skip"}, "data")
    data = load_data(config, device=torch.device("cpu"))
    assert len(data.train) + len(data.validation) == 11
    assert len(data.test) == 3
    assert [line.split(":")[0].rsplit("/")[-1] for line in data.unreadable] == [
        "v_Archery_g08_c02.avi",
        "v_Biking_g01_c01.avi",
    ]


def test_no_test_video_can_be_read(ucf: Path) -> None:
    for path in (ucf / "UCF-101").glob("*/*_g01_*"):
        path.write_bytes(b"nothing")
    line = error_of(name="ucf101", path=ucf, unreadable="skip")
    assert line == "ucf101:ucf split 1: the test list has no video that can be read"


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_video_that_changes_after_the_scan(ucf: Path, workers: int) -> None:
    keys = {"name": "ucf101", "path": ucf, "decode_workers": workers, "cache": "none"}
    data = load_data(parse(VideoDataConfig, keys, "data"), device=torch.device("cpu"))
    for path in (ucf / "UCF-101").glob("*/*_g01_*"):
        write_video(path, num_frames=3)
    with pytest.raises(UserError, match=r"v_Archery_g01_c01.avi: has no frame 3 any more"):
        list(data.test.clips([[ClipRequest(0, 0, 10)]]))


def test_clips_longer_than_memory_allows(ucf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = {"name": "ucf101", "path": ucf, "decode_workers": 0, "frame_size": 1024, "cache": "none"}
    data = load_data(parse(VideoDataConfig, keys, "data"), device=torch.device("cpu"))
    monkeypatch.setattr(feeding, "_available", lambda: 2**30)
    monkeypatch.setattr(feeding, "_left_in_group", lambda: None)
    with pytest.raises(UserError, match=r"take 1\.88 GiB, but 1\.00 GiB of memory are free; 170 frames per"):
        list(data.test.clips([[ClipRequest(0, 0, 320)] * 2]))
    with pytest.raises(UserError, match=r"341 clips per batch would fit"):
        list(data.test.clips([[ClipRequest(0, 0, 1)] * 400]))
    assert feeding.free_memory(shared=True)[0] is not None


def test_torchcodec_where_there_is_none(ucf: Path) -> None:
    try:
        import torchcodec.decoders  # noqa: F401
    except (ImportError, OSError, RuntimeError):
        line = error_of(name="ucf101", path=ucf, decoder="torchcodec")
        assert line.startswith("decoder: torchcodec cannot be used here (")
        assert line.endswith("install torchcodec and FFmpeg, or choose decoder: pyav")
    else:
        pytest.skip("TorchCodec is there")


def test_a_damaged_scan_is_made_again(ucf: Path, cache: Path, caplog: pytest.LogCaptureFixture) -> None:
    config = parse(VideoDataConfig, {"name": "ucf101", "path": ucf}, "data")
    first = load_data(config, device=torch.device("cpu"))
    (scan,) = (cache / "videos/scans").glob("*/scan.json")
    text = scan.read_text()
    number = text.index('"num_frames":') + len('"num_frames":')
    scan.write_text(f"{text[:number]}9{text[number + 1 :]}")
    assert load_data(config, device=torch.device("cpu")).content_hash == first.content_hash
    assert scan.read_text() == text
    warnings = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert warnings == [f"{scan.parent}: damaged (scan.json is not as it was written); building it again"]


def test_keys_that_cannot_be(tmp_path: Path) -> None:
    def refused(**keys: Any) -> str:
        with pytest.raises(UserError) as caught:
            parse(VideoDataConfig, keys, "data")
        return str(caught.value)

    assert "frame_size" in refused(name="moving_digits", frame_size=0)
    odd = refused(name="moving_digits", files={"sizes": [[48, 63]]})
    assert "sizes.0.1: input should be a multiple of 2, got 63" in odd
    assert "moving digits in memory have 25 frames" in error_of(name="moving_digits", frame_rate=5)
    assert "did you mean 'ucf101'" in refused(name="ucf102", path=tmp_path)
