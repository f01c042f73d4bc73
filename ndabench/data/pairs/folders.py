"""Paired data sets in folders: one picture with two halves, two folders, or Cityscapes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from ndabench.data.class_folders import SPLIT_NAMES, class_folders, files_below
from ndabench.data.config import FullPath, SplitName
from ndabench.data.image_folder import IMAGES
from ndabench.data.pairs.source import (
    Colour,
    Direction,
    FilePairs,
    HalvedPictures,
    PairedConfig,
    Pairs,
    Palette,
    Side,
)
from ndabench.errors import UserError, first_of

FACADES: Mapping[str, Colour] = {
    "background": (0, 0, 220),
    "facade": (0, 50, 255),
    "window": (0, 130, 255),
    "door": (0, 206, 255),
    "cornice": (34, 255, 226),
    "sill": (114, 255, 142),
    "balcony": (194, 255, 62),
    "blind": (255, 242, 0),
    "deco": (255, 158, 0),
    "molding": (255, 82, 0),
    "pillar": (255, 0, 0),
    "shop": (174, 0, 0),
}
"""The classes of the CMP facades in their colours in pix2pix's files, as counted in these."""

CITYSCAPES: Mapping[str, Colour] = {
    "road": (128, 64, 128),
    "sidewalk": (244, 35, 232),
    "building": (70, 70, 70),
    "wall": (102, 102, 156),
    "fence": (190, 153, 153),
    "pole": (153, 153, 153),
    "traffic light": (250, 170, 30),
    "traffic sign": (220, 220, 0),
    "vegetation": (107, 142, 35),
    "terrain": (152, 251, 152),
    "sky": (70, 130, 180),
    "person": (220, 20, 60),
    "rider": (255, 0, 0),
    "car": (0, 0, 142),
    "truck": (0, 0, 70),
    "bus": (0, 60, 100),
    "train": (0, 80, 100),
    "motorcycle": (0, 0, 230),
    "bicycle": (119, 11, 32),
}
"""The 19 classes that Cityscapes scores, in the colours of `gtFine_color.png`."""
CITYSCAPES_IGNORED: tuple[Colour, ...] = (
    *((0, 0, 0), (111, 74, 0), (81, 0, 81), (250, 170, 160), (230, 150, 140), (180, 165, 180)),
    *((150, 100, 100), (150, 120, 90), (0, 0, 90), (0, 0, 110)),
)
"""Void, dynamic, ground, parking, rail track, guard rail, bridge, tunnel, caravan and trailer."""


class FolderOfPairs(PairedConfig):
    """Pairs in one folder, in any of the orders of `PairedFolderConfig`."""

    path: FullPath

    def files(self) -> list[Path]:
        return [file for pairs in self.open_pairs().values() for file in _files_of(pairs)]

    def open_pairs(self) -> dict[SplitName, Pairs]:
        if not self.path.is_dir():
            raise UserError(f"{self.path}: no such folder (data.path of {self.name})")
        folders = {folder.name: folder for folder in class_folders(self.path)}
        if {"A", "B"} <= set(folders):
            sides = {side: _splits(folders[side]) for side in ("A", "B")}
            if sides["A"].keys() != sides["B"].keys():
                raise UserError(f"{self.path}: A and B must have folders of the same splits")
            return {split: _matched(sides["A"][split], sides["B"][split]) for split in sides["A"]}
        return {split: _of_split(folder) for split, folder in _splits(self.path).items()}


class PairedFolderConfig(FolderOfPairs):
    """`path/{train,test[,val]}/*.jpg|png|…`, each file a pair of two halves, or with A and B in folders:
    `path/{train,test[,val]}/{A,B}/**`, where equal names make a pair.

    Also pix2pix's own order, `path/{A,B}/{train,test[,val]}/**`, is read.
    """

    name: Literal["paired_folder"] = "paired_folder"
    known_as: str | None = Field(default=None, min_length=1, max_length=60)
    """What records and reports call the set; None: the folder's name."""
    label_map: Side | None = None
    """Which picture is a label map, if `colours` says what its colours mean."""
    colours: dict[str, Colour] = Field(default={}, max_length=256)
    """The RGB colour of each class of the label map, such as `{road: [128, 64, 128]}`."""

    @model_validator(mode="after")
    def _label_map_has_colours(self) -> "PairedFolderConfig":
        if (self.label_map is None) != (len(self.colours) < 2):
            raise ValueError("label_map and colours go together, with two classes or more")
        return self

    @property
    def title(self) -> str:
        return f"{self.name}:{self.known_as or self.path.name}"

    @property
    def palette(self) -> Palette | None:
        return None if self.label_map is None else Palette(self.label_map, self.colours)


class FacadesConfig(FolderOfPairs):
    """The facades of pix2pix: photographs (A) and label maps (B), the halves of one picture."""

    name: Literal["facades"] = "facades"
    direction: Direction = "BtoA"

    @property
    def palette(self) -> Palette:
        return Palette("B", FACADES)


class CityscapesConfig(PairedConfig):
    """Cityscapes: photographs (A, `leftImg8bit/`) and their label maps (B, `gtFine/…_gtFine_color.png`).

    The published `val` cities are the test split, because the labels of `test` are secret; validation is cut
    from `train`.
    """

    name: Literal["cityscapes"] = "cityscapes"
    path: FullPath
    direction: Direction = "BtoA"

    @property
    def palette(self) -> Palette:
        return Palette("B", CITYSCAPES, CITYSCAPES_IGNORED)

    def files(self) -> list[Path]:
        return [file for pairs in self.open_pairs().values() for file in _files_of(pairs)]

    def open_pairs(self) -> dict[SplitName, Pairs]:
        return {"train": self._pairs("train"), "test": self._pairs("val")}

    def _pairs(self, folder: str) -> FilePairs:
        photos = self.path / "leftImg8bit" / folder
        ending = "_leftImg8bit.png"
        first = (
            [file for file in files_below(photos) if file.name.endswith(ending)] if photos.is_dir() else []
        )
        if not first:
            raise UserError(f"{photos}: no pictures …{ending} (data.path is the folder of leftImg8bit)")
        labels = self.path / "gtFine" / folder
        if not labels.is_dir():
            raise UserError(
                f"{labels}: no such folder; the label maps of Cityscapes are in gtFine_trainvaltest.zip"
            )
        second = [
            labels / file.parent.name / (file.name.removesuffix(ending) + "_gtFine_color.png")
            for file in first
        ]
        if missing := [str(file) for file in second if not file.is_file()]:
            raise UserError(
                f"{labels}: {len(missing)} of {len(first)} label maps are missing: {first_of(missing)}"
            )
        return FilePairs(first, second)


def _splits(path: Path) -> dict[SplitName, Path]:
    """The folder of each split below `path`; `UserError` where train or test is missing or named twice."""
    found: dict[SplitName, Path] = {}
    for folder in class_folders(path):
        split = SPLIT_NAMES.get(folder.name.casefold())
        if split is None:
            continue
        if split in found:
            raise UserError(
                f"{path}: {found[split].name} and {folder.name} both name the {split} split; rename one"
            )
        found[split] = folder
    if missing := [split for split in ("train", "test") if split not in found]:
        raise UserError(f"{path}: has no folder {missing[0]}; pairs belong in {path}/{missing[0]}/")
    return found


def _of_split(folder: Path) -> Pairs:
    inner = {one.name: one for one in class_folders(folder)}
    if {"A", "B"} <= set(inner):
        return _matched(inner["A"], inner["B"])
    files = _pictures(folder)
    if not files:
        raise UserError(f"{folder}: has neither pictures of two halves nor folders A and B")
    return HalvedPictures(files)


def _matched(first: Path, second: Path) -> FilePairs:
    """Pictures with equal names, whatever their endings; `UserError` for one without its other."""
    a, b = (
        {file.relative_to(folder).with_suffix(""): file for file in _pictures(folder)}
        for folder in (first, second)
    )
    for folder, mine, other, theirs in ((first, a, second, b), (second, b, first, a)):
        if alone := sorted(str(mine[name]) for name in mine.keys() - theirs.keys()):
            raise UserError(f"{folder}: {len(alone)} pictures have no other in {other}: {first_of(alone)}")
    if not a:
        raise UserError(f"{first}: there are no pictures")
    return FilePairs([a[name] for name in sorted(a)], [b[name] for name in sorted(a)])


def _pictures(folder: Path) -> list[Path]:
    return [file for file in files_below(folder) if file.suffix.lower() in IMAGES.suffixes]


def _files_of(pairs: Pairs) -> Sequence[Path]:
    if isinstance(pairs, HalvedPictures):
        return pairs.files
    assert isinstance(pairs, FilePairs)
    return [*pairs.first, *pairs.second]
