"""Detection sets of one's own, in VOC's layout and in COCO's: what is read, counted, clipped and refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from ndabench.config import parse
from ndabench.data.detection.scenes import DetectionData, object_counts
from ndabench.data.registry import SceneDataConfig, load_data
from ndabench.errors import UserError
from tests.data.own_scenes import CLASSES, blobs, instances, write_coco, write_voc_folder, write_xml


def load(name: str, path: Path, **keys: Any) -> DetectionData:
    return load_data(
        parse(SceneDataConfig, {"name": name, "path": path, **keys}, "data"), torch.device("cpu")
    )


def error_of(name: str, path: Path, **keys: Any) -> str:
    with pytest.raises(UserError) as caught:
        load(name, path, **keys)
    line = str(caught.value)
    assert "\n" not in line
    return line


def sizes(data: DetectionData) -> tuple[int, int, int]:
    return len(data.train), len(data.validation), len(data.test)


@pytest.fixture
def cells(tmp_path: Path) -> Path:
    write_voc_folder(tmp_path / "cells")
    return tmp_path / "cells"


@pytest.fixture
def coco(tmp_path: Path) -> Path:
    write_coco(tmp_path / "coco", {"train2017": instances(range(12)), "val2017": instances(range(12, 20))})
    return tmp_path / "coco"


def edited(coco: Path, edit: Callable[[dict[str, Any]], object], split: str = "train2017") -> Path:
    file = coco / "annotations" / f"instances_{split}.json"
    content = json.loads(file.read_text())
    edit(content)
    file.write_text(json.dumps(content))
    return coco


def test_classes_of_ones_own_and_a_seeded_split(cells: Path) -> None:
    data = load("voc_folder", cells)
    assert (data.name, data.class_names) == ("voc_folder:cells", CLASSES)
    assert sizes(data) == (14, 2, 4)
    assert object_counts(data).startswith("voc_folder:cells: training+validation+test: 14+2+4 pictures; ")
    found = [
        (data.class_names[label], tuple(box))
        for split in (data.train, data.validation, data.test)
        for one in split.objects
        for label, box in zip(one.labels.tolist(), one.boxes.tolist(), strict=True)
    ]
    assert sorted(found) == sorted(one for number in range(20) for one in blobs(number))
    other = load("voc_folder", cells, split_seed=1)
    assert other.content_hash != data.content_hash == load("voc_folder", cells).content_hash
    assert [one.boxes.tolist() for one in other.test.objects] == [
        one.boxes.tolist() for one in data.test.objects
    ]


def test_objects_are_counted_by_class_and_split(tmp_path: Path) -> None:
    lists = {"train": range(10), "val": range(10, 15), "test": range(15, 18)}
    write_voc_folder(tmp_path / "cells", lists=lists)
    data = load("voc_folder", tmp_path / "cells", known_as="blood")
    counts = {
        name: [
            sum(one[0] == name for number in numbers for one in blobs(number)) for numbers in lists.values()
        ]
        for name in CLASSES
    }
    objects = ", ".join(f"{name} {'+'.join(map(str, of_class))}" for name, of_class in counts.items())
    assert object_counts(data) == (
        f"voc_folder:blood: training+validation+test: 10+5+3 pictures; objects: {objects}; "
        "pictures without an object: 3"
    )
    assert data.notes == ("2 × annotated pictures in no list: cell18, cell19",)


@pytest.mark.parametrize(
    ("lists", "expected"),
    [
        ({"trainval": range(10), "test": range(10, 20)}, (9, 1, 10)),
        ({"train": range(10), "val": range(10, 14)}, (8, 4, 2)),
        (
            {"train": range(10), "val": range(10, 14), "trainval": range(14), "test": range(14, 20)},
            (10, 4, 6),
        ),
    ],
)
def test_split_lists(tmp_path: Path, lists: dict[str, range], expected: tuple[int, int, int]) -> None:
    write_voc_folder(tmp_path / "cells", lists=lists)
    assert sizes(load("voc_folder", tmp_path / "cells")) == expected


def test_lists_that_the_user_names(cells: Path) -> None:
    (cells / "a.txt").write_text("".join(f"cell{number:02d}.jpg\n" for number in range(10)))
    (cells / "b.txt").write_text("cell10\ncell12\n")
    assert sizes(load("voc_folder", cells, train="a.txt", test="b.txt")) == (9, 1, 2)
    assert "data.test is named, so data.train must be named, too" in error_of(
        "voc_folder", cells, test="b.txt"
    )


def test_names_with_blanks_and_what_follows_a_name(cells: Path) -> None:
    (cells / "ImageSets/Main").mkdir(parents=True)
    for folder, ending in (("JPEGImages", "jpg"), ("Annotations", "xml")):
        for number, name in enumerate(("my cell", "my cell 1")):
            (cells / folder / f"cell0{number}.{ending}").rename(cells / folder / f"{name}.{ending}")
    lines = ["my cell  1", "my cell 1", "cell02 -1", "cell03\t0.5 0.5", "cell04.jpg 1"]
    (cells / "ImageSets/Main/train.txt").write_text("\n".join(lines))
    (cells / "ImageSets/Main/test.txt").write_text("cell10\n")
    data = load("voc_folder", cells, validation_fraction=0.2)
    assert sizes(data) == (4, 1, 1)
    (cells / "ImageSets/Main/test.txt").write_text("another cell 1\n")
    assert "pictures that are missing: JPEGImages/another cell.*" in error_of("voc_folder", cells)


def test_classes_txt_and_chosen_classes(cells: Path) -> None:
    (cells / "classes.txt").write_text("WBC\nRBC\nPlatelets\n")
    assert load("voc_folder", cells).class_names == ("WBC", "RBC", "Platelets")
    chosen = load("voc_folder", cells, classes=["RBC"])
    assert chosen.class_names == ("RBC",)
    left_out = sum(name != "RBC" for number in range(20) for name, _ in blobs(number))
    assert f"{left_out} × objects of classes that `classes` leaves out: Platelets 6, WBC" in chosen.notes[0]
    assert "unknown class 'RBCs'; did you mean 'RBC'?" in error_of("voc_folder", cells, classes=["RBCs"])
    (cells / "classes.txt").write_text("WBC\nRBC\n")
    assert "6 × objects of a class that classes.txt lacks: cell00.xml (Platelets), " in error_of(
        "voc_folder", cells
    )


def test_the_first_pixel(cells: Path) -> None:
    from_1, from_0 = load("voc_folder", cells), load("voc_folder", cells, first_pixel=0)
    one, other = from_1.test.objects[0].boxes, from_0.test.objects[0].boxes
    assert (other - one).tolist() == [[1, 1, 0, 0]] * len(one)


BROKEN: dict[str, tuple[tuple[float, float, float, float], str]] = {
    "without area": ((5, 5, 5, 9), "boxes without area"),
    "min > max": ((9, 5, 5, 9), "boxes with a minimum above the maximum"),
    "wholly outside": ((41, 5, 45, 9), "boxes wholly outside their picture"),
    "not finite": ((float("nan"), 5, 6, 9), "boxes with an edge that is no finite number"),
}


@pytest.mark.parametrize("kind", BROKEN)
@pytest.mark.parametrize("layout", ["voc_folder", "coco"])
def test_boxes_without_a_part_in_the_picture(cells: Path, coco: Path, layout: str, kind: str) -> None:
    (x1, y1, x2, y2), expected = BROKEN[kind]
    for number in range(6):
        write_xml(cells, number, [("RBC", (x1, y1, x2, y2))])

    def break_boxes(content: dict[str, Any]) -> None:
        for one in content["annotations"][:6]:
            one["bbox"] = [x1, y1, x2 - x1, y2 - y1]

    path = {"voc_folder": cells, "coco": edited(coco, break_boxes)}[layout]
    for rule in ("refuse", "clip"):
        line = error_of(layout, path, broken_boxes=rule)
        assert line.startswith(f"{path}: 6 × {expected}: ")
        assert "(and 1 more)" in line
        assert line.count(" in 40×30)") == 5
    dropped = load(layout, path, broken_boxes="drop")
    assert any(note.startswith(f"6 × {expected}, left out: ") for note in dropped.notes)
    assert sum(sizes(dropped)) == 20  # pictures stay


@pytest.mark.parametrize("layout", ["voc_folder", "coco"])
def test_boxes_partly_outside(cells: Path, coco: Path, layout: str) -> None:
    write_xml(cells, 1, [("RBC", (-3, 4, 50, 20))])
    edited(coco, lambda content: content["annotations"][2].update(bbox=[-3, 4, 53, 16]))
    path = {"voc_folder": cells, "coco": coco}[layout]
    data = load(layout, path)
    boxes = [
        box
        for split in (data.train, data.validation, data.test)
        for one in split.objects
        for box in one.boxes
    ]
    assert [0, 4, 40, 20] in [box.tolist() for box in boxes]
    assert any(
        note.startswith("1 × boxes partly outside their picture, clipped to it: ") for note in data.notes
    )
    line = error_of(layout, path, broken_boxes="refuse")
    assert "1 × boxes partly outside their picture: " in line
    assert line.endswith("broken_boxes: clip clips those that are partly outside")


def test_a_rounding_of_cocos_is_no_fault(coco: Path) -> None:
    edited(coco, lambda content: content["annotations"][2].update(bbox=[20.25, 4, 19.76, 16]))
    data = load("coco", coco, broken_boxes="refuse")
    assert not [note for note in data.notes if "boxes" in note]
    assert (
        max(
            float(box[2])
            for split in (data.train, data.validation)
            for one in split.objects
            for box in one.boxes
        )
        == 40
    )


def test_missing_files_and_duplicates_are_counted(tmp_path: Path) -> None:
    cells = tmp_path / "cells"
    write_voc_folder(cells, lists={"train": [*range(16), 3, 3], "test": [3, *range(16, 20)]})
    assert (
        error_of("voc_folder", cells) == f"{cells}: 1 × pictures that are listed more than once: cell03.jpg"
    )
    for number in range(7):
        (cells / "JPEGImages" / f"cell{number:02d}.jpg").unlink()
    (cells / "Annotations" / "cell08.xml").unlink()
    line = error_of("voc_folder", cells)
    assert "10 × pictures that are missing: JPEGImages/cell00.*, " in line
    assert "(and 5 more); 1 × annotations that are missing: Annotations/cell08.xml" in line


def test_pictures_of_another_size_or_another_suffix(cells: Path) -> None:
    Image.new("RGB", (41, 30)).save(cells / "JPEGImages" / "cell01.jpg")
    assert "1 × annotations for a picture of another size: cell01.xml (says 40×30, has 41×30)" in error_of(
        "voc_folder", cells
    )
    (cells / "JPEGImages" / "cell01.jpg").unlink()
    Image.new("RGB", (40, 30)).save(cells / "JPEGImages" / "cell01.png")
    Image.new("RGB", (40, 30)).save(cells / "JPEGImages" / "more.png")
    assert "1 × pictures without an annotation, not used: more" in load("voc_folder", cells).notes
    Image.new("RGB", (40, 30)).save(cells / "JPEGImages" / "cell01.bmp")
    assert "1 × names that several pictures have: cell01.bmp, cell01.png" in error_of("voc_folder", cells)


def test_folders_that_are_none(tmp_path: Path) -> None:
    assert "has no folder Annotations" in error_of("voc_folder", tmp_path)
    assert "holds no annotations/instances_*.json" in error_of("coco", tmp_path)
    assert "no such folder" in error_of("coco", tmp_path / "none")


def test_coco(coco: Path) -> None:
    data = load("coco", coco)
    assert (data.name, data.class_names, sizes(data)) == ("coco:coco", CLASSES, (11, 1, 8))
    assert [one.boxes.tolist() for one in data.test.objects] == [
        [list(box) for _, box in blobs(number)] for number in range(12, 20)
    ]
    assert [[CLASSES[label] for label in one.labels] for one in data.test.objects] == [
        [name for name, _ in blobs(number)] for number in range(12, 20)
    ]
    assert data.test[0].image.shape == (3, 30, 40)
    assert data.notes == (
        "read as train instances_train2017.json, test instances_val2017.json",
        "no validation picture has a (not difficult) object of class WBC",
    )


@pytest.mark.parametrize("pictures", ["{}", "images/{}", "images", "annotations", "."])
def test_where_pictures_of_coco_may_lie(tmp_path: Path, pictures: str) -> None:
    splits = {
        "train": instances(range(10)),
        "val": instances(range(10, 14)),
        "test": instances(range(14, 20)),
    }
    write_coco(tmp_path / "own", splits, pictures)
    assert sizes(load("coco", tmp_path / "own")) == (10, 4, 6)


def test_a_single_coco_file_is_split_by_a_seed(tmp_path: Path) -> None:
    write_coco(tmp_path / "own", {"default": instances(range(20))})
    assert sizes(load("coco", tmp_path / "own")) == (14, 2, 4)
    write_coco(tmp_path / "own", {"other": instances(range(20))})
    assert "which one is for training is not clear" in error_of("coco", tmp_path / "own")
    named = load("coco", tmp_path / "own", train="annotations/instances_default.json")
    assert sizes(named) == (14, 2, 4)


def test_crowds_are_neither_learned_nor_sought(coco: Path) -> None:
    edited(coco, lambda content: content["annotations"][0].update(iscrowd=1), "val2017")
    data, name = load("coco", coco), blobs(12)[0][0]
    crowded = data.test.objects[0]
    assert crowded.crowd is not None
    assert crowded.crowd.tolist() == [True, *[False] * (len(blobs(12)) - 1)]
    assert len(data.test[0].labels) == len(blobs(12)) - 1
    sought = sum(one[0] == name for number in range(12, 20) for one in blobs(number)) - 1
    assert f"+{sought}" in object_counts(data).split(name)[1].split(",")[0]
    assert "; crowds: 1; pictures without an object: 4" in object_counts(data)


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        (
            lambda c: c["images"].append(c["images"][0]),
            "1 × image ids that occur twice: 0 in instances_train",
        ),
        (
            lambda c: c["images"][1].update(file_name="cell00.png"),
            "1 × pictures that are listed more than once",
        ),
        (lambda c: c["annotations"][1].update(id=1), "1 × annotation ids that occur twice: 1 in instances_"),
        (
            lambda c: c["annotations"][1].update(image_id=99),
            "1 × annotations of an image that is not listed: 2",
        ),
        (lambda c: c["annotations"][1].update(category_id=4), "1 × annotations of a category that is not"),
        (
            lambda c: c["annotations"][1].update(bbox=[1, 2, 3]),
            "1 × annotations without a bbox of four numbers",
        ),
        (lambda c: c["annotations"][1].pop("bbox"), "1 × annotations without a bbox of four numbers: 2 in"),
        (lambda c: c["images"][1].update(file_name="none.png"), "1 × pictures that are missing: "),
        (
            lambda c: c["images"][1].update(file_name="../a.png"),
            "1 × images whose file_name leaves their folder",
        ),
        (
            lambda c: c["images"][1].pop("file_name"),
            "1 × images without an id and a file_name: instances_train",
        ),
        (
            lambda c: c["images"][1].update(width=41),
            "1 × images with another size than their picture: cell01.png",
        ),
        (lambda c: c["categories"][0].update(name="RBC"), "several categories have the name RBC"),
        (lambda c: c["categories"][0].update(id=5), "several categories have the id 5"),
        (
            lambda c: c["categories"][0].update(name="Thrombos"),
            "its categories are not those of instances_train",
        ),
        (lambda c: c["categories"][0].pop("name"), "each of its categories needs an id"),
        (lambda c: c.pop("annotations"), "it lacks a list of objects 'annotations'"),
        (lambda c: c.update(images=[]), "has no images"),
    ],
)
def test_coco_files_that_are_wrong(coco: Path, edit: Any, expected: str) -> None:
    assert expected in error_of("coco", edited(coco, edit))


def test_coco_files_that_are_none(coco: Path) -> None:
    file = coco / "annotations" / "instances_train2017.json"
    for text in ("", "{", "[" * 100_000):
        file.write_text(text)
        assert f"{file}: not a JSON file (" in error_of("coco", coco)
    file.write_text("[]")
    assert "not a file of COCO's instances" in error_of("coco", coco)
    assert "cannot be read (No such file" in error_of("coco", coco, train="none.json")
