"""HMDB-51 (Kuehne et al., ICCV 2011) in its official layout, and any set of videos with this layout.

`path/hmdb51_org/<class>/<video>.avi` and `path/testTrainMulti_7030_splits/<class>_test_split1..3.txt`, whose
lines are "<video>.avi 0|1|2": 1 for training, 2 for testing, 0 for neither.

Validation: whole source videos, held out of the training videos. A name reads
`<source>_<class>_<body>_<camera>_np<people>_<view>_<quality>_<number>`; clips with the same source, of
whatever classes, are a group. The names give no more information: a source with two spellings counts as two,
and numbered scenes of one film count as several. A video whose name has another form is its own group.
"""

import re
from pathlib import Path
from typing import ClassVar, Literal

from ndabench.data.class_folders import is_junk
from ndabench.data.config import FullPath
from ndabench.data.lists import read_lines
from ndabench.data.videos.source import (
    Video,
    VideoConfig,
    VideoLists,
    require_distinct,
    require_files,
)
from ndabench.errors import UserError

PROPERTIES = r"_[a-z]+_(?:cm|nm)_np\d+_[a-z]+_[a-z]+_\d+$"
"""Visible body, camera motion, number of people, viewpoint, quality, clip number."""


class Hmdb51Config(VideoConfig):
    """6,766 videos in 51 classes, 70 for training and 30 for testing per class; three official splits."""

    NUM_OFFICIAL_CLASSES: ClassVar[int | None] = 51

    name: Literal["hmdb51"] = "hmdb51"
    path: FullPath
    """The folder that holds `videos` and `split_lists`."""
    split: Literal[1, 2, 3] = 1
    videos: str = "hmdb51_org"
    split_lists: str = "testTrainMulti_7030_splits"

    @property
    def title(self) -> str:
        return f"{self.name}:{self.path.name} split {self.split}"

    def lists(self) -> VideoLists:
        lists = self.path / self.split_lists
        ending = f"_test_split{self.split}.txt"
        found = [file for file in sorted(lists.glob(f"*{ending}")) if not is_junk(file.name)]
        files = {file.name.removesuffix(ending): file for file in found}
        if not files:
            raise UserError(f"{lists}: has no file <class>{ending}")
        class_names = tuple(sorted(files))
        train: list[Video] = []
        test: list[Video] = []
        for label, name in enumerate(class_names):
            listed = _listed(files[name], self.path / self.videos / name, label, name)
            require_distinct(*listed, str(files[name]))
            require_files([*listed[0], *listed[1]], str(files[name]))
            train += listed[0]
            test += listed[1]
        for purpose, number, videos in (("training", 1, train), ("testing", 2, test)):
            if not videos:
                raise UserError(f"{lists}: no list marks a video with {number}, for {purpose}")
        return VideoLists(class_names, train, test)


def _listed(file: Path, folder: Path, label: int, class_name: str) -> tuple[list[Video], list[Video]]:
    found: dict[str, list[Video]] = {"1": [], "2": []}
    for where, line in read_lines(file, "list of videos"):
        name, _, mark = line.rpartition(" ")
        if mark not in ("0", "1", "2") or not name:
            raise UserError(f"{where}: must be '<video> 0', '… 1' or '… 2', but is {line!r}")
        if mark in found:
            name = name.strip()
            found[mark].append(Video(folder / name, label, _group(name, class_name)))
    return found["1"], found["2"]


def _group(name: str, class_name: str) -> str:
    source = re.match(rf"(.+)_{re.escape(class_name)}{PROPERTIES}", Path(name).stem)
    return source[1] if source else f"{class_name}/{name}"
