"""Writes tiny detection sets of one's own: blobs of three classes, in VOC's layout and in COCO's."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.data.voc_layout import annotation_xml

CLASSES = ("Platelets", "RBC", "WBC")
WIDTH, HEIGHT = 40, 30
Boxed = tuple[str, tuple[float, float, float, float]]
"""Class and (x1, y1, x2, y2), counted from 0, the maximum excluded."""


def blobs(number: int) -> list[Boxed]:
    """The objects of picture `number`: every fifth has none, every third a platelet, all others cells."""
    if number % 5 == 4:
        return []
    cell = ("RBC", "WBC")[number % 2]
    objects: list[Boxed] = [(cell, (number % 7, 2, number % 7 + 12, 14))]
    return [*objects, ("Platelets", (25, 15, 33, 25))] if number % 3 == 0 else objects


def draw(file: Path, objects: Sequence[Boxed]) -> None:
    canvas = np.full((HEIGHT, WIDTH, 3), 220, dtype=np.uint8)
    for name, (x1, y1, x2, y2) in objects:
        canvas[int(y1) : int(y2), int(x1) : int(x2), CLASSES.index(name)] = 40
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(canvas).save(file)


def write_voc_folder(folder: Path, count: int = 20, *, lists: Mapping[str, Sequence[int]] = {}) -> None:
    """Pictures `cell00.jpg` and so on; `lists` are the numbers in each file of ImageSets/Main."""
    (folder / "Annotations").mkdir(parents=True)
    for number in range(count):
        draw(folder / "JPEGImages" / f"cell{number:02d}.jpg", blobs(number))
        write_xml(folder, number, blobs(number))
    for name, numbers in lists.items():
        file = folder / "ImageSets" / "Main" / f"{name}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("".join(f"cell{number:02d}\n" for number in numbers))


def write_xml(folder: Path, number: int, objects: Sequence[Boxed]) -> None:
    written = [(name, (x1 + 1, y1 + 1, x2, y2), 0) for name, (x1, y1, x2, y2) in objects]
    (folder / "Annotations" / f"cell{number:02d}.xml").write_text(
        annotation_xml(written, width=WIDTH, height=HEIGHT)
    )


def instances(numbers: Sequence[int]) -> dict[str, Any]:
    """COCO's JSON of the pictures with these numbers; category ids are 3, 5 and 7."""
    objects = [(number, *one) for number in numbers for one in blobs(number)]
    return {
        "images": [
            {"id": number, "file_name": f"cell{number:02d}.png", "width": WIDTH, "height": HEIGHT}
            for number in numbers
        ],
        "annotations": [
            {
                "id": place,
                "image_id": number,
                "category_id": 3 + 2 * CLASSES.index(name),
                "bbox": [x1, y1, x2 - x1, y2 - y1],
                "iscrowd": 0,
            }
            for place, (number, name, (x1, y1, x2, y2)) in enumerate(objects, start=1)
        ],
        "categories": [{"id": 3 + 2 * place, "name": name} for place, name in enumerate(CLASSES)],
    }


def write_coco(folder: Path, splits: Mapping[str, dict[str, Any]], pictures: str = "{}") -> None:
    """`splits` are the contents of instances_<split>.json; `pictures` is the folder of a split's pictures."""
    (folder / "annotations").mkdir(parents=True, exist_ok=True)
    for split, content in splits.items():
        (folder / "annotations" / f"instances_{split}.json").write_text(json.dumps(content))
        for image in content["images"]:
            draw(folder / pictures.format(split) / image["file_name"], blobs(image["id"]))
