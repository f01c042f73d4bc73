"""Clips are a function of what is asked for: in any number of processes, from the start or after a resume."""

import multiprocessing
import resource
from itertools import islice
from pathlib import Path

import pytest
import torch

from ndabench.config import parse
from ndabench.data.registry import VideoDataConfig, load_data
from ndabench.data.videos.clips import ClipData, ClipRequest
from ndabench.data.videos.sampling import random_clips
from ndabench.errors import UserError
from tests.video_files import numbers_of, write_ucf101


@pytest.fixture
def ucf(tmp_path: Path) -> Path:
    write_ucf101(tmp_path / "ucf")  # videos of 11 to 26 frames, 64×48 and 80×48
    return tmp_path / "ucf"


def load(ucf: Path, *, workers: int = 0, **keys: object) -> ClipData:
    keys = {
        "name": "ucf101",
        "path": ucf,
        "decode_workers": workers,
        "frame_size": 32,
        "cache": "none",
        **keys,
    }
    return load_data(parse(VideoDataConfig, keys, "data"), device=torch.device("cpu"))


def numbers(clip: torch.Tensor) -> list[int]:
    return numbers_of(clip.permute(1, 2, 3, 0).numpy())


def test_frames_are_the_ones_asked_for_and_short_videos_are_padded(ucf: Path) -> None:
    data = load(ucf)
    assert data.test.num_frames == [11, 12, 19, 20]
    batches = [
        [ClipRequest(0, 2, 4), ClipRequest(3, 16, 4), ClipRequest(0, 2, 4)],
        [ClipRequest(1, 1, 4, 3)],
        [ClipRequest(0, 10, 5), ClipRequest(0, 4, 5, stride=3)],
    ]
    (first, labels), (second, _), (padded, _) = data.test.clips(batches)
    assert first.shape == (3, 3, 4, 32, 32)
    assert first.dtype == torch.uint8
    assert labels.tolist() == [0, 1, 0]
    assert [numbers(clip) for clip in first] == [[2, 3, 4, 5], [16, 17, 18, 19], [2, 3, 4, 5]]
    assert numbers(second[0]) == [1, 4, 7, 10]
    assert [numbers(clip) for clip in padded] == [[10] * 5, [4, 7, 10, 10, 10]]


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_processes_give_what_the_trainer_itself_would(ucf: Path) -> None:
    alone, many = load(ucf), load(ucf, workers=2)
    assert alone.content_hash == many.content_hash
    state = torch.get_rng_state()
    for split in ("train", "test"):
        batches = list(islice(random_clips(getattr(alone, split), 3, frames=4, stride=2, seed=1), 4))
        for (clips, labels), (clips_too, labels_too) in zip(
            getattr(alone, split).clips(batches), getattr(many, split).clips(batches), strict=True
        ):
            assert torch.equal(clips, clips_too)
            assert torch.equal(labels, labels_too)
    assert torch.equal(torch.get_rng_state(), state)


def test_another_rate(ucf: Path) -> None:
    data = load(ucf, frame_rate=12.5)
    assert data.test.num_frames == [6, 6, 10, 10]
    ((clips, _),) = data.test.clips([[ClipRequest(0, 1, 6)]])
    assert numbers(clips[0]) == [2, 4, 6, 8, 10, 10]


def test_random_clips_cover_every_epoch_and_go_on_exactly(ucf: Path) -> None:
    split = load(ucf).train
    assert len(split) == 8
    batches = list(islice(random_clips(split, 4, frames=5, stride=2, seed=3), 40))
    epochs = [[request.video for batch in batches[i : i + 2] for request in batch] for i in range(0, 40, 2)]
    assert all(sorted(epoch) == list(range(8)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 15
    for request in (request for batch in batches for request in batch):
        assert 0 <= request.first <= max(split.num_frames[request.video] - 9, 0)
        assert request[2:] == (5, 2)
    firsts = {r.first for batch in batches for r in batch if r.video == 0}
    assert firsts == set(range(split.num_frames[0] - 8))
    for start in (1, 2, 7):
        resumed = random_clips(split, 4, frames=5, stride=2, seed=3, start=start)
        assert list(islice(resumed, 5)) == batches[start : start + 5]
    assert next(random_clips(split, 4, frames=5, stride=2, seed=4)) != batches[0]
    with pytest.raises(UserError, match="batch_size 9 must lie between 1 and the number of videos, 8"):
        random_clips(split, 9, frames=5, stride=2, seed=3)


@pytest.mark.parametrize(
    ("num_frames", "frames", "stride", "overlap", "expected"),
    [
        (20, 8, 1, 0.5, [0, 4, 8, 12]),
        (21, 8, 1, 0.5, [0, 4, 8, 12, 13]),
        (8, 8, 1, 0.5, [0]),
        (5, 8, 1, 0.5, [0]),
        (30, 5, 3, 0.5, [0, 6, 12, 17]),
        (20, 8, 1, 0.0, [0, 8, 12]),
        (10, 8, 1, 0.99, [0, 1, 2]),
    ],
)
def test_windows(num_frames: int, frames: int, stride: int, overlap: float, expected: list[int]) -> None:
    from ndabench.data.videos.clips import covering_windows

    windows = covering_windows(7, num_frames, frames, stride, overlap)
    assert windows == [ClipRequest(7, first, frames, stride) for first in expected]
    last = windows[-1].indices(num_frames)
    assert last[-1] == num_frames - 1


def test_windows_of_a_split_cover_each_video(ucf: Path) -> None:
    split = load(ucf).test
    for video in range(len(split)):
        ((clips, _),) = split.clips([split.windows(video, 4, 1, 0.5)])
        assert {n for clip in clips for n in numbers(clip)} == set(range(split.num_frames[video]))
    with pytest.raises(UserError, match="overlap 1 of windows must be at least 0 and less than 1"):
        split.windows(0, 4, 1, 1.0)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="no /proc")
@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_memory_stays_flat(ucf: Path, workers: int) -> None:
    """Of the process that decodes, over 48 epochs: what FFmpeg did not give back would add up."""

    def megabytes() -> float:
        process = multiprocessing.active_children()[0].pid if workers else "self"
        return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * resource.getpagesize() / 2**20

    split = load(ucf, workers=workers).train
    stream = split.clips(random_clips(split, 8, frames=8, stride=1, seed=0))
    used = []
    for _ in range(4):
        for _ in range(12):
            next(stream)
        used.append(megabytes())
    assert used[-1] - used[0] < 2, used
