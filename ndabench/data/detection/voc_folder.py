"""One's own pictures in Pascal VOC's layout, as LabelImg, CVAT and many public sets have it, of any classes.

    Annotations/<name>.xml                                  as in `voc_files.py`
    JPEGImages/<name>.jpg                                   or .png, .bmp, …
    ImageSets/Main/{train,val,trainval,test}.txt            optional: one name a line
    classes.txt                                             optional: one class a line

Without lists, all annotated pictures are split by a seed. With train and val, these are the training and the
validation pictures; with trainval (or train) alone, validation is cut from it. Without `classes.txt`, the
classes are those that occur in the annotations, sorted.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

from ndabench.data.class_folders import is_junk
from ndabench.data.config import SplitName
from ndabench.data.detection.annotated_files import read_header
from ndabench.data.detection.faults import BoxCheck
from ndabench.data.detection.own_scenes import (
    Findings,
    OwnObject,
    OwnPicture,
    OwnSceneConfig,
    own_source,
    read_class_list,
)
from ndabench.data.detection.source import SceneSource
from ndabench.data.detection.voc_files import VocObject, read_list, read_voc_xml
from ndabench.data.image_folder import IMAGES
from ndabench.errors import UserError, first_of

ANNOTATIONS, PICTURES, LISTS, CLASSES = "Annotations", "JPEGImages", "ImageSets/Main", "classes.txt"


class VocFolderConfig(OwnSceneConfig):
    """`path` is the folder that holds `Annotations` and `JPEGImages`."""

    name: Literal["voc_folder"] = "voc_folder"
    first_pixel: Literal[0, 1] = 1
    """1: as VOC and LabelImg, boxes count pixels from 1 and include both ends; 0: as CVAT and Roboflow, they
    count from 0 and the maximum is excluded."""

    def open(self) -> SceneSource:
        """Reads and checks every annotation, and the header of every picture.

        `UserError` for missing files, wrong annotations (counted) and names that are listed more than once.
        """
        for folder in (ANNOTATIONS, PICTURES):
            if not (self.path / folder).is_dir():
                raise UserError(
                    f"{self.path}: has no folder {folder}; a voc_folder holds {ANNOTATIONS} and {PICTURES}"
                )
        findings = Findings(BoxCheck(self.broken_boxes))
        annotated = sorted(file.stem for file in (self.path / ANNOTATIONS).glob("*.xml"))
        if not annotated:
            raise UserError(f"{self.path / ANNOTATIONS}: holds no annotation (*.xml)")
        pictures = self._pictures()
        lists = self.chosen_lists() or self._usual_lists()
        names: dict[SplitName, Sequence[str]] = {
            split: read_list(file, {*annotated, *pictures}) for split, file in lists.items()
        }
        if not names:
            names = {"train": annotated}
        self._note_unused(annotated, pictures, names, findings)
        splits = {split: list(self._read(listed, pictures, findings)) for split, listed in names.items()}
        return own_source(self, splits, self._known(splits, findings), findings)

    def _pictures(self) -> dict[str, list[Path]]:
        """The files of pictures by their names without suffix."""
        found: dict[str, list[Path]] = {}
        for file in sorted((self.path / PICTURES).iterdir()):
            if file.suffix.lower() in IMAGES.suffixes and not is_junk(file.name) and file.is_file():
                found.setdefault(file.stem, []).append(file)
        return found

    def _usual_lists(self) -> dict[SplitName, Path]:
        """The lists that are there; without any, none."""
        files = {name: self.path / LISTS / f"{name}.txt" for name in ("train", "val", "trainval", "test")}
        there = {name: file for name, file in files.items() if file.is_file()}
        if not there:
            return {}
        lists: dict[SplitName, Path] = {}
        if "train" in there and ("val" in there or "trainval" not in there):
            lists["train"] = there["train"]
            if "val" in there:
                lists["validation"] = there["val"]
        elif "trainval" in there:
            lists["train"] = there["trainval"]
        else:
            raise UserError(f"{self.path / LISTS}: has neither train.txt nor trainval.txt")
        if "test" in there:
            lists["test"] = there["test"]
        return lists

    def _note_unused(
        self,
        annotated: Sequence[str],
        pictures: Mapping[str, object],
        names: Mapping[SplitName, Sequence[str]],
        findings: Findings,
    ) -> None:
        listed = {name for of_split in names.values() for name in of_split}
        unlisted = [name for name in annotated if name not in listed]
        if unlisted:
            findings.notes.append(f"{len(unlisted)} × annotated pictures in no list: {first_of(unlisted, 5)}")
        known = {*annotated, *listed}
        without = [name for name in pictures if name not in known]
        if without:
            findings.notes.append(
                f"{len(without)} × pictures without an annotation, not used: {first_of(without, 5)}"
            )

    def _read(
        self, names: Sequence[str], pictures: Mapping[str, Sequence[Path]], findings: Findings
    ) -> Iterator[OwnPicture]:
        for name in names:
            file, faults = self.path / ANNOTATIONS / f"{name}.xml", findings.faults
            found = pictures.get(name, ())
            if not file.is_file():
                faults.add("annotations that are missing", f"{ANNOTATIONS}/{name}.xml")
            if not found:
                faults.add("pictures that are missing", f"{PICTURES}/{name}.*")
            if len(found) > 1:
                faults.add("names that several pictures have", first_of([one.name for one in found]))
            if file.is_file() and len(found) == 1:
                written, header = read_voc_xml(file), read_header(found[0])
                size, stated = (header.width, header.height), (written.width, written.height)
                if stated not in (size, (0, 0)):  # some tools write 0×0 for a size they do not know
                    faults.add(
                        "annotations for a picture of another size",
                        f"{file.name} (says {stated[0]}×{stated[1]}, has {size[0]}×{size[1]})",
                    )
                else:
                    objects = list(self._objects(written.objects, size, file.name, findings.boxes))
                    yield OwnPicture(found[0], name, header.size_bytes, objects)

    def _objects(
        self, written: Sequence[VocObject], size: tuple[int, int], file: str, boxes: BoxCheck
    ) -> Iterator[OwnObject]:
        for number, one in enumerate(written, start=1):
            x1, y1, x2, y2 = one.edges
            first = self.first_pixel
            box = boxes.box((x1 - first, y1 - first, x2, y2), size, f"{file} object {number}")
            if box is not None:
                yield OwnObject(one.name, box, one.difficult)

    def _known(self, splits: Mapping[SplitName, Sequence[OwnPicture]], findings: Findings) -> tuple[str, ...]:
        """The classes of `classes.txt`, or those that occur."""
        file = self.path / CLASSES
        if not file.is_file():
            occurring = {
                one.name for pictures in splits.values() for picture in pictures for one in picture.objects
            }
            return tuple(sorted(occurring))
        known = read_class_list(file)
        for pictures in splits.values():
            for picture in pictures:
                for one in picture.objects:
                    if one.name not in known:
                        findings.faults.add(
                            f"objects of a class that {CLASSES} lacks", f"{picture.name}.xml ({one.name})"
                        )
        return known
