"""What is wrong in annotations: counted by kind, the first five named, and what a rule does with it.

A box that reaches beyond its picture is *outside*; one with a minimum above its maximum, without area, wholly
outside, or with an edge that is no finite number is *empty*: no part of the picture belongs to it.

    broken_boxes    outside                     empty
    refuse          refused                     refused
    clip            clipped to the picture      refused
    drop            clipped to the picture      left out

Whatever is clipped or left out is counted in the notes of the data set, since it changes what an average
precision is measured on. A picture keeps its place even if none of its boxes remains.
"""

import math
from collections.abc import Sequence
from typing import Literal

from ndabench.errors import UserError, first_of

BoxRule = Literal["refuse", "clip", "drop"]
Box = tuple[float, float, float, float]

MOST_NAMED = 5
ROUNDING = 0.011
"""Pixels by which a box may reach beyond its picture uncounted: COCO's files round to 2 decimals. It is cut
off."""


class Faults:
    """Places where something is wrong, by kind, in the order of their first occurrence."""

    def __init__(self) -> None:
        self.places: dict[str, list[str]] = {}

    def add(self, kind: str, place: object) -> None:
        """`kind` is a plural, as in "boxes without area"."""
        self.places.setdefault(kind, []).append(str(place))

    def lines(self) -> tuple[str, ...]:
        """As in `2 × boxes without area: a.xml object 1, b.xml object 3`."""
        return tuple(
            f"{len(places)} × {kind}: {first_of(places, MOST_NAMED)}" for kind, places in self.places.items()
        )

    def refuse(self, where: object, advice: str = "") -> None:
        """`UserError` of one line if there are any."""
        if self.places:
            raise UserError(f"{where}: {'; '.join(self.lines())}{advice}")


class BoxCheck:
    """The boxes of a data set under one rule, and the faults found so far."""

    def __init__(self, rule: BoxRule) -> None:
        self.rule = rule
        self.refused, self.changed = Faults(), Faults()

    def box(self, edges: Sequence[float], size: tuple[int, int], place: str) -> Box | None:
        """The part of (x1, y1, x2, y2) inside a picture of `size` (width, height); None if it is refused, or
        left out."""
        x1, y1, x2, y2 = edges
        width, height = size
        described = f"{place} ({', '.join(f'{edge:g}' for edge in edges)} in {width}×{height})"
        if (kind := _emptiness(x1, y1, x2, y2, width, height)) is not None:
            if self.rule == "drop":
                self.changed.add(f"{kind}, left out", described)
            else:
                self.refused.add(kind, described)
            return None
        if max(-x1, -y1, x2 - width, y2 - height) > ROUNDING:
            if self.rule == "refuse":
                self.refused.add("boxes partly outside their picture", described)
                return None
            self.changed.add("boxes partly outside their picture, clipped to it", described)
        return max(x1, 0.0), max(y1, 0.0), min(x2, float(width)), min(y2, float(height))

    def refuse(self, where: object) -> None:
        """`UserError` if a box broke the rule."""
        advice = {
            "refuse": "; broken_boxes: clip clips those that are partly outside",
            "clip": "; broken_boxes: drop leaves boxes without a part in the picture out, and counts them",
            "drop": "",
        }
        self.refused.refuse(where, advice[self.rule])


def _emptiness(x1: float, y1: float, x2: float, y2: float, width: int, height: int) -> str | None:
    """The kind of an empty box; None for one that is not."""
    if not all(map(math.isfinite, (x1, y1, x2, y2))):
        return "boxes with an edge that is no finite number"
    if x1 > x2 or y1 > y2:
        return "boxes with a minimum above the maximum"
    if x1 == x2 or y1 == y2:
        return "boxes without area"
    if x1 >= width or y1 >= height or x2 <= 0 or y2 <= 0:
        return "boxes wholly outside their picture"
    return None
