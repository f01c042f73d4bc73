"""All protocols against evaluators that follow their definitions box by box."""

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from ndabench.data.detection.scenes import Objects
from ndabench.errors import UserError
from ndabench.metrics.detection.average_precision import (
    AveragePrecision,
    Detections,
    coco_average_precision,
    voc07_average_precision,
    voc10_average_precision,
)

NUM_CLASSES = 4
Measure = Callable[[Sequence[Detections], Sequence[Objects], int], AveragePrecision]
MEASURES = [voc07_average_precision, voc10_average_precision, coco_average_precision]


def random_boxes(count: int, random: np.random.Generator) -> torch.Tensor:
    """Whole numbers on a small canvas: overlaps are exact, and often equal, or at a threshold."""
    corner, size = random.integers(0, 12, (count, 2)), random.integers(1, 12, (count, 2))
    return torch.from_numpy(np.concatenate([corner, corner + size], axis=1)).float()


def random_pictures(
    seed: int, *, num_pictures: int = 12, ties: bool = True
) -> tuple[list[Detections], list[Objects]]:
    """Class 3 has no objects, class 2 only difficult ones; pictures may be empty, or without detections."""
    random = np.random.default_rng(seed)
    detections, objects = [], []
    for _ in range(num_pictures):
        count = int(random.integers(0, 7))
        labels = torch.from_numpy(random.integers(0, 3, count))
        difficult = torch.from_numpy(random.random(count) < 0.3) | (labels == 2)
        wanted = Objects(random_boxes(count, random), labels, difficult)
        near = random.permutation(count)[: random.integers(0, count + 1)]
        near = np.concatenate([near, near[:2]])  # some objects are found twice
        shifted = wanted.boxes[near] + torch.from_numpy(random.integers(-1, 2, (len(near), 4))).float()
        shifted[:, 2:] = torch.maximum(shifted[:, 2:], shifted[:, :2] + 1)
        boxes = torch.cat([shifted, random_boxes(int(random.integers(0, 4)), random)])
        found_labels = torch.from_numpy(random.integers(0, NUM_CLASSES, len(boxes)))
        found_labels[: len(near)] = labels[near]
        levels = random.integers(0, 6, len(boxes)) / 5 if ties else random.random(len(boxes))
        order = torch.from_numpy(random.permutation(len(boxes)))
        scores = torch.from_numpy(levels).float()
        detections.append(Detections(boxes[order], scores[order], found_labels[order]))
        objects.append(wanted)
    return detections, objects


def naive_voc07(detections: Any, objects: Any, label: int, threshold: float) -> float | None:
    """VOCap of 2007: 11 points."""
    curve = naive_voc_curve(detections, objects, label, threshold)
    if curve is None:
        return None
    points = [
        max((precision for reached, precision in curve if reached >= recall), default=0.0)
        for recall in np.arange(0.0, 1.1, 0.1)
    ]
    return sum(points) / 11


def naive_voc10(detections: Any, objects: Any, label: int, threshold: float) -> float | None:
    """VOCap of 2010: a step for each recall that occurs, as high as the best precision from there on."""
    curve = naive_voc_curve(detections, objects, label, threshold)
    if curve is None:
        return None
    area, before = 0.0, 0.0
    for recall in sorted({reached for reached, _ in curve}):
        area += (recall - before) * max(precision for reached, precision in curve if reached >= recall)
        before = recall
    return area


def naive_voc_curve(
    detections: Any, objects: Any, label: int, threshold: float
) -> list[tuple[float, float]] | None:
    """VOCdevkit's VOCevaldet of one class, in its own coordinates (from 1, both ends included): recall and
    precision after each detection."""
    claimed = [[False] * len(one.labels) for one in objects]
    num_wanted = sum(
        int(own == label and not hard)
        for one in objects
        for own, hard in zip(one.labels, one.difficult, strict=True)
    )
    if num_wanted == 0:
        return None
    found = [
        (float(score), picture, box)
        for picture, one in enumerate(detections)
        for score, box, own in zip(one.scores, one.boxes.tolist(), one.labels, strict=True)
        if own == label
    ]
    found.sort(key=lambda item: -item[0])
    right, wrong, recalls, precisions = 0, 0, [], []
    for _, picture, (x1, y1, x2, y2) in found:
        best, match = -np.inf, -1
        for number, (gx1, gy1, gx2, gy2) in enumerate(objects[picture].boxes.tolist()):
            if objects[picture].labels[number] != label:
                continue
            width = min(x2, gx2) - max(x1 + 1, gx1 + 1) + 1
            height = min(y2, gy2) - max(y1 + 1, gy1 + 1) + 1
            intersection = width * height if width > 0 and height > 0 else 0.0
            areas = [
                (b - (a + 1) + 1) * (d - (c + 1) + 1)
                for a, b, c, d in ((x1, x2, y1, y2), (gx1, gx2, gy1, gy2))
            ]
            overlap = intersection / (sum(areas) - intersection)
            if overlap > best:
                best, match = overlap, number
        if best > threshold:
            if not objects[picture].difficult[match]:
                if claimed[picture][match]:
                    wrong += 1
                else:
                    right += 1
                    claimed[picture][match] = True
        else:
            wrong += 1
        recalls.append(right / num_wanted)
        precisions.append(right / (right + wrong) if right + wrong else 0.0)
    return list(zip(recalls, precisions, strict=True))


def naive_coco(detections: Any, objects: Any, label: int, threshold: float) -> float | None:
    """COCO's rule for one class: greedy matching picture by picture, then 101 points."""
    ranked: list[tuple[float, bool]] = []
    num_wanted = sum(int((one.labels == label).sum()) for one in objects)
    if num_wanted == 0:
        return None
    for found, wanted in zip(detections, objects, strict=True):
        free = [box for box, own in zip(wanted.boxes.tolist(), wanted.labels, strict=True) if own == label]
        own = [
            (float(score), box)
            for score, box, its in zip(found.scores, found.boxes.tolist(), found.labels, strict=True)
            if its == label
        ]
        own.sort(key=lambda item: -item[0])
        for score, box in own[:100]:
            overlaps = [overlap_of(box, other) for other in free]
            best = max(overlaps, default=0.0)
            matched = best >= threshold
            if matched:  # of equally overlapped objects, pycocotools takes the last
                free.pop(max(i for i, overlap in enumerate(overlaps) if overlap == best))
            ranked.append((score, matched))
    ranked.sort(key=lambda item: -item[0])
    right = np.cumsum([matched for _, matched in ranked])
    recalls, precisions = right / num_wanted, right / np.arange(1, len(ranked) + 1)
    points = [max(precisions[recalls >= recall], default=0.0) for recall in np.linspace(0, 1, 101)]
    return float(np.mean(points))


def overlap_of(a: list[float], b: list[float]) -> float:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    intersection = max(width, 0) * max(height, 0)
    return intersection / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - intersection)


@pytest.mark.parametrize("seed", range(25))
@pytest.mark.parametrize(
    ("measure", "naive", "absent"),
    [
        (voc07_average_precision, naive_voc07, {2, 3}),
        (voc10_average_precision, naive_voc10, {2, 3}),
        (coco_average_precision, naive_coco, {3}),
    ],
)
def test_agrees_with_the_definition(measure: Measure, naive: Any, absent: set[int], seed: int) -> None:
    detections, objects = random_pictures(seed)
    measured = measure(detections, objects, NUM_CLASSES)
    present = [label for label in range(NUM_CLASSES) if label not in absent]
    table = np.array(
        [[naive(detections, objects, label, t / 100) for label in present] for t in range(50, 100, 5)]
    )
    assert {label for label, value in enumerate(measured.class_ap50) if value is None} == absent
    assert [measured.class_ap50[label] for label in present] == pytest.approx((100 * table[0]).tolist())
    assert measured.ap == pytest.approx(100 * table.mean())
    assert measured.ap50 == pytest.approx(100 * table[0].mean())
    assert measured.ap75 == pytest.approx(100 * table[5].mean())
    assert 0 < measured.ap < measured.ap50 < 100


@pytest.mark.parametrize("measure", MEASURES)
def test_perfect_detections(measure: Measure) -> None:
    _, objects = random_pictures(0, num_pictures=40)
    perfect = [Detections(one.boxes, torch.rand(len(one)), one.labels) for one in objects]
    measured = measure(perfect, objects, NUM_CLASSES)
    assert [measured.ap, measured.ap50, measured.ap75] == pytest.approx([100, 100, 100])


@pytest.mark.parametrize("measure", MEASURES)
def test_no_detections(measure: Measure) -> None:
    _, objects = random_pictures(0)
    nothing = Detections(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.int64))
    measured = measure([nothing] * len(objects), objects, NUM_CLASSES)
    assert (measured.ap, measured.ap50, measured.ap75) == (0, 0, 0)
    assert measured.class_ap50[:2] == (0, 0)


@pytest.mark.parametrize("measure", MEASURES)
def test_the_order_of_pictures_does_not_matter(measure: Measure) -> None:
    detections, objects = random_pictures(3, num_pictures=20, ties=False)
    order = np.random.default_rng(0).permutation(len(objects))
    shuffled = measure([detections[i] for i in order], [objects[i] for i in order], NUM_CLASSES)
    assert shuffled == measure(detections, objects, NUM_CLASSES)


def one_picture(boxes: list[list[float]], difficult: list[bool]) -> list[Objects]:
    labels = torch.zeros(len(boxes), dtype=torch.int64)
    return [Objects(torch.tensor(boxes), labels, torch.tensor(difficult))]


def found(boxes: list[list[float]], scores: list[float]) -> list[Detections]:
    labels = torch.zeros(len(boxes), dtype=torch.int64)
    return [Detections(torch.tensor(boxes), torch.tensor(scores), labels)]


EASY, HARD, HALF = [0.0, 0.0, 4.0, 4.0], [10.0, 10.0, 20.0, 20.0], [0.0, 0.0, 4.0, 2.0]


def test_difficult_objects() -> None:
    objects = one_picture([EASY, HARD], [False, True])
    both, easy = found([HARD, HARD, EASY], [0.9, 0.8, 0.7]), found([EASY], [0.7])
    # To VOC it is all the same whether the difficult object is found, missed, or found twice.
    assert voc07_average_precision(both, objects, 1).ap == pytest.approx(100)
    assert voc07_average_precision(easy, objects, 1).ap == pytest.approx(100)
    # To COCO it is an object like any other: right, wrong, right; and half of them missed.
    assert coco_average_precision(both, objects, 1).ap50 == pytest.approx((51 * 1 + 50 * 2 / 3) / 101 * 100)
    assert coco_average_precision(easy, objects, 1).ap50 == pytest.approx(51 / 101 * 100)


def test_an_overlap_of_exactly_one_half() -> None:
    objects = one_picture([EASY], [False])
    assert voc07_average_precision(found([HALF], [0.5]), objects, 1).ap50 == 0
    assert coco_average_precision(found([HALF], [0.5]), objects, 1).ap50 == pytest.approx(100)


def test_the_area_of_a_curve_by_hand() -> None:
    objects = one_picture([EASY, HARD], [False, False])
    # right, wrong, right: the recall rises to 1/2 at a precision of 1, then to 1 at 2/3.
    detections = found([EASY, HALF, HARD], [0.9, 0.8, 0.7])
    assert voc10_average_precision(detections, objects, 1).ap50 == pytest.approx((1 + 2 / 3) / 2 * 100)
    assert voc07_average_precision(detections, objects, 1).ap50 == pytest.approx((6 + 5 * 2 / 3) / 11 * 100)


def test_crowds() -> None:
    crowd = torch.tensor([False, True])
    objects = [replace(one_picture([EASY, HARD], [False, False])[0], crowd=crowd)]
    inside = [11.0, 11.0, 13.0, 13.0]  # its overlap with the crowd is small, but all of it lies in the crowd
    detections = found([inside, HARD, HARD, EASY], [0.9, 0.8, 0.7, 0.6])
    assert coco_average_precision(detections, objects, 1).ap == pytest.approx(100)
    without = found([HARD, HARD, EASY], [0.8, 0.7, 0.6])
    assert voc10_average_precision(without, objects, 1).ap == pytest.approx(100)
    assert voc10_average_precision(detections, objects, 1).ap50 == pytest.approx(50)
    only = [replace(one_picture([HARD], [False])[0], crowd=torch.tensor([True]))]
    for measure in MEASURES:
        with pytest.raises(UserError, match="no picture has an object that counts"):
            measure(detections, only, 1)


def test_a_second_detection_of_an_object() -> None:
    near = [0.0, 0.0, 4.0, 5.0]
    objects = one_picture([EASY, near], [False, False])
    detections = found([EASY, EASY], [0.9, 0.8])
    # To VOC it belongs to the object it overlaps most, which is taken; COCO lets it have the free one.
    assert voc07_average_precision(detections, objects, 1).ap50 == pytest.approx(6 / 11 * 100)
    assert coco_average_precision(detections, objects, 1).ap50 == pytest.approx(100)


def test_coco_looks_at_a_hundred_detections_of_a_picture_and_class() -> None:
    objects = one_picture([EASY], [False])
    scores = torch.linspace(1, 0.5, 101).tolist()
    assert coco_average_precision(found([HARD] * 100 + [EASY], scores), objects, 1).ap == 0
    assert coco_average_precision(found([HARD] * 99 + [EASY], scores[1:]), objects, 1).ap50 > 0


def test_nothing_to_find() -> None:
    detections = found([EASY], [0.5])
    with pytest.raises(UserError, match="no picture has an object that counts"):
        voc07_average_precision(detections, one_picture([EASY], [True]), 1)
    nothing = [
        Objects(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64), torch.zeros(0, dtype=torch.bool))
    ]
    with pytest.raises(UserError, match="no picture has an object that counts"):
        coco_average_precision(detections, nothing, 1)


def test_a_missing_pycocotools_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="pip install pycocotools"):
        coco_average_precision(found([EASY], [0.5]), one_picture([EASY], [False]), 1)


@pytest.mark.slow
def test_coco_agrees_with_torchmetrics() -> None:
    from torchmetrics.detection import MeanAveragePrecision

    detections, objects = random_pictures(7, num_pictures=40)
    other = MeanAveragePrecision(
        backend="pycocotools",
        iou_thresholds=np.linspace(0.5, 0.95, 10).tolist(),
        rec_thresholds=np.linspace(0, 1, 101).tolist(),
    )
    other.update([vars(one) for one in detections], [vars(one) for one in objects])
    theirs = other.compute()
    ours = coco_average_precision(detections, objects, NUM_CLASSES)
    assert ours.ap == pytest.approx(100 * theirs["map"].item())
    assert ours.ap50 == pytest.approx(100 * theirs["map_50"].item())
    assert ours.ap75 == pytest.approx(100 * theirs["map_75"].item())
