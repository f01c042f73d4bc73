"""A folder of Parquet files is read whole, each file once, or refused; labels of any size become 0, 1, …"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ndabench.config import parse
from ndabench.data.images import ImageData
from ndabench.data.load import load_images
from ndabench.data.registry import ImageDataConfig
from ndabench.data.splits import stratified_cut
from ndabench.errors import UserError
from tests.data import image_layouts as layouts

PNG = layouts.png(layouts.random_images(1, 4, 4, 3)[0])


def load(path: Path, **keys: Any) -> ImageData:
    keys = {"name": "image_parquet", "path": path, "validation_fraction": 0.5, **keys}
    return load_images(parse(ImageDataConfig, keys, "data"), device=torch.device("cpu"))


def error_of(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        load(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def write(folder: Path, *names: str, labels: Sequence[int] = (0, 1, 0, 1)) -> None:
    for name in names:
        layouts.write_parquet(folder / f"{name}.parquet", [PNG] * len(labels), list(labels))


def total(data: ImageData) -> tuple[int, int]:
    return len(data.train) + len(data.validation), len(data.test)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (
            ["train-00000-of-00003", "train-00002-of-00003", "test-0"],
            "train-00001-of-00003.parquet is missing",
        ),
        (["train-00001-of-00004", "test-0"], "train-00000-of-00004.parquet is missing (and 2 more)"),
        (["train-1-of-3", "train-3-of-3", "test-0"], "train-2-of-3.parquet is missing"),
        (["train-0", "test-00000-of-00002-0123456789abcdef"], "test-00001-of-00002.parquet is missing"),
        (
            ["train-00000-of-00001", "train-00000-of-00002", "test-0"],
            "is the same part as train-00000-of-00001",
        ),
        (["train-00000-of-00002", "train-00001-of-00003", "test-0"], "others here are of"),
        (["train/0000", "train/0002", "test/0000"], "train: 0001.parquet is missing"),
        (["train-0", "train-0 (1)", "test-0"], "train-0 (1).parquet: looks like a second copy of a file"),
        (["train-0", "train-0 - Copy", "test-0"], "train-0 - Copy.parquet: looks like a second copy"),
        (["train-0", "test-0", "test-0 copy 2"], "test-0 copy 2.parquet: looks like a second copy"),
        (
            ["full/train-0", "full/test-0", "small/train-0", "small/test-0"],
            "holds the files of 2 configurations (full, small); set path to one of them",
        ),
        (["a/train/0000", "a/test/0000", "b/train/0000"], "holds the files of 2 configurations (a, b)"),
        (["train-0", "train/0000", "test-0"], "files of the train split lie in "),
        (["trainval-0", "test-0"], "holds no train-*.parquet file"),
    ],
)
def test_files_that_are_missing_or_there_twice(names: list[str], expected: str, tmp_path: Path) -> None:
    write(tmp_path / "set", *names)
    assert expected in error_of(tmp_path / "set")


@pytest.mark.parametrize(
    "names",
    [
        ["train-00000-of-00002", "train-00001-of-00002", "test-00000-of-00001"],
        ["train-00000-of-00002-0123456789abcdef", "train-00001-of-00002-fedcba9876543210", "test-0"],
        ["train-1-of-2", "train-2-of-2", "test-1-of-1"],
        ["plain_text/train/0000", "plain_text/train/0001", "plain_text/test/0000"],
        ["train/train-0", "train/train-1", "test/test-0"],
        ["Train-2019", "Train-2021", "TEST-0"],
        ["data/train-0", "data/train-a", "data/test-0"],
    ],
)
def test_layouts_that_are_whole(names: list[str], tmp_path: Path) -> None:
    write(tmp_path / "set", *names)
    (tmp_path / "set" / names[0]).with_name("._0000.parquet").write_bytes(b"\0\5\26\7")
    assert total(load(tmp_path / "set")) == (8, 4)


def test_files_of_no_split_are_noted_and_linked_folders_read(tmp_path: Path) -> None:
    write(tmp_path / "set", "train-0", "extra-0")
    write(tmp_path / "elsewhere", "0000")
    (tmp_path / "set" / "test").symlink_to(tmp_path / "elsewhere")
    data = load(tmp_path / "set")
    assert total(data) == (4, 4)
    assert data.notes == ("Parquet files of no split, which are not read: extra-0.parquet",)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("first", "second"), [(1, 2), (5, 15), (7, 10**12)])
def test_labels_are_numbered_densely(first: int, second: int, stream: bool, tmp_path: Path) -> None:
    write(tmp_path / "set", "train-0", labels=[second, first] * 4)
    write(tmp_path / "set", "test-0", labels=[second, second, first])
    data = load(tmp_path / "set", stream=stream)
    assert data.class_names == (str(first), str(second))
    assert data.test.labels.tolist() == [1, 1, 0]
    assert data.notes == (f"labels {first}, {second} of the files are the classes 0 to 1",)


def test_a_named_class_without_images_is_left_out_and_named(tmp_path: Path) -> None:
    names = ["cat", "dog", "emu"]
    layouts.write_parquet(tmp_path / "all.parquet", [PNG] * 20, [0, 2] * 10, names=names)
    data = load(tmp_path / "all.parquet")
    assert data.class_names == ("cat", "emu")
    assert set(data.train.labels.tolist()) == {0, 1}
    assert data.notes == ("1 of 3 classes have no images and are left out: dog",)


def test_labels_that_nothing_is_trained_on_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "set", "train-0")
    write(tmp_path / "set", "test-0", labels=[0, 1, 2])
    assert "test-0.parquet row 2: label 2 of the test split has no training image" in error_of(
        tmp_path / "set"
    )
    write(tmp_path / "set", "test-0", labels=[0, -1])
    assert "test-0.parquet row 1: label -1 is not a class; classes count from 0" in error_of(tmp_path / "set")


def test_complete_labels_keep_their_content_hash(tmp_path: Path) -> None:
    """Recorded before labels were numbered densely."""
    layouts.write_parquet_set(tmp_path / "pq")
    images = [layouts.png(image) for image in layouts.random_images(50, 4, 4, 3)]
    layouts.write_parquet(tmp_path / "one.parquet", images, [row % 3 for row in range(50)])
    found = [
        load(tmp_path / name, validation_fraction=0.1).content_hash[:16] for name in ("pq", "one.parquet")
    ]
    assert found == ["0f69d78d3941a394", "77b20efbcf1ec770"]


def test_a_cut_of_very_many_classes_is_quick_and_the_same() -> None:
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(20_000), 3))
    names = [str(number) for number in range(20_000)]
    kept, cut = stratified_cut(labels, 0.4, seed=0, key="share", class_names=names)
    random = np.random.RandomState(0)
    first = [random.permutation(np.flatnonzero(labels == label)) for label in range(20)]
    for label, rows in enumerate(first):
        assert set(cut[labels[cut] == label]) <= set(rows[:2])
    assert len(kept) + len(cut) == 60_000
