"""The optional decoder gives the same frames; where it is not installed, a stand-in with its calls does."""

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest
import torch

from ndabench.config import parse
from ndabench.data.registry import VideoDataConfig, load_data
from ndabench.data.videos import torchcodec_decoding
from ndabench.data.videos.clips import ClipRequest
from ndabench.data.videos.decoding import read_frames, scan
from ndabench.data.videos.source import Framing
from ndabench.errors import UserError
from tests.data.test_video_damage import MATRICES, rotate
from tests.video_files import numbers_of, write_ucf101, write_video


class StandIn:
    """The part of TorchCodec's VideoDecoder that is used."""

    metadata = SimpleNamespace(rotation=None)

    def __init__(self, source: str, *, dimension_order: str, num_ffmpeg_threads: int, seek_mode: str) -> None:
        assert (dimension_order, num_ffmpeg_threads, seek_mode) == ("NCHW", 1, "exact")
        try:
            with av.open(source) as container:
                frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        except av.FFmpegError as error:
            raise RuntimeError(f"{error}\nand a trace") from None
        self.frames = torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2)

    def __len__(self) -> int:
        return len(self.frames)

    def get_frames_at(self, indices: list[int]) -> Any:
        return SimpleNamespace(data=self.frames[indices])


@pytest.fixture(params=["as installed", "stand-in"])
def _torchcodec(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "as installed":
        try:
            torchcodec_decoding.require_torchcodec()
        except UserError as error:
            pytest.skip(str(error))
    else:
        use_stand_in(monkeypatch)


def use_stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    decoders = ModuleType("torchcodec.decoders")
    vars(decoders)["VideoDecoder"] = StandIn
    monkeypatch.setitem(sys.modules, "torchcodec", ModuleType("torchcodec"))
    monkeypatch.setitem(sys.modules, "torchcodec.decoders", decoders)


with_torchcodec = pytest.mark.usefixtures("_torchcodec")


@with_torchcodec
@pytest.mark.parametrize("framing", [Framing(48, 64, False), Framing(24, 24, True), Framing(60, 90, False)])
@pytest.mark.parametrize(("name", "codec"), [("a.avi", "mpeg4"), ("a.mp4", "libx264")])
def test_frames_are_those_of_pyav(name: str, codec: str, framing: Framing, tmp_path: Path) -> None:
    path = write_video(tmp_path / name, codec, options={"g": "12"})
    facts = scan(path)
    wanted = [30, 5, 6, 39, 5]
    found = torchcodec_decoding.read_frames(path, facts, wanted, framing)
    assert found.shape == (5, framing.height, framing.width, 3)
    assert found.dtype == np.uint8
    assert numbers_of(found) == wanted
    assert np.abs(found.astype(int) - read_frames(path, facts, wanted, framing)).mean() < 4


@with_torchcodec
def test_it_is_chosen_by_name(tmp_path: Path) -> None:
    write_ucf101(tmp_path)
    keys = {"name": "ucf101", "path": tmp_path, "decoder": "torchcodec", "cache": "none"}
    config = parse(VideoDataConfig, {**keys, "decode_workers": 0, "frame_size": 32}, "data")
    data = load_data(config, device=torch.device("cpu"))
    ((clips, _),) = data.test.clips([[ClipRequest(0, 4, 3), ClipRequest(1, 1, 3)]])
    assert [numbers_of(clip.permute(1, 2, 3, 0).numpy()) for clip in clips] == [[4, 5, 6], [1, 2, 3]]


@pytest.mark.parametrize(
    ("kind", "metadata", "refused"),
    [
        ("90° clockwise", SimpleNamespace(), "turn"),  # before 0.11
        ("mirrored", SimpleNamespace(), "mirror"),
        ("mirrored", SimpleNamespace(rotation=0), "mirror"),
        ("90° clockwise", SimpleNamespace(rotation=-90), None),
        ("empty", SimpleNamespace(), None),
    ],
)
def test_a_video_that_it_does_not_show_upright_is_refused(
    kind: str,
    metadata: SimpleNamespace,
    refused: str | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    use_stand_in(monkeypatch)
    monkeypatch.setattr(StandIn, "metadata", metadata)
    path = write_video(tmp_path / "a.mp4", "libx264", num_frames=2)
    rotate(path, *MATRICES[kind][0])
    facts, framing = scan(path), Framing(48, 64, False)
    if refused is None:
        assert torchcodec_decoding.read_frames(path, facts, [1], framing).shape == (1, 48, 64, 3)
        return
    with pytest.raises(UserError) as caught:
        torchcodec_decoding.read_frames(path, facts, [1], framing)
    assert str(caught.value) == (
        f"{path}: this TorchCodec does not {refused} it as the file says; choose decoder: pyav"
    )


@with_torchcodec
def test_what_it_cannot_read_is_one_line(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.avi", num_frames=10)
    facts = scan(path)
    write_video(path, num_frames=9)
    with pytest.raises(
        UserError, match="TorchCodec counts 9 frames where 10 were scanned; choose decoder: pyav"
    ):
        torchcodec_decoding.read_frames(path, facts, [0], Framing(48, 64, False))
    path.write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"a.avi: TorchCodec cannot read the video \([^\n]+\)$"):
        torchcodec_decoding.read_frames(path, facts, [0], Framing(48, 64, False))
