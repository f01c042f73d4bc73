"""A folder with one folder of videos for each class, the layout of copies of Kinetics (Kay et al., 2017).

Without a folder for validation, whole source videos are cut from training. Kinetics' names
`<11 characters of YouTube>_<start>_<end>` give the source; any other video is its own group.
"""

import re
from pathlib import Path
from typing import Literal

from pydantic import Field

from ndabench.data.config import FullPath
from ndabench.data.videos.source import Video, VideoConfig, VideoLists
from ndabench.errors import UserError, nearest

SUFFIXES = {".mp4", ".avi", ".mkv", ".webm", ".mov", ".m4v", ".mpg", ".mpeg", ".ts", ".wmv", ".flv", ".3gp"}
VALIDATION_FOLDERS = ("validation", "valid", "val")
KINETICS_NAME = re.compile(r"(.{11})_\d{6}_\d{6}")


class VideoFolderConfig(VideoConfig):
    """`path/{train,test[,validation]}/<class>/**.mp4|avi|…`."""

    name: Literal["video_folder"] = "video_folder"
    path: FullPath
    test_folder: str = Field(default="test", pattern=r"^[^/]+$")
    """The folder of the test videos; Kinetics is tested on `val`."""

    @property
    def title(self) -> str:
        return f"{self.name}:{self.path.name}"

    def lists(self) -> VideoLists:
        for folder in ("train", self.test_folder):
            if not (self.path / folder).is_dir():
                raise UserError(
                    f"{self.path / folder}: no such folder; a video_folder has train and {self.test_folder}, "
                    "with one folder per class in each (data.test_folder names the folder of the test videos)"
                )
        class_names = tuple(sorted(entry.name for entry in (self.path / "train").iterdir() if _shown(entry)))
        others = [name for name in VALIDATION_FOLDERS if name != self.test_folder]
        validation = [name for name in others if (self.path / name).is_dir()]
        return VideoLists(
            class_names,
            train=_videos_in(self.path / "train", class_names),
            test=_videos_in(self.path / self.test_folder, class_names),
            validation=_videos_in(self.path / validation[0], class_names) if validation else (),
        )


def _shown(entry: Path) -> bool:
    return entry.is_dir() and not entry.name.startswith(".")


def _videos_in(folder: Path, class_names: tuple[str, ...]) -> list[Video]:
    """Every video below a class folder of `folder`, sorted by name; `UserError` if there is none."""
    labels = {name: label for label, name in enumerate(class_names)}
    found = []
    for class_folder in sorted(filter(_shown, folder.iterdir())):
        name = class_folder.name
        if name not in labels:
            raise UserError(
                f"{class_folder}: the class {name!r} is not among the {len(labels)} of the train folder"
                f"{nearest(name, labels)}"
            )
        paths = sorted(path for path in class_folder.rglob("*") if path.suffix.lower() in SUFFIXES)
        found += [Video(path, labels[name], _group(path)) for path in paths if path.is_file()]
    if not found:
        raise UserError(f"{folder}: has no videos; they belong in {folder}/<class>/")
    return found


def _group(path: Path) -> str:
    source = KINETICS_NAME.fullmatch(path.stem)
    return source[1] if source else str(path)
