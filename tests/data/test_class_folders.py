"""Which files of a folder of classes count, in picture and video sets: links, junk, splits, empty classes."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from ndabench.config import parse
from ndabench.data.registry import DataConfig, load_data
from ndabench.errors import UserError
from ndabench.metrics.registry import EvaluationConfig
from tests.data import image_layouts as layouts
from tests.video_files import write_video


def load(**keys: Any) -> Any:
    return load_data(parse(DataConfig, keys, "data"), torch.device("cpu"))


def error_of(**keys: Any) -> str:
    with pytest.raises(UserError) as caught:
        load(**keys)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(layouts.png(layouts.random_images(1, 8, 8, 3, seed=len(str(path)))[0]))


def video(path: Path) -> None:
    write_video(path, "mjpeg", num_frames=2, pixel_format="yuvj420p")


MAKERS: dict[str, tuple[Callable[[Path], None], str]] = {
    "image_folder": (picture, ".png"),
    "video_folder": (video, ".avi"),
}


@pytest.fixture(params=MAKERS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def fill(root: Path, name: str, *folders: str) -> None:
    """Two files in each folder."""
    make, suffix = MAKERS[name]
    for folder in folders:
        for number in range(2):
            make(root / folder / f"{number}{suffix}")


def counts(data: Any) -> tuple[int, int]:
    """(train and validation, test)."""
    return len(data.train) + len(data.validation), len(data.test)


def test_links_are_followed_and_loops_left_out(name: str, tmp_path: Path) -> None:
    """A linked class, a folder linked into a class, and links back to a class, a split and the set itself."""
    root = tmp_path / "set"
    fill(tmp_path, name, "elsewhere/b", "elsewhere/more")
    fill(root, name, "train/a", "test/a")
    (root / "train/b").symlink_to(tmp_path / "elsewhere/b")
    (root / "train/a/more").symlink_to(tmp_path / "elsewhere/more")
    for loop, target in (
        ("train/a/self", "."),
        ("train/b/set", root),
        ("train/a/up", ".."),
        ("train/c", "."),
    ):
        (root / loop).symlink_to(target)
    data = load(name=name, path=root, validation_fraction=0.5)
    assert data.class_names == ("a", "b")
    assert counts(data) == (6, 2)


def test_a_pipe_is_no_data(name: str, tmp_path: Path) -> None:
    fill(tmp_path, name, "train/a", "train/b", "test/a")
    os.mkfifo(tmp_path / f"train/a/pipe{MAKERS[name][1]}")
    assert counts(load(name=name, path=tmp_path, validation_fraction=0.5)) == (4, 2)


def test_a_class_whose_link_is_broken_is_named(name: str, tmp_path: Path) -> None:
    fill(tmp_path, name, "train/a", "test/a")
    (tmp_path / "train/b").symlink_to(tmp_path / "not mounted")
    line = error_of(name=name, path=tmp_path)
    assert line == f"{tmp_path}/train/b: is a link to {tmp_path}/not mounted, which is not there"


def test_junk_is_no_data(name: str, tmp_path: Path) -> None:
    suffix = MAKERS[name][1]
    fill(tmp_path, name, "train/a", "train/b", "test/a")
    for junk in ("@eaDir", "__MACOSX", ".ipynb_checkpoints", "lost+found", "#recycle", "$RECYCLE.BIN"):
        fill(tmp_path, name, f"train/{junk}", f"train/a/{junk}", f"test/{junk}")
    for junk in (f"._0{suffix}", f".0{suffix}"):
        (tmp_path / "train/a" / junk).write_bytes(b"\0\5\26\7")
    data = load(name=name, path=tmp_path, validation_fraction=0.5)
    assert data.class_names == ("a", "b")
    assert counts(data) == (4, 2)


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        (None, "train/b: the class has no {} to train on; remove the folder, or add {}s ("),
        (
            "notes.txt",
            "train/b: the class has no {} to train on (its 1 files end in .txt); remove the folder",
        ),
    ],
)
def test_a_class_without_anything_to_train_on_is_refused(
    name: str, file: str | None, expected: str, tmp_path: Path
) -> None:
    fill(tmp_path, name, "train/a", "test/a", "test/b")
    (tmp_path / "train/b").mkdir()
    if file is not None:
        (tmp_path / "train/b" / file).write_text("")
    noun = name.removesuffix("_folder")
    assert expected.format(noun, noun) in error_of(name=name, path=tmp_path)


def test_a_class_of_the_test_split_alone_is_refused(name: str, tmp_path: Path) -> None:
    fill(tmp_path, name, "train/a", "test/a", "test/b")
    line = error_of(name=name, path=tmp_path)
    assert "test/b: the class 'b' is not among the 1 of the train folder" in line


def test_jpeg_files_of_any_ending_are_read_and_unreadable_formats_refused(tmp_path: Path) -> None:
    fill(tmp_path, "image_folder", "train/a", "test/a")
    (tmp_path / "train/b").mkdir()
    for number, ending in enumerate(("jfif", "JPE", "jif", "pjpeg.jpg")):
        image = Image.fromarray(layouts.random_images(1, 8, 8, 3, seed=number)[0])
        image.save(tmp_path / f"train/b/{number}.{ending}", "JPEG")
    assert counts(load(name="image_folder", path=tmp_path, validation_fraction=0.5)) == (6, 2)
    (tmp_path / "train/b/4.HEIC").write_bytes(b"ftypheic")
    line = error_of(name="image_folder", path=tmp_path)
    assert line.endswith("b/4.HEIC: images that end in .HEIC cannot be read; convert or remove them")


@pytest.mark.parametrize(
    ("train", "test"), [("Train", "Test"), ("TRAIN", "test"), ("training", "Testing"), ("train", "test")]
)
def test_names_of_splits_have_any_capitals(name: str, train: str, test: str, tmp_path: Path) -> None:
    fill(tmp_path, name, f"{train}/a", f"{train}/b", "Val/a", f"{test}/a")
    data = load(name=name, path=tmp_path)
    assert data.class_names == ("a", "b")
    assert (len(data.train), len(data.validation), len(data.test)) == (4, 2, 2)


@pytest.mark.parametrize("pair", [("Train", "train"), ("val", "validation"), ("test", "Test")])
def test_two_folders_of_one_split_are_refused(name: str, pair: tuple[str, str], tmp_path: Path) -> None:
    fill(tmp_path, name, *(f"{folder}/a" for folder in {"train", "test", *pair}))
    line = error_of(name=name, path=tmp_path)
    assert f"{' and '.join(sorted(pair))} both name the " in line


def test_a_pool_may_have_a_class_train(tmp_path: Path) -> None:
    fill(tmp_path / "set", "image_folder", "bus", "train", "tram")
    data = load(name="image_folder", path=tmp_path / "set", validation_fraction=0.3)
    assert data.class_names == ("bus", "train", "tram")
    assert data.notes == ("read as a class, not as a split: train",)


def test_pictures_without_class_folders_are_a_set_without_classes_in_its_own_split(tmp_path: Path) -> None:
    fill(tmp_path, "image_folder", "train", "test")
    picture(tmp_path / "train/10.png")
    (tmp_path / "train/notes.txt").touch()
    data = load(name="image_folder", path=tmp_path, validation_fraction=0.4)
    assert (len(data.class_names), counts(data)) == (1, (3, 2))
    knn = parse(EvaluationConfig, {"name": "knn"}, "evaluate")
    with pytest.raises(UserError) as caught:
        knn.check(data)
    assert str(caught.value) == (
        f"knn: image_folder:{tmp_path.name} has no labels to predict; take a data set with classes"
    )
    (tmp_path / "test/a").mkdir()
    picture(tmp_path / "test/a/0.png")
    line = error_of(name="image_folder", path=tmp_path)
    assert line == f"{tmp_path}/train: has no class folders; images belong in {tmp_path}/train/<class>/"
    assert "has no folder for the class 'a'" in error_of(name="image_folder", path=tmp_path, classes=["a"])


def test_a_flat_folder_is_a_pool_without_classes(tmp_path: Path) -> None:
    for number in range(10):
        picture(tmp_path / "set" / f"{number}.png")
    data = load(name="image_folder", path=tmp_path / "set")
    assert (data.name, len(data.class_names), counts(data)) == ("image_folder:set", 1, (8, 2))
    (tmp_path / "set/1.heic").touch()
    line = error_of(name="image_folder", path=tmp_path / "set")
    assert line.endswith("set/1.heic: images that end in .heic cannot be read; convert or remove them")


def test_folders_that_are_no_split_are_noted(name: str, tmp_path: Path) -> None:
    root = tmp_path / "set"
    fill(root, name, "train/a", "test/a", "extra/a", "@eaDir/a")
    assert load(name=name, path=root, validation_fraction=0.5).notes == ("folders that are not read: extra",)


def test_a_list_of_classes_has_one_name_a_line(tmp_path: Path) -> None:
    names = ("aircraft carrier", "tench")
    fill(
        tmp_path,
        "image_folder",
        *(f"{split}/{name}" for split in ("train", "test") for name in (*names, "x")),
    )
    listing = tmp_path / "classes.txt"
    listing.write_text("\ufeff" + "\r\n".join(("tench ", "", *names[:1])) + "\r\n", "utf-8")
    data = load(name="image_folder", path=tmp_path, classes=listing, validation_fraction=0.5)
    assert data.class_names == names


def test_what_cannot_be_listed_is_one_line(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path, name, "train/a", "test/a")
    scandir = os.scandir

    def refused(path: Path) -> Any:
        if Path(path).name == "a":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refused)
    assert error_of(name=name, path=tmp_path).endswith("/a: cannot be read (Permission denied)")
