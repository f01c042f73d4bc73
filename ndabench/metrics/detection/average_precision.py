"""Average precision of detections, by the three protocols in use; they differ, so each has its own name.

`voc07`: Pascal VOC 2007 (Everingham et al., IJCV 2010) as detectron2's PascalVOCDetectionEvaluator extends it
to several overlap thresholds. A detection belongs to the object of its class and picture that it overlaps
most, and is right if that overlap exceeds the threshold and no detection with a higher score has claimed the
object. A detection that belongs to a `difficult` object counts neither way, and such objects need not be
found. Precision is the best at or above each of 11 recalls, averaged over those. detectron2 rounds scores to
3 decimals and boxes to 1; here nothing is rounded. The devkit adds 1 to widths because its boxes include both
ends; our boxes exclude the second end, so that their plain width is the same number.

`voc10`: Pascal VOC from 2010 on (the devkit's VOCap): as `voc07`, but AP is the area under the precision that
is the best at or above each recall, at every recall that occurs.

`coco`: COCO's (Lin et al., ECCV 2014), computed by pycocotools: 101 recalls, objects of any size, at most the
100 best detections of a picture and class; a detection takes the best object that is still free, and an
overlap equal to the threshold is enough. COCO knows no `difficult`: such objects count like any other. A
detection of which that share lies in a crowd counts neither way, and crowds need not be found; VOC knows no
crowd and treats one as `difficult`.

In all, AP is the mean over the overlap thresholds 0.50, 0.55, ..., 0.95, and a class without counted objects
is left out of the mean. Among equal scores, the earlier picture's detection comes first.
"""

import contextlib
import importlib.util
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ndabench.data.detection.scenes import Objects
from ndabench.errors import UserError

Array = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Summary = Callable[[Flags, Flags, int], float]
"""The AP of one class at one overlap; see `_eleven_points`."""

OVERLAPS: Array = np.arange(50, 100, 5) / 100
VOC07_RECALLS: Array = np.arange(0.0, 1.1, 0.1)
"""As the devkit writes them: 0.3, 0.6 and 0.7 come out a hair above 3/10, 6/10 and 7/10."""
COCO_MOST_DETECTIONS = 100

VOC07_PROTOCOL: dict[str, Any] = {
    "metric": "voc07",
    "overlaps": "0.50:0.05:0.95, exceeded",
    "interpolation": "11 points",
    "matching": "most overlapped object",
    "difficult": "ignored",
    "absent_classes": "left out of the mean",
}
VOC10_PROTOCOL: dict[str, Any] = {**VOC07_PROTOCOL, "metric": "voc10", "interpolation": "area"}
COCO_PROTOCOL: dict[str, Any] = {
    "metric": "coco",
    "overlaps": "0.50:0.05:0.95, reached",
    "interpolation": "101 points",
    "matching": "most overlapped object that is still free",
    "detections_per_picture_and_class": COCO_MOST_DETECTIONS,
    "area": "all",
    "difficult": "as ordinary objects",
    "absent_classes": "left out of the mean",
}


@dataclass(frozen=True)
class Detections:
    """What a detector finds in one picture."""

    boxes: Tensor
    """float `[n, 4]` in pixels of the original picture, as those of `Objects`."""
    scores: Tensor
    """float `[n]`, higher for more confident detections."""
    labels: Tensor
    """int64 `[n]`, from 0 to the number of classes − 1."""


@dataclass(frozen=True)
class AveragePrecision:
    """Average precisions in percent."""

    ap: float
    ap50: float
    ap75: float
    class_ap50: tuple[float | None, ...]
    """AP50 of each class; None for the classes that the mean leaves out."""


def voc07_average_precision(
    detections: Sequence[Detections], objects: Sequence[Objects], num_classes: int
) -> AveragePrecision:
    """VOC07's AP of `detections` in the pictures that hold `objects`, with one entry per picture in both.

    `UserError` where all objects are `difficult`, or there are none.
    """
    return _voc_average_precision(detections, objects, num_classes, _eleven_points)


def voc10_average_precision(
    detections: Sequence[Detections], objects: Sequence[Objects], num_classes: int
) -> AveragePrecision:
    """The area AP of VOC 2010 and later, otherwise as `voc07_average_precision`."""
    return _voc_average_precision(detections, objects, num_classes, _area)


def coco_average_precision(
    detections: Sequence[Detections], objects: Sequence[Objects], num_classes: int
) -> AveragePrecision:
    """COCO's AP of `detections` in the pictures that hold `objects`, with one entry per picture in both.

    `UserError` where there are no objects but crowds, or pycocotools is not installed.
    """
    require_pycocotools()
    from pycocotools.cocoeval import COCOeval  # late: an optional package

    found, wanted = _flat_detections(detections), _flat_objects(objects)
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints every stage of its work
        evaluation = COCOeval(
            _coco(wanted, len(objects), num_classes, crowd=wanted.crowd),
            _coco(found, len(objects), num_classes, scores=found.scores),
            iouType="bbox",
        )
        evaluation.params.areaRng = [[0, 1e10]]
        evaluation.params.areaRngLbl = ["all"]
        evaluation.params.maxDets = [COCO_MOST_DETECTIONS]
        evaluation.evaluate()
        evaluation.accumulate()
    precision = evaluation.eval["precision"][:, :, :, 0, 0]  # by overlap, recall and class
    present = np.unique(wanted.labels[~wanted.crowd]).tolist()
    return _summary({label: precision[:, :, label].mean(1) for label in present}, num_classes)


def require_pycocotools() -> None:
    """`UserError` where the package for COCO's measure is missing; to be called before any training."""
    if importlib.util.find_spec("pycocotools") is None:
        raise UserError("COCO's average precision needs the package pycocotools: pip install pycocotools")


class _Found(NamedTuple):
    """Detections of many pictures: `[n]` each, boxes `[n, 4]`."""

    pictures: Rows
    boxes: Array
    labels: Rows
    scores: Array

    def at(self, rows: npt.NDArray[Any]) -> "_Found":
        return _Found(self.pictures[rows], self.boxes[rows], self.labels[rows], self.scores[rows])


class _Objects(NamedTuple):
    """Objects of many pictures, as `_Found`, in ascending order of the pictures."""

    pictures: Rows
    boxes: Array
    labels: Rows
    difficult: Flags
    crowd: Flags

    def at(self, rows: npt.NDArray[Any]) -> "_Objects":
        return _Objects(*(column[rows] for column in self))


def _flat_detections(detections: Sequence[Detections]) -> _Found:
    scores = _joined([one.scores for one in detections], (0,)).astype(np.float64)
    return _Found(*_flat(detections), scores)


def _flat_objects(objects: Sequence[Objects]) -> _Objects:
    difficult = _joined([one.difficult for one in objects], (0,)).astype(bool)
    crowds = [torch.zeros(len(one)) if one.crowd is None else one.crowd for one in objects]
    return _Objects(*_flat(objects), difficult, _joined(crowds, (0,)).astype(bool))


def _flat(pictures: Sequence[Detections] | Sequence[Objects]) -> tuple[Rows, Array, Rows]:
    numbers = np.repeat(np.arange(len(pictures)), [len(one.labels) for one in pictures])
    boxes = _joined([one.boxes for one in pictures], (0, 4)).astype(np.float64)
    return numbers, boxes, _joined([one.labels for one in pictures], (0,)).astype(np.int64)


def _joined(parts: Sequence[Tensor], empty: tuple[int, ...]) -> npt.NDArray[Any]:
    return np.concatenate([np.zeros(empty, np.float32), *(part.cpu().numpy() for part in parts)])


def _voc_average_precision(
    detections: Sequence[Detections], objects: Sequence[Objects], num_classes: int, summary: Summary
) -> AveragePrecision:
    found, wanted = _flat_detections(detections), _flat_objects(objects)
    wanted = wanted._replace(difficult=wanted.difficult | wanted.crowd)
    by_class: dict[int, Array] = {}
    for label in range(num_classes):
        of_class = wanted.at(wanted.labels == label)
        if not of_class.difficult.all():
            by_class[label] = _voc(found.at(found.labels == label), of_class, summary)
    return _summary(by_class, num_classes)


def _voc(found: _Found, wanted: _Objects, summary: Summary) -> Array:
    """The AP of one class at each of `OVERLAPS`."""
    by_score = np.argsort(-found.scores, kind="stable")
    overlap, nearest = _most_overlapped(found.at(by_score), wanted)
    ignorable = wanted.difficult[nearest]
    num_wanted = int(np.count_nonzero(~wanted.difficult))
    values = []
    for threshold in OVERLAPS:
        belongs = overlap > threshold
        claims = np.flatnonzero(belongs & ~ignorable)
        _, first = np.unique(nearest[claims], return_index=True)
        right = np.zeros(len(overlap), dtype=bool)
        right[claims[first]] = True
        wrong = ~right & ~(belongs & ignorable)
        values.append(summary(right, wrong, num_wanted))
    return np.array(values)


def _most_overlapped(found: _Found, wanted: _Objects) -> tuple[Array, Rows]:
    """Each detection's largest overlap with an object of its picture, and the (first) object that has it.

    Where the picture has no object, the overlap is 0 and the object is arbitrary.
    """
    start, stop = (np.searchsorted(wanted.pictures, found.pictures, side) for side in ("left", "right"))
    count = stop - start
    offset = np.cumsum(count) - count
    # All pairs of a detection and an object of its picture, the detections in order.
    detection = np.repeat(np.arange(len(count)), count)
    candidate = np.arange(len(detection)) + np.repeat(start - offset, count)
    pair_overlap = _overlaps(found.boxes[detection], wanted.boxes[candidate])
    best = np.lexsort((-pair_overlap, detection))[offset[count > 0]]
    overlap, nearest = np.zeros(len(count)), np.zeros(len(count), dtype=np.int64)
    overlap[count > 0], nearest[count > 0] = pair_overlap[best], candidate[best]
    return overlap, nearest


def _overlaps(a: Array, b: Array) -> Array:
    """Intersection over union of boxes `[n, 4]`, row by row."""
    sides = np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2])
    intersection = np.maximum(sides, 0).prod(1)
    union = (a[:, 2:] - a[:, :2]).prod(1) + (b[:, 2:] - b[:, :2]).prod(1) - intersection
    return intersection / union


def _eleven_points(right: Flags, wrong: Flags, num_wanted: int) -> float:
    """Mean over 11 recalls of the best precision at or above each; flags `[n]` by falling score."""
    recall, best_from_here = _precision_by_recall(right, wrong, num_wanted)
    return float(best_from_here[np.searchsorted(recall, VOC07_RECALLS)].mean())


def _area(right: Flags, wrong: Flags, num_wanted: int) -> float:
    """The area under the best precision at or above each recall; flags `[n]` by falling score."""
    recall, best_from_here = _precision_by_recall(right, wrong, num_wanted)
    return float(np.sum(np.diff(recall, prepend=0.0) * best_from_here[:-1]))


def _precision_by_recall(right: Flags, wrong: Flags, num_wanted: int) -> tuple[Array, Array]:
    """After each detection the recall `[n]` and the best precision from there on, then a 0, `[n + 1]`."""
    num_right, num_wrong = np.cumsum(right), np.cumsum(wrong)
    precision = num_right / np.maximum(num_right + num_wrong, 1)
    return num_right / num_wanted, np.append(np.maximum.accumulate(precision[::-1])[::-1], 0.0)


def _coco(
    boxes_of: _Found | _Objects,
    num_pictures: int,
    num_classes: int,
    *,
    scores: Array | None = None,
    crowd: Flags | None = None,
) -> Any:
    """pycocotools' own index of these boxes; scores make them detections."""
    from pycocotools.coco import COCO  # late: an optional package

    pictures, boxes, labels = boxes_of[:3]
    corner_and_size = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)
    none = np.zeros(len(labels), dtype=np.int64)
    columns = (pictures, corner_and_size, labels, none if scores is None else scores)
    marks = none if crowd is None else crowd.astype(np.int64)
    rows = zip(*(column.tolist() for column in (*columns, marks)), strict=True)
    index = COCO()
    index.dataset = {
        "info": {},
        "images": [{"id": number} for number in range(num_pictures)],
        "categories": [{"id": label} for label in range(num_classes)],
        "annotations": [
            # pycocotools marks matches by these numbers, and 0 would mean no match.
            {"id": number, "image_id": picture, "category_id": label, "bbox": box, "score": score}
            | {"area": box[2] * box[3], "iscrowd": mark}
            for number, (picture, box, label, score, mark) in enumerate(rows, start=1)
        ],
    }
    index.createIndex()
    return index


def _summary(by_class: Mapping[int, Array], num_classes: int) -> AveragePrecision:
    """The summary of the AP of each class that counts, at each of `OVERLAPS`."""
    if not by_class:
        raise UserError("average precision: no picture has an object that counts (one that is not difficult)")
    values = 100 * np.stack(list(by_class.values()))
    at_overlap = dict(
        zip((OVERLAPS * 100).round().astype(int).tolist(), values.mean(0).tolist(), strict=True)
    )
    class_ap50 = dict(zip(by_class, values[:, 0].tolist(), strict=True))
    return AveragePrecision(
        ap=float(values.mean()),
        ap50=at_overlap[50],
        ap75=at_overlap[75],
        class_ap50=tuple(class_ap50.get(label) for label in range(num_classes)),
    )
