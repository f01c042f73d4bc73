"""Pascal VOC in its official layout: what is read, and one clear line for what cannot be."""

import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from ndabench.config import parse
from ndabench.data.detection.scenes import DetectionData
from ndabench.data.registry import SceneDataConfig, load_data
from ndabench.errors import UserError
from tests.data.voc_layout import annotation_xml, object_xml, write_devkit, write_picture

REAL = Path(os.environ.get("NDABENCH_DATA") or "unset") / "VOCdevkit"


def load(path: Path, **keys: Any) -> DetectionData:
    return load_data(
        parse(SceneDataConfig, {"name": "voc", "path": path, **keys}, "data"), torch.device("cpu")
    )


def error_of(path: Path, **keys: Any) -> str:
    with pytest.raises(UserError) as caught:
        load(path, **keys)
    line = str(caught.value)
    assert "\n" not in line
    return line


@pytest.fixture
def devkit(tmp_path: Path) -> Path:
    write_devkit(tmp_path / "VOCdevkit", years=(2007, 2012))
    return tmp_path / "VOCdevkit"


TEST_ANNOTATION = "VOC2007/Annotations/000002.xml"


def test_splits_boxes_and_pictures(devkit: Path) -> None:
    data = load(devkit)
    assert data.name == "voc07"
    assert len(data.class_names) == 20
    assert list(data.class_names) == sorted(data.class_names)
    assert (len(data.train), len(data.validation), len(data.test)) == (9, 1, 3)
    first = data.test[0]
    assert first.image.shape == (3, 30, 40)
    assert first.image.dtype == torch.uint8
    assert first.image.unique().tolist() == [1]
    # From 0, the second edge excluded.
    assert first.boxes.tolist() == [[2, 3, 20, 25], [20, 0, 30, 30]]
    assert [data.class_names[label] for label in first.labels] == ["dog", "person"]
    assert first.difficult.tolist() == [False, False]
    for row in range(3):
        assert data.test[row].boxes.equal(data.test.objects[row].boxes)


def test_difficult_objects_keep_their_mark(devkit: Path) -> None:
    data = load(devkit)
    objects = [*data.train.objects, *data.validation.objects]
    marks = {
        (data.class_names[label], bool(mark))
        for one in objects
        for label, mark in zip(one.labels, one.difficult, strict=True)
    }
    assert marks == {("dog", False), ("cat", True)}


def levels(split: Any) -> list[int]:
    return [int(split[row].image[0, 0, 0]) for row in range(len(split))]


def test_years_are_joined_and_the_test_stays(devkit: Path) -> None:
    both = load(devkit, years=[2012, 2007])
    assert both.name == "voc07+12"
    assert (len(both.train), len(both.validation), len(both.test)) == (18, 2, 3)
    only = load(devkit, years=[2012])
    assert only.name == "voc12"
    assert (len(only.train), len(only.validation)) == (9, 1)
    assert levels(only.test) == levels(both.test) == [1, 2, 3]


def test_the_cut_follows_seed_and_fraction(devkit: Path) -> None:
    data = load(devkit, validation_fraction=0.3)
    train, validation = levels(data.train), levels(data.validation)
    assert (len(train), len(validation)) == (7, 3)
    assert not set(train) & set(validation)
    assert levels(load(devkit, validation_fraction=0.3).validation) == validation
    assert levels(load(devkit, validation_fraction=0.3, split_seed=1).validation) != validation
    assert len(data.train.objects) + len(data.validation.objects) == 10


def test_the_parent_of_the_devkit_will_do(devkit: Path) -> None:
    assert load(devkit.parent).content_hash == load(devkit).content_hash


def test_the_hash_knows_pictures_annotations_and_cut(devkit: Path, tmp_path: Path) -> None:
    before = load(devkit).content_hash
    assert load(devkit, validation_fraction=0.2).content_hash != before
    assert load(devkit, classes=["dog"]).content_hash != before
    write_devkit(tmp_path / "elsewhere")
    assert load(tmp_path / "elsewhere").content_hash == before
    write_picture(tmp_path / "elsewhere", 2007, "000002", [("dog", (3, 4, 20, 24), 0)])
    assert load(tmp_path / "elsewhere").content_hash != before


def test_only_the_chosen_classes(devkit: Path) -> None:
    data = load(devkit, classes=["dog"])
    assert data.class_names == ("dog",)
    assert data.test[0].labels.tolist() == [0]
    assert data.test[0].boxes.tolist() == [[2, 3, 20, 25]]


def test_what_voc_2012_has_more(devkit: Path) -> None:
    part = "<part><name>head</name><bndbox><xmin>1</xmin></bndbox></part>"
    rare = object_xml("person", (41.3 - 0.5, 2.25, 40.6 - 0.5, 30.4), 0).replace(
        "<difficult>0</difficult>", part
    )
    rare = rare.replace("<xmin>40.8</xmin>", "<xmin>0.5</xmin>")
    (devkit / TEST_ANNOTATION).write_text(annotation_xml([], more=rare))
    one = load(devkit).test[1]
    assert one.boxes.tolist() == [[0, 1.25, pytest.approx(40), 30]]
    assert one.difficult.tolist() == [False]


def test_a_picture_without_objects(devkit: Path) -> None:
    (devkit / TEST_ANNOTATION).write_text(annotation_xml([]))
    empty = load(devkit).test[1]
    assert (empty.boxes.shape, empty.labels.shape, empty.difficult.shape) == ((0, 4), (0,), (0,))
    assert (empty.boxes.dtype, empty.labels.dtype) == (torch.float32, torch.int64)


def test_splits_travel_to_other_processes(devkit: Path) -> None:
    copy = pickle.loads(pickle.dumps(load(devkit).test))
    assert copy[1].boxes.tolist() == [[2, 3, 20, 25], [20, 0, 30, 30]]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "not an annotation of VOC (no element found"),
        ("<annotation>", "not an annotation of VOC (no element found"),
        ("<annotation/>", "not an annotation of VOC (it lacks annotation/size/width)"),
        (annotation_xml([], more="<object/>"), "not an annotation of VOC (it lacks object/name)"),
        (
            annotation_xml([], more="<object><name>dog</name></object>"),
            "not an annotation of VOC (it lacks object/bndbox/xmin)",
        ),
        (annotation_xml([("dog", ("a", 1, 2, 2), 0)]), "not an annotation of VOC (could not convert string"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><annotation/>', "not an annotation of VOC (it has a DOCTYPE"),
        (
            annotation_xml([("dgo", (1, 1, 2, 2), 0)]),
            "object 1: unknown class 'dgo'; did you mean 'dog'? (known: aeroplane,",
        ),
        (
            annotation_xml([("dog", (1, 1, 2, 2), 0), ("cat", (5, 1, 41, 2), 0)]),
            "object 2 (cat): its box (5, 1, 41, 2) is outside the picture of 40×30",
        ),
        (annotation_xml([("dog", (0, 1, 2, 2), 0)]), "its box (0, 1, 2, 2) is outside the picture of 40×30"),
        (annotation_xml([("dog", (1, 1, 2, 31), 0)]), "its box (1, 1, 2, 31) is outside the picture"),
        (annotation_xml([("dog", ("nan", 1, 2, 2), 0)]), "its box (nan, 1, 2, 2) is outside the picture"),
        (annotation_xml([("dog", (9, 1, 8, 2), 0)]), "object 1 (dog): its box (9, 1, 8, 2) is empty"),
        (annotation_xml([("dog", (3, 5, 9, 4), 0)]), "object 1 (dog): its box (3, 5, 9, 4) is empty"),
        (
            annotation_xml([], width=41),
            "is for a picture of 41×30, but 000002.jpg has 40×30",
        ),
    ],
)
def test_annotations_that_are_wrong(devkit: Path, text: str, expected: str) -> None:
    (devkit / TEST_ANNOTATION).write_text(text)
    line = error_of(devkit)
    assert line.startswith(f"{devkit / TEST_ANNOTATION}: ")
    assert expected in line


def test_a_doctype_in_another_encoding(devkit: Path) -> None:
    text = '<?xml version="1.0" encoding="utf-16"?><!DOCTYPE a><annotation/>'
    (devkit / TEST_ANNOTATION).write_text(text, encoding="utf-16")
    assert "has a DOCTYPE or is not plain text" in error_of(devkit)


@pytest.mark.parametrize(
    "file",
    [TEST_ANNOTATION, "VOC2007/JPEGImages/000002.jpg", "VOC2007/ImageSets/Main/trainval.txt"],
)
def test_missing_files_are_named(devkit: Path, file: str) -> None:
    (devkit / file).unlink()
    assert error_of(devkit) == f"{devkit / file}: cannot be read (No such file or directory)"


def test_a_missing_devkit(devkit: Path, tmp_path: Path) -> None:
    expected = "there is no VOC2007 in it, nor in a VOCdevkit below it; path must be the folder VOCdevkit"
    assert error_of(tmp_path / "none") == f"{tmp_path / 'none'}: {expected}"
    assert error_of(devkit / "VOC2007") == f"{devkit / 'VOC2007'}: {expected}"


def test_a_missing_year(tmp_path: Path) -> None:
    write_devkit(tmp_path)
    assert error_of(tmp_path, years=[2007, 2012]).startswith(
        f"{tmp_path}/VOC2012/ImageSets/Main/trainval.txt: cannot be read"
    )


def test_an_empty_list(devkit: Path) -> None:
    (devkit / "VOC2007/ImageSets/Main/test.txt").write_text("\n")
    assert "test.txt: lists no picture" in error_of(devkit)


def test_pictures_that_are_none(devkit: Path) -> None:
    file = devkit / "VOC2007/JPEGImages/000002.jpg"
    whole = file.read_bytes()
    file.write_bytes(b"not a picture")
    what = "no picture in a format that Pillow knows"
    assert error_of(devkit) == f"{file}: the image cannot be read (it is {what})"
    file.write_bytes(whole[:-10])  # its header is still good
    with pytest.raises(UserError, match=r"000002\.jpg: the image cannot be read \("):
        load(devkit).test[1]


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"classes": ["dgo"]}, "classes: unknown class 'dgo'; did you mean 'dog'?"),
        ({"classes": []}, "classes: must not be empty"),
        ({"years": [2007, 2007]}, "years: names a year twice"),
        ({"years": [2008]}, "years"),
        ({"validation_fraction": 0.01}, "validation_fraction 0.01 of 10 images"),
        ({"split": "test"}, "unknown key 'split'"),
    ],
)
def test_wrong_keys(devkit: Path, keys: dict[str, Any], expected: str) -> None:
    assert expected in error_of(devkit, **keys)


def test_a_class_absent_from_a_split(devkit: Path) -> None:
    absent = "no picture of VOC2007 trainval has a (not difficult) object of class 'bird'"
    assert error_of(devkit, classes=["dog", "bird"]) == f"{devkit}: {absent}; take it out of `classes`"
    write_picture(devkit, 2007, "200701", [("dog", (1, 1, 9, 9), 0), ("cat", (1, 1, 9, 9), 0)])
    assert "no picture of VOC2007 test has a (not difficult) object of class 'cat'" in error_of(
        devkit, classes=["cat", "dog"]
    )
    assert load(devkit).class_names[7] == "cat"  # unasked, it is no error


def test_a_split_with_nothing_in_it(devkit: Path) -> None:
    for name in ("000001", "000002", "000003"):
        write_picture(devkit, 2007, name, [("dog", (1, 1, 9, 9), 1)])
    assert error_of(devkit) == "voc07: no test picture has an object that is not difficult"
    write_devkit(devkit)
    for number in range(200701, 200711):
        write_picture(devkit, 2007, f"{number}", [])
    assert error_of(devkit) == "voc07: no training picture has an object that is not difficult"


@pytest.mark.skipif(not REAL.is_dir(), reason="NDABENCH_DATA does not point at a folder with VOCdevkit in it")
def test_the_real_voc_2007() -> None:
    data = load(REAL)
    assert len(data.train) + len(data.validation) >= 120
    # Picture 000014 as its authors annotated it.
    rows = [row for row, name in enumerate(_names(data.test)) if name == "VOC2007/000014"]
    bus = data.test[rows[0]]
    assert bus.image.shape == (3, 333, 500)
    assert bus.boxes[:2].tolist() == [[71, 162, 302, 228], [184, 193, 500, 316]]
    assert [data.class_names[label] for label in bus.labels[:4]] == ["bus", "car", "car", "person"]
    assert bus.difficult.tolist() == [False] * 6 + [True]


def _names(split: Any) -> list[str]:
    return [one.name for one in split.pictures.pictures]
