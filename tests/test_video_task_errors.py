"""What a user can get wrong with videos is one clear line and exit code 2, before anything is written."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.command_lines import CommandLine
from tests.video_files import write_ucf101

TASK: dict[str, Any] = {
    "name": "video_contrastive",
    "method": {"name": "dpc", "num_blocks": 4, "num_predicted": 1},
    "encoder": {"name": "resnet2d3d", "width": 2, "stem": "cifar"},
    "clip_frames": 8,
    "frame_stride": 1,
    "batch_size": 4,
    "num_steps": 1,
}


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NDABENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def ucf(tmp_path: Path) -> Path:
    write_ucf101(tmp_path / "ucf")
    return tmp_path / "ucf"


def wrong(command_line: CommandLine, ucf: Path, **changes: Any) -> str:
    sweep: dict[str, Any] = {
        "task": {**TASK, **changes.pop("task", {})},
        "data": {"name": "ucf101", "path": str(ucf), "frame_size": 32, **changes.pop("data", {})},
        "arms": ["none"],
        "evaluate": ["retrieval"],
        **changes,
    }
    return command_line.train_error(**sweep)


def _missing_video(ucf: Path) -> None:
    (ucf / "UCF-101/Biking/v_Biking_g08_c01.avi").unlink()


def _no_video_stream(ucf: Path) -> None:
    (ucf / "UCF-101/Biking/v_Biking_g08_c01.avi").write_bytes(b"RIFF of something else")


def _no_frames(ucf: Path) -> None:
    (ucf / "UCF-101/Biking/v_Biking_g08_c01.avi").write_bytes(b"")


def _other_label(ucf: Path) -> None:
    file = ucf / "ucfTrainTestlist/trainlist01.txt"
    file.write_text(file.read_text().replace("v_Biking_g08_c01.avi 2", "v_Biking_g08_c01.avi 1"))


def _no_lists(ucf: Path) -> None:
    (ucf / "ucfTrainTestlist/testlist01.txt").unlink()


OF_FILES: dict[str, tuple[Callable[[Path], None], str]] = {
    "a listed video that is not there": (
        _missing_video,
        "trainlist01.txt: lists .*g08_c01.avi, which does not exist",
    ),
    "a file without a video": (_no_video_stream, "v_Biking_g08_c01.avi: "),
    "an empty file": (_no_frames, "v_Biking_g08_c01.avi: "),
    "labels that disagree": (
        _other_label,
        "gives the number 1 to a video of Biking, which is 2 in classInd.txt",
    ),
    "no test list": (_no_lists, "testlist01.txt: cannot be read"),
}


@pytest.mark.parametrize("name", OF_FILES)
def test_wrong_files(name: str, command_line: CommandLine, ucf: Path) -> None:
    break_it, message = OF_FILES[name]
    break_it(ucf)
    assert re.search(message, wrong(command_line, ucf))


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "clips that no memory holds": (
        {"task": {"clip_frames": 1024, "batch_size": 4, "method": "simclr"}, "data": {"frame_size": 4096}},
        "clips of 1024 frames of 4096×4096 take .* GiB of .* are free; .* would fit",
    ),
    "a set of images": (
        {"data": {"name": "digits"}},
        "data|unknown key",
    ),
    "an encoder that DPC cannot use": (
        {"task": {"encoder": "r3d_18"}},
        "method dpc predicts the maps of a resnet2d3d; r3d_18 goes with moco or simclr",
    ),
    "an unknown encoder": ({"task": {"encoder": "r3d_19"}}, "unknown name 'r3d_19'.*r3d_18"),
    "blocks that are not equal": (
        {"task": {"clip_frames": 9}},
        "clip_frames 9 cannot be cut into 4 equal blocks",
    ),
    "too large a batch": (
        {"task": {"batch_size": 64}},
        "batch_size 64 exceeds the number of training videos, 8",
    ),
    "a measure of images": ({"evaluate": ["knn"]}, "task video_contrastive: unknown evaluation 'knn'"),
    "a view larger than its use": (
        {"task": {"views": {"size": 48}}},
        "48",
    ),
    "one block to shuffle": (
        {"arms": [{"negative": {"name": "shuffle_blocks", "block": 2}}]},
        "shuffle_blocks: clips of 2 frames are not two or more blocks of 2 frames",
    ),
    "a released rule": (
        {"arms": [{"negative": {"name": "jigsaw", "variant": "released"}}]},
        "the released code has no rules for clips",
    ),
    "TorchCodec where it is not": ({"data": {"decoder": "torchcodec"}}, "decoder: torchcodec"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_settings(name: str, command_line: CommandLine, ucf: Path) -> None:
    changes, message = WRONG[name]
    assert re.search(message, wrong(command_line, ucf, **changes))
