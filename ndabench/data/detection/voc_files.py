"""Pascal VOC's files as they are written: the annotation of a picture (XML: its size, and of each object
class, box and mark) and the list of a split's pictures.
"""

import xml.etree.ElementTree as ET
from pathlib import Path
from typing import NamedTuple

from ndabench.data.image_folder import IMAGES
from ndabench.errors import UserError

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
    try:
        text = file.read_bytes()
    except OSError as error:
        raise UserError(f"{file}: cannot be read ({error.strerror})") from None
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


def read_list(file: Path) -> list[str]:
    """The names of a split's pictures, without suffix; what follows a name on its line does not count."""
    try:
        lines = [line.split()[0] for line in file.read_text("utf-8-sig").splitlines() if line.strip()]
    except OSError as error:
        raise UserError(f"{file}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise UserError(f"{file}: not a text file with one picture name per line") from None
    if not lines:
        raise UserError(f"{file}: lists no picture")
    names = [Path(line) for line in lines]
    return [one.stem if one.suffix.lower() in IMAGES.suffixes else str(one) for one in names]
