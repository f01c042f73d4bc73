"""Moving digits: the motion is the class and no single frame tells it, in memory and as real files."""

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch

from ndabench.config import parse
from ndabench.data.registry import VideoDataConfig, load_data
from ndabench.data.videos.clips import ClipData, ClipRequest
from ndabench.data.videos.digit_files import write_moving_digits
from ndabench.data.videos.digit_rendering import CLASS_NAMES, draw_motions, render


def load(**keys: Any) -> ClipData:
    return load_data(parse(VideoDataConfig, keys, "data"), device=torch.device("cpu"))


def whole(data: ClipData, split: str, frames: int) -> tuple[np.ndarray, np.ndarray]:
    """The first `frames` frames of every video, uint8 `[N, T, H, W]`, and labels."""
    own = getattr(data, split)
    ((clips, labels),) = own.clips([[ClipRequest(video, 0, frames) for video in range(len(own))]])
    return clips[:, 0].numpy(), labels.numpy()


def test_in_memory() -> None:
    data = load(name="moving_digits")
    assert data.class_names == CLASS_NAMES
    assert data.frame_shape == (3, 32, 32)
    sizes = [len(split) for split in (data.train, data.validation, data.test)]
    assert sizes == [512, 64, 224]
    for split in (data.train, data.validation, data.test):
        assert torch.bincount(split.labels).tolist() == [len(split) // 8] * 8
    ((clips, labels),) = data.train.clips([[ClipRequest(511, 30, 4), ClipRequest(3, 0, 4)]])
    assert clips.shape == (2, 3, 4, 32, 32)
    assert clips.dtype == torch.uint8
    assert labels.tolist() == [7, 0]
    assert torch.equal(clips[0, :, 1], clips[0, :, 3])  # padded
    assert torch.equal(clips[:, 0], clips[:, 2])
    assert load(name="moving_digits").content_hash == data.content_hash
    assert load(name="moving_digits", seed=1).content_hash != data.content_hash
    assert load(name="moving_digits", split=2).content_hash != data.content_hash
    assert data.train.windows(0, 16, 1, 0.5) == [ClipRequest(0, first, 16) for first in (0, 8, 16)]


def test_splits_share_no_digit() -> None:
    motions = draw_motions(2, seed=0)
    pictures = {
        (int(label), int(group)): glyph.numpy().tobytes()
        for label, group, glyph in zip(motions.labels, motions.groups, motions.glyphs, strict=True)
    }
    assert len(set(pictures.values())) == len(pictures) == 200


def test_motion_is_what_the_class_says() -> None:
    """Shifting, turning or magnifying a frame as its class says leads to a later one."""
    motions = draw_motions(2, seed=0)._replace(speeds=torch.ones(400, dtype=torch.float64))
    motions = motions._replace(starts=torch.tensor([0.5, 0.5, 0.1, 0.2], dtype=torch.float64).repeat(400, 1))
    motions = motions._replace(glyphs=motions.glyphs[:1].repeat(400, 1, 1))
    start, later = render(motions, torch.tensor([0.0, 0.25]), 32, 32).float().unbind(1)
    one = {name: later[motions.labels == label][0] for label, name in enumerate(CLASS_NAMES)}
    torch.testing.assert_close(one["MoveLeft"], start[0].roll(-8, 1), atol=1, rtol=0)
    torch.testing.assert_close(one["MoveRight"], start[0].roll(8, 1), atol=1, rtol=0)
    torch.testing.assert_close(one["MoveUp"], start[0].roll(-8, 0), atol=1, rtol=0)
    torch.testing.assert_close(one["MoveDown"], start[0].roll(8, 0), atol=1, rtol=0)
    turned = render(motions, torch.tensor([0.5]), 32, 32)[:, 0].float()  # by a quarter
    torch.testing.assert_close(turned[motions.labels == 5][0], start[0].rot90(-1), atol=1, rtol=0)
    torch.testing.assert_close(turned[motions.labels == 4][0], start[0].rot90(1), atol=1, rtol=0)
    lit = {name: float(picture.sum()) for name, picture in one.items()}
    assert lit["ZoomIn"] == pytest.approx(float(start[0].sum()) * 2**0.5, rel=0.05)
    assert lit["ZoomOut"] == pytest.approx(float(start[0].sum()) / 2**0.5, rel=0.05)


def test_one_frame_does_not_tell_the_class_and_two_do() -> None:
    """Classifiers by the nearest class mean of simple features, over many digits."""
    motions = draw_motions(20, seed=1)
    clips = render(motions, torch.arange(0, 32, 4) / 25, 16, 16).double() / 255
    spectra = torch.fft.fft2(clips)
    # The phase by which the lowest frequencies turn from frame to frame, and the change in energy.
    turn = spectra[:, 1:] * spectra[:, :-1].conj()
    shifts = torch.stack([turn[..., 0, 1].angle(), turn[..., 1, 0].angle()], -1).median(1).values
    growth = clips.sum((-1, -2)).clamp(min=1e-3).log().diff(dim=1).median(1).values[:, None]
    motion = torch.cat([shifts, growth * 5], 1)
    frame = torch.cat([clips[:, 0].flatten(1), spectra[:, 0].abs().flatten(1)], 1)
    frame = (frame - frame.mean(0)) / (frame.std(0) + 1e-3)

    def accuracy(features: torch.Tensor) -> float:
        tested = motions.groups <= 7
        means = torch.stack([features[~tested & (motions.labels == label)].mean(0) for label in range(8)])
        return float(
            (torch.cdist(features[tested], means).argmin(1) == motions.labels[tested]).double().mean()
        )

    assert accuracy(frame) < 0.17  # chance is 0.125
    assert accuracy(motion) > 0.5


@pytest.mark.parametrize("codec", ["mpeg4", "libx264"])
def test_files_of_several_sizes_and_rates_in_the_layout_of_ucf101(codec: Any, tmp_path: Path) -> None:
    if codec not in av.codecs_available:
        pytest.skip(f"this FFmpeg has no {codec}")
    write_moving_digits(
        tmp_path,
        codec=codec,
        sizes=((48, 64), (64, 48), (32, 32)),
        frame_rates=(25, 12.5),
        seconds=0.8,
        clips_per_group=1,
        groups=(1, 8, 9),
    )
    data = load(name="ucf101", path=tmp_path, frame_size=32, decode_workers=0)
    assert data.class_names == CLASS_NAMES
    assert [len(split) for split in (data.train, data.validation, data.test)] == [8, 8, 8]
    assert data.test.labels.tolist() == list(range(8))
    assert {*data.train.num_frames, *data.test.num_frames} == {10, 20}
    same_rate = load(name="ucf101", path=tmp_path, frame_size=32, decode_workers=0, frame_rate=12.5)
    assert set(same_rate.train.num_frames) == {10}
    clips, _ = whole(same_rate, "test", 10)
    assert clips.shape == (8, 10, 32, 32)
    assert clips.std() > 20


def test_written_once_they_show_what_is_in_memory() -> None:
    keys: dict[str, Any] = {
        "name": "moving_digits",
        "clips_per_group": 1,
        "video_frames": 6,
        "decode_workers": 0,
    }
    there = load(**keys)
    files = {"codec": "mpeg4", "sizes": [[32, 32]]}
    read = load(**keys, files=files)
    assert read.name == there.name == "moving_digits split 1"
    for split in ("train", "validation", "test"):
        expected, labels = whole(there, split, 6)
        found, labels_too = whole(read, split, 6)
        np.testing.assert_array_equal(labels, labels_too)
        assert np.abs(found.astype(float) - expected).mean() < 4
    config: Any = parse(VideoDataConfig, {**keys, "files": files}, "data")
    written = config.written()
    before = [file.stat().st_mtime_ns for file in sorted(written.rglob("*.avi"))]
    assert len(before) == 200
    assert load(**keys, files=files).content_hash == read.content_hash
    assert [file.stat().st_mtime_ns for file in sorted(written.rglob("*.avi"))] == before
