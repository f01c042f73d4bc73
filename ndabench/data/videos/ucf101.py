"""UCF-101 (Soomro, Zamir, Shah; 2012) in its official layout, and any set of videos with this layout.

`path/UCF-101/<Class>/v_<Class>_g01_c01.avi` and `path/ucfTrainTestlist/` with classInd.txt ("1 Archery"),
trainlist01..03.txt ("ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi 1") and testlist01..03.txt, which have no
labels: the class of a video is the folder in its line (not the one in its file's name, whose capitals differ
for HandstandPushups). Where a line has a number, it must agree with the folder.

Validation: whole groups g01..g25 of a class, which are clips of one scene, held out of the training list.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Literal

from ndabench.data.config import FullPath
from ndabench.data.lists import read_lines
from ndabench.data.videos.source import (
    Video,
    VideoConfig,
    VideoLists,
    require_distinct,
    require_files,
)
from ndabench.errors import UserError, nearest

GROUP = re.compile(r"_g(\d+)_c\d+$")


class Ucf101Config(VideoConfig):
    """13,320 videos in 101 classes; `split` is one of three official splits."""

    NUM_OFFICIAL_CLASSES: ClassVar[int | None] = 101

    name: Literal["ucf101"] = "ucf101"
    path: FullPath
    """The folder that holds `videos` and `split_lists`."""
    split: Literal[1, 2, 3] = 1
    videos: str = "UCF-101"
    split_lists: str = "ucfTrainTestlist"

    @property
    def title(self) -> str:
        return f"{self.name}:{self.path.name} split {self.split}"

    def lists(self) -> VideoLists:
        return official_lists(self.path / self.videos, self.path / self.split_lists, self.split)


def official_lists(videos: Path, lists: Path, split: int) -> VideoLists:
    """The videos below the folder `videos` by the files in `lists`."""
    class_names = _class_names(lists / "classInd.txt")
    train_file, test_file = (lists / f"{name}list{split:02d}.txt" for name in ("train", "test"))
    train, test = (_listed(file, videos, class_names) for file in (train_file, test_file))
    require_distinct(train, test, f"{lists}, split {split}")
    for file, found in ((train_file, train), (test_file, test)):
        require_files(found, str(file))
    return VideoLists(class_names, train, test)


def _class_names(file: Path) -> tuple[str, ...]:
    """The names in the order of their numbers, which are 1, 2, … in the file and 0, 1, … as labels."""
    names: list[str] = []
    for where, line in read_lines(file, "list of videos"):
        number, _, name = line.partition(" ")
        if number != str(len(names) + 1) or not name.strip():
            raise UserError(f"{where}: must be '{len(names) + 1} <class>', but is {line!r}")
        names.append(name.strip())
    if not names:
        raise UserError(f"{file}: the list has no class")
    return tuple(names)


def _listed(file: Path, videos: Path, class_names: Sequence[str]) -> list[Video]:
    labels = {name: label for label, name in enumerate(class_names)}
    found = []
    for where, line in read_lines(file, "list of videos"):
        # A number at the end is the class; test lists have none.
        matched = re.fullmatch(r"(.*?)(?:\s+(\d+))?", line)
        assert matched is not None  # it matches every line
        name, number = matched.groups()
        folder, slash, _ = name.partition("/")
        if not slash:
            raise UserError(f"{where}: must be '<class>/<video>', but is {line!r}")
        if folder not in labels:
            raise UserError(f"{where}: the class {folder!r} is not in classInd.txt{nearest(folder, labels)}")
        if number is not None and int(number) != labels[folder] + 1:
            raise UserError(
                f"{where}: gives the number {number} to a video of {folder}, "
                f"which is {labels[folder] + 1} in classInd.txt"
            )
        found.append(Video(videos / name, labels[folder], _group(folder, name)))
    if not found:
        raise UserError(f"{file}: the list has no video")
    return found


def _group(folder: str, name: str) -> str:
    """Class and scene; a video whose name gives no scene is its own group."""
    scene = GROUP.search(Path(name).stem)
    return f"{folder} g{int(scene[1])}" if scene else name
