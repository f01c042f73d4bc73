"""A folder with one folder of videos for each class, the layout of copies of Kinetics (Kay et al., 2017).

Without a folder for validation or for testing, whole source videos are cut from training. Kinetics' names
`<11 characters of YouTube>_<start>_<end>` give the source; any other video is its own group.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field

from ndabench.data.class_folders import (
    DEFAULT_TEST_FOLDER,
    FileKind,
    files_by_class,
    labelled,
    read_as,
    split_folders,
    training_classes,
)
from ndabench.data.config import FullPath
from ndabench.data.videos.source import Video, VideoConfig, VideoLists
from ndabench.errors import UserError

VIDEOS = FileKind(
    "video",
    suffixes=frozenset(
        {
            ".mp4",
            ".m4v",
            ".mov",
            ".3gp",
            ".3g2",
            ".avi",
            ".divx",
            ".mkv",
            ".webm",
            ".flv",
            ".f4v",
            ".wmv",
            ".asf",
        }
        | {".mpg", ".mpeg", ".mpe", ".m2v", ".vob", ".ts", ".mts", ".m2ts", ".ogv"}
    ),
)
KINETICS_NAME = re.compile(r"(.{11})_\d{6}_\d{6}")


class VideoFolderConfig(VideoConfig):
    """`path/{train,test[,validation]}/<class>/**.mp4|avi|…`, or `path/<class>/…` in one pool.

    A fixed fifth of a pool is the test split.
    """

    name: Literal["video_folder"] = "video_folder"
    path: FullPath
    test_folder: str = Field(default=DEFAULT_TEST_FOLDER, pattern=r"^[^/]+$")
    """The folder of the test videos; Kinetics is tested on `val`."""

    @property
    def title(self) -> str:
        return f"{self.name}:{self.path.name}"

    def lists(self) -> VideoLists:
        if not self.path.is_dir():
            raise UserError(f"{self.path}: no such folder (data.path of a video_folder)")
        folders = split_folders(self.path, self.test_folder, VIDEOS) or {"train": self.path}
        files = {split: files_by_class(folder, VIDEOS) for split, folder in folders.items()}
        class_names = training_classes(folders["train"], files["train"], VIDEOS)
        listed = {split: _videos(labelled(folders[split], files[split], class_names)) for split in folders}
        for split, videos in listed.items():
            if not videos:
                raise UserError(f"{folders[split]}: has no videos; they belong in {folders[split]}/<class>/")
        return VideoLists(class_names, **listed, notes=read_as(self.path, folders.values()))


def _videos(files: Sequence[tuple[Path, int]]) -> list[Video]:
    return [Video(path, label, _group(path)) for path, label in files]


def _group(path: Path) -> str:
    source = KINETICS_NAME.fullmatch(path.stem)
    return source[1] if source else str(path)
