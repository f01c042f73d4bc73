"""One annotation of Pascal VOC: the XML file that comes with every picture.

VOC's boxes count pixels from 1 and include both ends; here they become (xmin − 1, ymin − 1, xmax, ymax).
"""

import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from ndabench.data.detection.sets import Objects
from ndabench.errors import UserError, unknown

VOC_CLASSES = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train"),
    "tvmonitor",
)
EDGES = ("xmin", "ymin", "xmax", "ymax")


def read_annotation(file: Path, labels: Mapping[str, int]) -> tuple[Objects, tuple[int, int]]:
    """The objects of the classes in `labels`, and the picture's (width, height).

    `UserError` naming the file, and the object where there is one, for what is not as VOC has it: other XML,
    a class that is none of the 20, a box that is empty or outside the picture.
    """
    try:
        text = file.read_bytes()
    except OSError as error:
        raise UserError(f"{file}: cannot be read ({error.strerror})") from None
    # No DTD, hence no entities. The NUL tells UTF-16, in which the word would be spelt otherwise.
    if b"<!DOCTYPE" in text or b"\0" in text:
        raise UserError(f"{file}: not an annotation of VOC (it has a DOCTYPE or is not plain text)")
    try:
        root = ET.fromstring(text)
        width, height = (int(_text(root, f"size/{side}")) for side in ("width", "height"))
        # Only direct children: VOC 2012's people have parts with boxes of their own.
        found = [
            (_text(one, "name"), [float(_text(one, f"bndbox/{edge}")) for edge in EDGES], _difficult(one))
            for one in root.findall("object")
        ]
    except (ET.ParseError, ValueError) as error:
        raise UserError(f"{file}: not an annotation of VOC ({error})") from None
    kept = []
    for number, (name, edges, difficult) in enumerate(found, start=1):
        if name not in VOC_CLASSES:
            raise UserError(f"{file}: object {number}: {unknown('class', name, VOC_CLASSES)}")
        box = _box(edges, width, height, f"{file}: object {number} ({name})")
        if name in labels:
            kept.append((box, labels[name], difficult))
    objects = Objects(
        boxes=torch.tensor([box for box, _, _ in kept], dtype=torch.float32).reshape(-1, 4),
        labels=torch.tensor([label for _, label, _ in kept], dtype=torch.int64),
        difficult=torch.tensor([difficult for _, _, difficult in kept], dtype=torch.bool),
    )
    return objects, (width, height)


def _text(element: ET.Element, path: str) -> str:
    text = element.findtext(path, default="").strip()
    if not text:
        raise ValueError(f"it lacks {element.tag}/{path}")
    return text


def _difficult(element: ET.Element) -> bool:
    """VOC 2012 leaves the mark out here and there."""
    return element.findtext("difficult", default="0").strip() == "1"


def _box(edges: Sequence[float], width: int, height: int, where: str) -> tuple[float, float, float, float]:
    """VOC's edges as a box of ours, checked against the picture.

    VOC 2012 has edges that are not whole numbers; what they overshoot by less than a pixel is cut off.
    """
    described = ", ".join(f"{edge:g}" for edge in edges)
    x1, y1, x2, y2 = edges[0] - 1, edges[1] - 1, edges[2], edges[3]
    if not (x1 > -1 and y1 > -1 and x2 < width + 1 and y2 < height + 1):  # so that NaN is refused, too
        raise UserError(f"{where}: its box ({described}) is outside the picture of {width}×{height}")
    x1, y1, x2, y2 = max(x1, 0.0), max(y1, 0.0), min(x2, float(width)), min(y2, float(height))
    if not (x1 < x2 and y1 < y2):
        raise UserError(f"{where}: its box ({described}) is empty")
    return x1, y1, x2, y2
