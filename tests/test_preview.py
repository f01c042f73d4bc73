"""The preview: a labelled row for each negative, of images or of a clip's frames."""

import io
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from ndabench.augmentations.registry import implementations
from ndabench.config import parse
from ndabench.data.previews import clip_preview, labelled_sheet
from ndabench.data.registry import VideoDataConfig, load_data
from ndabench.data.videos.clips import ClipRequest
from ndabench.planning.sweep_file import SweepConfig
from ndabench.preview import negatives_to_show, preview
from tests.command_lines import CommandLine
from tests.video_stand_in import DIGITS, SWEEP

CLIP_NEGATIVES = implementations("clips")
NEGATIVES = implementations("corrected")
RELEASED = implementations("released")

ROW = 66
"""Height of a row in pixels."""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NDABENCH_CACHE", str(tmp_path / "cache"))


def digits(**keys: Any) -> Any:
    return load_data(parse(VideoDataConfig, {**DIGITS, **keys}, "data"), device=torch.device("cpu"))


def rows_of(png: Path) -> int:
    with Image.open(png) as picture:
        assert picture.height % ROW == 0
        return picture.height // ROW


def test_images_are_shown_with_their_negatives(
    command_line: CommandLine, capsys: pytest.CaptureFixture
) -> None:
    png = command_line.folder / "p.png"
    preview(Path(command_line.file()), out=png, images=4)
    printed = capsys.readouterr().out
    shares = r"\d+\.\d% of \d+ outputs equal their input, \d+\.\d% change less than 4% of the pixels"
    assert re.search(rf"^jigsaw: {shares}$", printed, re.M), printed
    assert rows_of(png) == 1 + len(NEGATIVES) + len(RELEASED)


def test_the_arms_of_the_file_come_first() -> None:
    arms = [
        "none",
        "cutout",
        {"negative": {"name": "jigsaw", "grid": 4}},
        {"positive": {"chain": ["jigsaw", "cutout"]}},
    ]
    task = {"name": "gan", "reference": True}
    sweep = {"name": "s", "task": task, "data": {"name": "digits"}, "arms": arms}
    rows = list(negatives_to_show(parse(SweepConfig, sweep, "file"), None))
    released = {f"{name}[released]" for name in RELEASED}
    of_arms = ["cutout[released]", "jigsaw(grid=4)[released]", "jigsaw[released]>cutout[released]"]
    assert rows[:3] == of_arms
    assert set(rows[3:]) == {*NEGATIVES, *released} - {"cutout[released]"}


@pytest.mark.parametrize(("clip_frames", "left_out"), [(10, 0), (12, 1)])
def test_a_clip_is_shown_with_its_negatives(
    command_line: CommandLine,
    capsys: pytest.CaptureFixture,
    clip_frames: int,
    left_out: int,
) -> None:
    png = command_line.folder / "p.png"
    task = {"name": "stand_in", "clip_frames": clip_frames}
    file = command_line.file(**{**SWEEP, "task": task, "arms": ["none"]})
    preview(Path(file), out=png)
    printed = capsys.readouterr().out
    count = len(CLIP_NEGATIVES) + len(NEGATIVES) - left_out
    assert rows_of(png) == 2 + count
    assert f"{png}: 8 frames of a clip of moving_digits split 1, each with {count} negatives" in printed
    assert printed.count("left out: ") == left_out
    if left_out:
        assert "left out: shuffle_blocks: clips of 12 frames" in printed


def test_strips_are_evenly_sampled_frames_of_one_clip() -> None:
    data = digits(video_frames=21)
    strip = clip_preview(data, CLIP_NEGATIVES, (3, 10, 16, 16), count=4, seed=0).rows
    whole = clip_preview(data, CLIP_NEGATIVES, (3, 10, 16, 16), count=64, seed=0).rows
    assert all(frames.shape == (4, 3, 16, 16) for frames in strip.values())
    assert all(frames.shape == (10, 3, 16, 16) for frames in whole.values())
    for name, frames in strip.items():
        assert torch.equal(frames, whole[name][[0, 3, 6, 9]]), name
    real, another = whole["real"], whole["another"]
    requests = [ClipRequest(video, 0, 10, stride=2) for video in (0, len(data.train) - 1)]
    clips, _ = next(iter(data.train.clips([requests])))
    assert torch.equal(real, clips[0].transpose(0, 1))
    assert torch.equal(another, clips[1].transpose(0, 1))
    assert torch.equal(whole["reverse"], real.flip(0))
    assert torch.equal(whole["flip"], real.flip(-1))
    cut = [torch.equal(a, b) for a, b in zip(whole["splice"], real, strict=True)].index(False)
    assert torch.equal(whole["splice"], torch.cat([real[:cut], another[cut:]]))


def test_a_video_shorter_than_the_clip_ends_with_its_last_frame() -> None:
    whole = clip_preview(digits(video_frames=4), {}, (3, 10, 16, 16), count=10, seed=0).rows["real"]
    assert torch.equal(whole[3:], whole[3:4].expand(7, -1, -1, -1))


def test_a_sheet_is_as_wide_as_its_frames() -> None:
    rows = {"real": torch.zeros(3, 3, 8, 16, dtype=torch.uint8)}
    with Image.open(io.BytesIO(labelled_sheet(rows))) as picture:
        assert picture.height == ROW
        assert picture.width > 3 * 128


def test_a_set_smaller_than_a_row(command_line: CommandLine) -> None:
    for split, classes in (("train", "ab"), ("test", "ab")):
        for name in classes:
            folder = command_line.folder / "set" / split / name
            folder.mkdir(parents=True)
            for number in range(2):
                Image.new("RGB", (16, 16), (90 * number, 9, 9)).save(folder / f"{number}.png")
    data = {"name": "image_folder", "path": str(command_line.folder / "set"), "validation_fraction": 0.5}
    png = command_line.folder / "p.png"
    code, _ = command_line(preview, command_line.file(data=data), "--out", str(png), "--images", "8")
    assert code == 0
    assert rows_of(png) >= 2
