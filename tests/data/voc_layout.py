"""Writes tiny devkits in exactly the layout of Pascal VOC."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

Written = tuple[str, Sequence[float | str], int]
"""Class, (xmin, ymin, xmax, ymax) counted from 1 with both ends, and the mark `difficult`."""


def object_xml(name: str, box: Sequence[float | str], difficult: int) -> str:
    edges = zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)
    inner = "".join(f"<{edge}>{value}</{edge}>" for edge, value in edges)
    return (
        f"<object><name>{name}</name><pose>Frontal</pose><truncated>0</truncated>"
        f"<difficult>{difficult}</difficult><bndbox>{inner}</bndbox></object>"
    )


def annotation_xml(objects: Sequence[Written], *, width: int = 40, height: int = 30, more: str = "") -> str:
    inner = "".join(object_xml(*one) for one in objects)
    size = f"<size><width>{width}</width><height>{height}</height><depth>3</depth></size>"
    return f"<annotation><folder>VOC</folder>{size}<segmented>0</segmented>{inner}{more}</annotation>"


def write_picture(devkit: Path, year: int, name: str, objects: Sequence[Written]) -> None:
    """A 40×30 picture; its level is the number that `name` ends with."""
    root = devkit / f"VOC{year}"
    for folder in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    level = np.full((30, 40, 3), int(name[-2:]), dtype=np.uint8)
    Image.fromarray(level).save(root / "JPEGImages" / f"{name}.jpg", quality=95)
    (root / "Annotations" / f"{name}.xml").write_text(annotation_xml(objects))


def write_devkit(
    devkit: Path, *, years: Sequence[int] = (2007,), num_train: int = 10, num_test: int = 3
) -> None:
    """Dogs everywhere; a year's first training picture has a difficult cat, each test picture a person."""
    for year in years:
        trained = [f"{year * 100 + 1 + number:06d}" for number in range(num_train)]
        for name in trained:
            cat: list[Written] = [("cat", (5, 5, 10, 10), 1)] if name == trained[0] else []
            write_picture(devkit, year, name, [("dog", (1, 1, 40, 30), 0), *cat])
        (devkit / f"VOC{year}/ImageSets/Main/trainval.txt").write_text("\n".join(trained) + "\n")
    tested = [f"{number:06d}" for number in range(1, num_test + 1)]
    for name in tested:
        write_picture(devkit, 2007, name, [("dog", (3, 4, 20, 25), 0), ("person", (21, 1, 30, 30), 0)])
    (devkit / "VOC2007/ImageSets/Main/test.txt").write_text("\n".join(tested) + "\n")
