"""Pictures annotated in COCO's JSON (Lin et al., ECCV 2014), as COCO itself, CVAT, Label Studio and Roboflow
write it.

    annotations/instances_train2017.json, instances_val2017.json     or the files that `train`, … name
    train2017/, val2017/                                             or images/train2017/, images/, …

A file's pictures lie in the first of these folders that holds one: `<split>`, `images/<split>`, `images`, the
file's own, `path`; `<split>` is what follows `instances_`. Without names, `instances_train*` is trained on;
with `instances_test*` this is the test and `instances_val*` validation; else `instances_val*` is the test, as
COCO's papers have it. A single file is split by a seed.

Boxes are [x, y, width, height] from the upper left edge of the picture. Crowds (`iscrowd`) and
pictures without objects are kept. Segmentations and key points are not read.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from ndabench.data.config import SplitName
from ndabench.data.detection.annotated_files import read_header
from ndabench.data.detection.faults import BoxCheck
from ndabench.data.detection.own_scenes import (
    Findings,
    OwnObject,
    OwnPicture,
    OwnSceneConfig,
    own_source,
)
from ndabench.data.detection.source import SceneSource
from ndabench.errors import UserError, first_of
from ndabench.regular_files import read_bytes

PREFIX = "instances_"
LARGEST_FILE = 2**32
"""Bytes; COCO's own of training images has a tenth of it."""


class CocoConfig(OwnSceneConfig):
    """`path` is the folder that holds `annotations` and the pictures."""

    name: Literal["coco"] = "coco"

    def open(self) -> SceneSource:
        """Reads and checks every annotation, and the header of every picture.

        `UserError` for missing files, files of another kind, and wrong annotations (counted).
        """
        if not self.path.is_dir():
            raise UserError(f"{self.path}: no such folder (data.path of a coco)")
        findings = Findings(BoxCheck(self.broken_boxes))
        files = self.chosen_lists() or self._usual_files(findings)
        parsed = {split: read_instances(file) for split, file in files.items()}
        known = _same_classes(parsed.values())
        splits = {
            split: list(_pictures(one, self._folder(one), known, findings)) for split, one in parsed.items()
        }
        return own_source(self, splits, tuple(known.values()), findings)

    def _usual_files(self, findings: Findings) -> dict[SplitName, Path]:
        folders = (self.path / "annotations", self.path)
        found = sorted(file for folder in folders for file in folder.glob(f"{PREFIX}*.json"))
        if not found:
            raise UserError(
                f"{self.path}: holds no annotations/{PREFIX}*.json; name the files: data.train, data.test"
            )
        if len(found) == 1:
            return {"train": found[0]}
        named: dict[str, list[Path]] = {"train": [], "val": [], "test": []}
        for file in found:
            for split, files in named.items():
                if file.name.startswith(PREFIX + split):
                    files.append(file)
        several = [file.name for files in named.values() if len(files) > 1 for file in files]
        if several or not named["train"]:
            seen = several or [file.name for file in found]
            raise UserError(
                f"{self.path}: {first_of(seen)}: which one is for training is not clear; name the files as "
                "data.train and data.test"
            )
        splits: dict[SplitName, Path] = {"train": named["train"][0]}
        if named["test"]:
            splits["test"] = named["test"][0]
        if named["val"]:
            splits["validation" if named["test"] else "test"] = named["val"][0]
        listed = ", ".join(f"{split} {file.name}" for split, file in splits.items())
        findings.notes.append(f"read as {listed}")
        return splits

    def _folder(self, parsed: "Instances") -> Path:
        """Where the pictures of a file lie."""
        split = parsed.file.stem.removeprefix(PREFIX)
        images = self.path / "images"
        folders = (self.path / split, images / split, images, parsed.file.parent, self.path)
        names = [one["file_name"] for one in parsed.images if isinstance(one.get("file_name"), str)]
        for folder in folders:
            if folder.is_dir() and any((folder / name).is_file() for name in names[:100]):
                return folder
        return next((folder for folder in folders if folder.is_dir()), self.path)


class Instances(NamedTuple):
    """What a JSON file holds, as far as it is read."""

    file: Path
    images: list[dict[str, Any]]
    annotations: list[dict[str, Any]]
    classes: dict[int, str]
    """By category id, ascending."""


def read_instances(file: Path) -> Instances:
    """`UserError` for a file that is missing, no regular file, no JSON, or not of instances."""
    written = read_bytes(file, "file of COCO's instances", LARGEST_FILE)
    try:
        content = json.loads(written)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{file}: not a JSON file ({error})") from None
    lists = []
    for key in ("images", "annotations", "categories"):
        rows = content.get(key) if isinstance(content, dict) else None
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise UserError(f"{file}: not a file of COCO's instances (it lacks a list of objects {key!r})")
        lists.append(rows)
    images, annotations, categories = lists
    if not all(type(one.get("id")) is int and isinstance(one.get("name"), str) for one in categories):
        raise UserError(f"{file}: each of its categories needs an id (a whole number) and a name")
    for key in ("id", "name"):
        twice = [value for value, count in Counter(one[key] for one in categories).items() if count > 1]
        if twice:
            raise UserError(f"{file}: several categories have the {key} {first_of(twice, 5)}")
    if not images or not categories:
        raise UserError(f"{file}: has no {'categories' if images else 'images'}")
    return Instances(file, images, annotations, dict(sorted((one["id"], one["name"]) for one in categories)))


def _same_classes(files: Iterable[Instances]) -> dict[int, str]:
    """The categories, which all files must share."""
    first, *others = files
    for other in others:
        if other.classes != first.classes:
            differing = sorted({*first.classes.items()} ^ {*other.classes.items()})
            raise UserError(
                f"{other.file}: its categories are not those of {first.file.name}; they differ in "
                f"{first_of([f'{name} (id {number})' for number, name in differing], 5)}"
            )
    return dict(first.classes)


def _pictures(
    parsed: Instances, folder: Path, classes: Mapping[int, str], findings: Findings
) -> Iterator[OwnPicture]:
    """The pictures of a file that have no fault of their own, in its order."""
    faults, file = findings.faults, parsed.file.name
    by_picture = _by_picture(parsed, classes, findings)
    seen: set[int | str] = set()
    for place, image in enumerate(parsed.images):
        number, name = _id(image, "id"), image.get("file_name")
        stated = (image.get("width"), image.get("height"))
        if number is None or not isinstance(name, str) or not name:
            faults.add("images without an id and a file_name", f"{file} images[{place}]")
        elif number in seen:
            faults.add("image ids that occur twice", f"{number} in {file}")
        elif Path(name).is_absolute() or ".." in Path(name).parts:
            faults.add("images whose file_name leaves their folder", f"{number} in {file}")
        elif not (folder / name).is_file():
            faults.add("pictures that are missing", folder / name)
        else:
            header = read_header(folder / name)
            size = (header.width, header.height)
            if stated != size:
                faults.add(
                    "images with another size than their picture",
                    f"{name} (says {stated[0]}×{stated[1]}, has {size[0]}×{size[1]})",
                )
            objects = list(_objects(by_picture.get(number, ()), size, classes, findings))
            relative = f"{parsed.file.stem.removeprefix(PREFIX)}/{name}"
            yield OwnPicture(folder / name, relative, header.size_bytes, objects)
        if number is not None:
            seen.add(number)


def _by_picture(
    parsed: Instances, classes: Mapping[int, str], findings: Findings
) -> dict[int | str, list[dict[str, Any]]]:
    """The annotations of each image id, without those that no picture or class can be found for."""
    faults, file = findings.faults, parsed.file.name
    images = {_id(one, "id") for one in parsed.images}
    found: dict[int | str, list[dict[str, Any]]] = {}
    seen: set[int | str] = set()
    for place, one in enumerate(parsed.annotations):
        number, image, category = _id(one, "id"), _id(one, "image_id"), one.get("category_id")
        where = f"{f'annotations[{place}]' if number is None else number} in {file}"
        if number is not None:
            if number in seen:
                faults.add("annotation ids that occur twice", where)
            seen.add(number)
        if image is None or image not in images:
            faults.add("annotations of an image that is not listed", where)
        elif type(category) is not int or category not in classes:
            faults.add("annotations of a category that is not listed", where)
        elif not _is_box(one.get("bbox")):
            faults.add("annotations without a bbox of four numbers", where)
        else:
            found.setdefault(image, []).append({**one, "id": where})  # as it is named if its box is wrong
    return found


def _id(row: Mapping[str, Any], key: str) -> int | str | None:
    """An id as COCO (whole numbers) or other tools (text) write it; None where there is none."""
    value = row.get(key)
    return value if type(value) in (int, str) else None


def _is_box(box: object) -> bool:
    return isinstance(box, list) and len(box) == 4 and all(type(edge) in (int, float) for edge in box)


def _objects(
    annotations: Sequence[Mapping[str, Any]],
    size: tuple[int, int],
    classes: Mapping[int, str],
    findings: Findings,
) -> Iterator[OwnObject]:
    for one in annotations:
        x, y, width, height = (float(edge) for edge in one["bbox"])
        box = findings.boxes.box((x, y, x + width, y + height), size, f"annotation {one['id']}")
        if box is not None:
            yield OwnObject(classes[one["category_id"]], box, crowd=one.get("iscrowd", 0) == 1)
