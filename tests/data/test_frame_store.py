"""Frames are decoded once, kept bit for bit, and never left half-written."""

import logging
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

from ndabench.config import parse
from ndabench.data.registry import VideoDataConfig, load_data
from ndabench.data.videos import frame_store, load
from ndabench.data.videos.clips import ClipData, ClipRequest
from ndabench.data.videos.facts import VideoFacts
from ndabench.data.videos.feeding import DecodedClips, ResidentClips
from ndabench.data.videos.sampling import random_clips
from ndabench.data.videos.source import Framing, Pixels
from ndabench.errors import UserError
from tests.video_files import write_ucf101

SPLITS = ("train", "validation", "test")


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """16 videos in two codecs, of several sizes and rates, 11 to 26 frames."""
    root = tmp_path_factory.mktemp("videos")
    write_ucf101(root, codecs=("mpeg4", "libx264"), rates=(25, 10), sizes=((48, 64), (80, 48)))
    return root


def opened(path: Path, **keys: Any) -> ClipData:
    given = {"name": "ucf101", "path": path, "decode_workers": 0, "frame_size": [24, 32], **keys}
    return load_data(parse(VideoDataConfig, given, "data"), device=torch.device("cpu"))


def entries(cache: Path) -> list[Path]:
    return [entry for entry in (cache / "videos/frames").iterdir() if not entry.name.endswith(".lock")]


class Read(NamedTuple):
    path: Path
    frames: tuple[int, ...]


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[Read]:
    """What is decoded from now on."""
    read_frames, seen = load.DECODERS["pyav"], list[Read]()

    def counted(path: Path, facts: VideoFacts, wanted: Sequence[int], framing: Framing) -> Pixels:
        seen.append(Read(path, tuple(wanted)))
        return read_frames(path, facts, wanted, framing)

    monkeypatch.setitem(load.DECODERS, "pyav", counted)
    return seen


@pytest.mark.parametrize("keys", [{}, {"frame_rate": 12.5, "crop": False}])
@pytest.mark.parametrize("chunk_bytes", [2**24, 5 * 3 * 24 * 32])
def test_clips_are_those_of_decoding_bit_for_bit(
    keys: dict[str, Any], chunk_bytes: int, videos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frame_store, "CHUNK_BYTES", chunk_bytes)
    kept, anew = (opened(videos, cache=cache, **keys) for cache in ("auto", "none"))
    assert kept.content_hash == anew.content_hash
    for name in SPLITS:
        one, other = getattr(kept, name), getattr(anew, name)
        assert isinstance(one, ResidentClips)
        assert isinstance(other, DecodedClips)
        assert list(one.num_frames) == list(other.num_frames)
        batches = [
            *([ClipRequest(video, 0, max(one.num_frames))] for video in range(len(one))),
            *islice(random_clips(one, len(one), frames=5, stride=3, seed=1), 2),
        ]
        for (clips, labels), (clips_too, labels_too) in zip(
            one.clips(batches), other.clips(batches), strict=True
        ):
            assert torch.equal(clips, clips_too)
            assert clips.is_contiguous()
            assert torch.equal(labels, labels_too)


def test_every_video_is_decoded_once_whoever_asks(videos: Path, cache: Path, decoded: list[Read]) -> None:
    """Two at the same time, then another split seed, another folder and the list of another split."""
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: opened(videos), range(2))
    assert len(decoded) == len({read.path for read in decoded}) == 16
    moved = shutil.copytree(videos, cache.parent / "moved")
    for data in (first, second, opened(videos, split_seed=3), opened(moved, cache="memory")):
        assert sum(1 for name in SPLITS for _ in getattr(data, name).clips([[ClipRequest(0, 0, 4)]])) == 3
    assert len(decoded) == 16
    assert len(entries(cache)) == 1
    opened(videos, frame_size=16)
    assert len(decoded) == 32
    assert len(entries(cache)) == 2


@pytest.mark.parametrize("ended", ["fails", "killed"])
def test_an_interrupted_build_leaves_nothing(
    ended: str, videos: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_frames = load.DECODERS["pyav"]

    def fails(path: Path, *rest: Any) -> Pixels:
        if "Biking" in path.name:
            raise (UserError("it was changed") if ended == "fails" else KeyboardInterrupt)
        return read_frames(path, *rest)

    with monkeypatch.context() as patch:
        patch.setitem(load.DECODERS, "pyav", fails)
        if ended == "killed":  # nobody clears up
            patch.setattr(shutil, "rmtree", lambda *_, **__: None)
        with pytest.raises((UserError, KeyboardInterrupt)):
            opened(videos)
    left = entries(cache)
    assert all(entry.name.startswith(".") for entry in left)
    assert bool(left) == (ended == "killed")
    whole, anew = opened(videos).train, opened(videos, cache="none").train
    batches = [[ClipRequest(video, 0, 26)] for video in range(len(whole))]
    for (clips, _), (expected, _) in zip(whole.clips(batches), anew.clips(batches), strict=True):
        assert torch.equal(clips, expected)
    assert [entry.name[0] == "." for entry in entries(cache)] == [False]


def test_a_damaged_entry_is_decoded_again(
    videos: Path, cache: Path, decoded: list[Read], caplog: pytest.LogCaptureFixture
) -> None:
    opened(videos)
    (entry,) = entries(cache)
    with (entry / frame_store.FRAMES).open("r+b") as file:
        file.seek(5000)
        file.write(b"\0\1\2\3")
    opened(videos)
    assert len(decoded) == 32
    assert any("is not as it was written); building it again" in line for line in caplog.messages)


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, int], None]:
    """Sets how much `auto` keeps, and how much room the disk has."""

    def limit(kept: int, free: int) -> None:
        monkeypatch.setattr(frame_store, "RESIDENT_LIMIT_BYTES", kept)
        monkeypatch.setattr(frame_store, "_free_bytes", lambda folder: free)

    return limit


SIZE = sum(range(11, 27)) * 3 * 24 * 32
"""Bytes of the frames of all videos."""


def test_what_is_kept_and_how_large_it_is(
    videos: Path, cache: Path, limits: Callable[[int, int], None], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "ndabench")
    frames = "296 frames of 24×32 take 1 MiB decoded"
    assert opened(videos, cache="none").kept == f"{frames}; every clip is decoded anew (data.cache: none)"
    limits(SIZE - 1, SIZE)
    large = opened(videos)
    assert isinstance(large.train, DecodedClips)
    assert large.kept == (
        f"{frames}, more than 1 MiB: every clip is decoded anew (data.cache: disk would keep them)"
    )
    limits(SIZE, SIZE - 1)
    assert f"but {cache} has 1 MiB left: every clip is decoded anew" in opened(videos).kept
    for where in ("disk", "memory"):
        with pytest.raises(UserError, match=rf"data.cache: {where}: .* MiB left; set NDABENCH_CACHE"):
            opened(videos, cache=where)
    assert not any("once" in line for line in caplog.messages)
    limits(SIZE - 1, SIZE)
    assert opened(videos, cache="disk").kept == f"{frames}; all trials share them (data.cache: disk)"
    assert f"decoding 16 videos of ucf101:{videos.name} split 1, once; kept in" in caplog.text
    limits(SIZE, 0)  # what is there needs no room
    assert opened(videos).kept == f"{frames}; all trials share them (data.cache: auto)"
