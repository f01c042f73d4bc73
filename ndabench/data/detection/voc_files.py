"""Pascal VOC's files as they are written: the annotation of a picture (XML: its size, and of each object
class, box and mark) and the list of a split's pictures.
"""

import xml.etree.ElementTree as ET
from collections.abc import Container
from pathlib import Path
from typing import NamedTuple

from ndabench.data.image_folder import IMAGES
from ndabench.data.lists import read_lines
from ndabench.errors import UserError
from ndabench.regular_files import read_bytes

LARGEST_ANNOTATION = 2**24
"""Bytes, of one picture."""
MARKS = ("-1", "0", "1")
"""What follows a picture's name in VOC's lists of a class: whether the picture shows it."""
EDGES = ("xmin", "ymin", "xmax", "ymax")


class VocObject(NamedTuple):
    name: str
    edges: tuple[float, ...]
    """xmin, ymin, xmax, ymax, as written."""
    difficult: bool


class VocAnnotation(NamedTuple):
    width: int
    height: int
    objects: list[VocObject]


def read_voc_xml(file: Path) -> VocAnnotation:
    """What is written in `file`, unchecked; `UserError` naming it for other XML, or where it is missing."""
    text = read_bytes(file, "annotation of VOC", LARGEST_ANNOTATION)
    # No DTD, hence no entities. A NUL means UTF-16, in which the word has other bytes.
    if b"<!DOCTYPE" in text or b"\0" in text:
        raise UserError(f"{file}: not an annotation of VOC (it has a DOCTYPE or is not plain text)")
    try:
        root = ET.fromstring(text)
        width, height = (int(_text(root, f"size/{side}")) for side in ("width", "height"))
        # Only direct children: people in VOC 2012 have parts, which have boxes too.
        objects = [
            VocObject(
                _text(one, "name"),
                tuple(float(_text(one, f"bndbox/{edge}")) for edge in EDGES),
                _difficult(one),
            )
            for one in root.findall("object")
        ]
    except (ET.ParseError, ValueError) as error:
        raise UserError(f"{file}: not an annotation of VOC ({error})") from None
    return VocAnnotation(width, height, objects)


def _text(element: ET.Element, path: str) -> str:
    text = element.findtext(path, default="").strip()
    if not text:
        raise ValueError(f"it lacks {element.tag}/{path}")
    return text


def _difficult(element: ET.Element) -> bool:
    """False where the mark is missing, as in some annotations of VOC 2012."""
    return element.findtext("difficult", default="0").strip() == "1"


def read_list(file: Path, known: Container[str] = ()) -> list[str]:
    """The names of a split's pictures, without suffix. They may have blanks; VOC's marks do not count.

    Where a line is no name that is `known`, with or without its mark, but its first word is, that is meant.
    """
    names = [_name_on(line, known) for _, line in read_lines(file, "list of pictures")]
    if not names:
        raise UserError(f"{file}: lists no picture")
    return names


def _name_on(line: str, known: Container[str]) -> str:
    *before, last = line.rsplit(maxsplit=1)
    unmarked = before[0] if before and last in MARKS else line
    candidates = [_without_suffix(one) for one in (line, unmarked, line.split(maxsplit=1)[0])]
    return next((name for name in candidates if name in known), candidates[1])


def _without_suffix(name: str) -> str:
    path = Path(name)
    return path.stem if path.suffix.lower() in IMAGES.suffixes else str(path)
