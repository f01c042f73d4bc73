"""What detection sets of one's own share: any classes, split lists or a seeded split, and rules for faults.

`voc_folder.py` and `coco.py` read the two layouts in use. Where no test pictures are listed, a fixed fifth of
the training pictures is the test split; where none are listed for validation, `validation_fraction` of the
training pictures is cut off by `split_seed`.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from pydantic import Field

from ndabench.data.config import FullPath, SplitName
from ndabench.data.detection.annotated_files import AnnotatedFiles, AnnotatedPicture, content_hash
from ndabench.data.detection.faults import Box, BoxCheck, BoxRule, Faults
from ndabench.data.detection.source import Annotation, SceneConfig, SceneSource, objects_per_class
from ndabench.data.lists import read_lines
from ndabench.data.splits import TEST_FRACTION, TEST_SEED, stratified_cut
from ndabench.errors import UserError, first_of, unknown

SPLITS: tuple[SplitName, ...] = ("train", "validation", "test")


class OwnSceneConfig(SceneConfig):
    """The keys that detection sets of one's own share."""

    path: FullPath
    known_as: str | None = Field(default=None, min_length=1, max_length=60)
    """What records and reports call the set; None: the folder's name."""
    train: Path | None = None
    validation: Path | None = None
    test: Path | None = None
    """The files that list the pictures of a split, below `path`; all None: as the layout has them."""
    classes: tuple[str, ...] | FullPath | None = None
    """Only objects of these classes count; or a text file with one a line; None: all."""
    broken_boxes: BoxRule = "clip"
    """What happens to boxes outside their picture or without area; see `faults.py`."""
    validation_fraction: float = Field(default=0.1, gt=0, lt=1)
    split_seed: int = Field(default=0, ge=0, lt=2**32)

    @property
    def title(self) -> str:
        return f"{self.name}:{self.known_as or self.path.name}"

    def chosen_lists(self) -> dict[SplitName, Path]:
        """The full paths of the lists that the user names; empty where none is."""
        named = {split: getattr(self, split) for split in SPLITS if getattr(self, split) is not None}
        if named and "train" not in named:
            raise UserError(
                f"{self.path}: data.{next(iter(named))} is named, so data.train must be named, too"
            )
        return {split: self.path / list_file for split, list_file in named.items()}

    def chosen_classes(self, known: Sequence[str]) -> tuple[str, ...]:
        """Those of the `known` ones that count, in their order."""
        if self.classes is None:
            return tuple(known)
        wanted = self.classes if isinstance(self.classes, tuple) else read_class_list(self.classes)
        if not wanted:
            raise UserError(f"{self.path}: data.classes names no class")
        for name in wanted:
            if name not in known:
                raise UserError(f"{self.path}: data.classes: {unknown('class', name, known)}")
        return tuple(name for name in known if name in wanted)


def read_class_list(file: Path) -> tuple[str, ...]:
    """The classes of a text file with one a line; `UserError` where one occurs twice, or none."""
    names = tuple(line for _, line in read_lines(file, "list of classes"))
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice or not names:
        raise UserError(f"{file}: " + (f"lists {first_of(twice)} twice" if twice else "lists no class"))
    return names


class OwnObject(NamedTuple):
    """An object as written: its class, and its box checked."""

    name: str
    box: Box
    difficult: bool = False
    crowd: bool = False


class OwnPicture(NamedTuple):
    """A picture that was found, with its objects of all classes."""

    file: Path
    name: str
    size_bytes: int
    objects: Sequence[OwnObject]


@dataclass
class Findings:
    """What reading a data set found, apart from its pictures."""

    boxes: BoxCheck
    faults: Faults = field(default_factory=Faults)
    """What no rule can mend."""
    notes: list[str] = field(default_factory=list)


def own_source(
    config: OwnSceneConfig,
    splits: Mapping[SplitName, Sequence[OwnPicture]],
    known: Sequence[str],
    findings: Findings,
) -> SceneSource:
    """The data set with its missing splits cut off; `UserError` for what was found to be wrong.

    `known` are the classes in the order of their labels; every object has one of them.
    """
    listed = Counter(one.file for pictures in splits.values() for one in pictures)
    for file, count in listed.items():
        if count > 1:
            findings.faults.add("pictures that are listed more than once", file.name)
    findings.faults.refuse(config.path)
    findings.boxes.refuse(config.path)
    names = config.chosen_classes(known)
    left_out = Counter(
        one.name for pictures in splits.values() for picture in pictures for one in picture.objects
    )
    for name in names:
        left_out.pop(name, None)
    notes = [*findings.notes, *findings.boxes.changed.lines()]
    if left_out:
        counts = [f"{name} {count}" for name, count in sorted(left_out.items())]
        notes.append(f"{left_out.total()} × objects of classes that `classes` leaves out: {first_of(counts)}")
    labels = {name: label for label, name in enumerate(names)}
    annotated = {
        split: [_annotated(one, labels) for one in pictures] for split, pictures in splits.items() if pictures
    }
    parts = _cut(config, annotated)
    notes += _absences(names, parts)
    train, validation, test = (AnnotatedFiles(part) for part in parts)
    return SceneSource(
        names,
        content_hash(names, parts),
        train=train,
        validation=validation,
        test=test,
        notes=tuple(notes),
    )


def _annotated(picture: OwnPicture, labels: Mapping[str, int]) -> AnnotatedPicture:
    kept = [one for one in picture.objects if one.name in labels]
    crowd = np.array([one.crowd for one in kept], dtype=np.bool_)
    annotation = Annotation(
        boxes=np.array([one.box for one in kept], dtype=np.float32).reshape(-1, 4),
        labels=np.array([labels[one.name] for one in kept], dtype=np.int64),
        difficult=np.array([one.difficult for one in kept], dtype=np.bool_),
        crowd=crowd if crowd.any() else None,
    )
    return AnnotatedPicture(picture.file, picture.name, picture.size_bytes, annotation)


def _cut(
    config: OwnSceneConfig, splits: Mapping[SplitName, list[AnnotatedPicture]]
) -> list[list[AnnotatedPicture]]:
    """Training, validation and test pictures."""
    if "train" not in splits:
        raise UserError(f"{config.path}: there is no training picture")
    train, test = splits["train"], splits.get("test")
    if test is None:
        train, test = _in_two(train, TEST_FRACTION, TEST_SEED, f"{config.path}: the test split's share")
    validation = splits.get("validation")
    if validation is None:
        share = f"{config.path}: validation_fraction"
        train, validation = _in_two(train, config.validation_fraction, config.split_seed, share)
    return [train, validation, test]


def _in_two(
    pictures: list[AnnotatedPicture], fraction: float, seed: int, key: str
) -> tuple[list[AnnotatedPicture], list[AnnotatedPicture]]:
    one_class = np.zeros(len(pictures), np.int64)
    kept, cut = stratified_cut(one_class, fraction, seed=seed, key=key, class_names=("picture",))
    return [pictures[row] for row in kept], [pictures[row] for row in cut]


def _absences(names: Sequence[str], parts: Sequence[Sequence[AnnotatedPicture]]) -> list[str]:
    """A note for each split in which a class has no object."""
    notes = []
    for split, part in zip(("training", "validation", "test"), parts, strict=True):
        counts = objects_per_class((one.annotation for one in part), len(names)).tolist()
        absent = [name for name, count in zip(names, counts, strict=True) if not count]
        if absent:
            notes.append(f"no {split} picture has a (not difficult) object of class {first_of(absent)}")
    return notes
