"""Whatever is wrong with a data set is one line that names the file, and the row where there is one."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.datasets import CIFAR10, STL10

from ndabench.config import parse
from ndabench.data.load import load_images
from ndabench.data.registry import ImageDataConfig
from ndabench.errors import UserError
from tests.data import image_layouts as layouts


def error_of(**keys: Any) -> str:
    with pytest.raises(UserError) as caught:
        load_images(parse(ImageDataConfig, keys, "data"), device=torch.device("cpu"))
    line = str(caught.value)
    assert "\n" not in line
    return line


GOOD = [layouts.png(i) for i in layouts.random_images(20, 8, 8, 3)]
OTHER_SIZE = layouts.png(layouts.random_images(1, 8, 9, 3)[0])


@pytest.mark.parametrize(
    ("images", "labels", "expected"),
    [
        ([*GOOD[:13], b"not an image", *GOOD[14:]], [0] * 20, "row 13: the image cannot be read"),
        ([*GOOD[:9], GOOD[9][:60], *GOOD[10:]], [0] * 20, "row 9: the image cannot be read ("),
        ([None, *GOOD[1:]], [0] * 20, "row 0: the image cannot be read (the row has no image bytes)"),
        (
            [*GOOD[:19], OTHER_SIZE],
            [0] * 20,
            "row 19: the image is 9×8, the first one 8×8; an image_size would",
        ),
        (GOOD, [0] * 4 + [2] + [1] * 15, "row 4: label 2 is not one of the 2 classes (0 to 1)"),
        (GOOD, [0] * 4 + [-1] + [1] * 15, "row 4: label -1 is not one of the 2 classes (0 to 1)"),
        (GOOD, [0] * 7 + [None] + [1] * 12, "row 7: column 'label' is empty"),
        ([], [], "train: there are no images in this split"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_broken_rows(images: Any, labels: Any, expected: str, stream: bool, tmp_path: Path) -> None:
    file = tmp_path / "set.parquet"
    layouts.write_parquet(file, images, labels, names=["cat", "dog"])
    line = error_of(name="image_parquet", path=file, stream=stream)
    assert expected in line
    assert str(file) in line or not images


def test_the_row_is_the_one_in_the_second_file(tmp_path: Path) -> None:
    for number, images in enumerate((GOOD, [*GOOD[:3], b"?"])):
        layouts.write_parquet(tmp_path / f"set/train-{number}.parquet", images, [0] * len(images))
    layouts.write_parquet(tmp_path / "set/test-0.parquet", GOOD, [0] * 20)
    assert "train-1.parquet row 3: the image cannot be read" in error_of(
        name="image_parquet", path=tmp_path / "set"
    )


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (
            {"image_column": "imgs"},
            "has no image column 'imgs'; did you mean 'img'? (its columns: img, label)",
        ),
        ({"label_column": "lable"}, "has no label column 'lable'; did you mean 'label'?"),
        ({"image_column": "label"}, "column 'label' holds int64, not images"),
        ({"label_column": "img"}, "not integer labels"),
        (
            {"validation_fraction": 0.001},
            "validation_fraction 0.001 of 16 images in 1 classes cuts off no image",
        ),
    ],
)
def test_wrong_columns_and_fractions(keys: dict[str, Any], expected: str, tmp_path: Path) -> None:
    layouts.write_parquet(tmp_path / "set.parquet", GOOD, [0] * 20)
    assert expected in error_of(name="image_parquet", path=tmp_path / "set.parquet", **keys)


def test_parquet_files_that_are_missing_or_none(tmp_path: Path) -> None:
    assert "no such file or folder" in error_of(name="image_parquet", path=tmp_path / "none")
    layouts.write_parquet(tmp_path / "set/train-0.parquet", GOOD, [0] * 20)
    assert "holds no test-*.parquet file" in error_of(name="image_parquet", path=tmp_path / "set")
    (tmp_path / "set/test-0.parquet").write_text("PAR1, or not")
    assert "test-0.parquet: not a readable Parquet file (" in error_of(
        name="image_parquet", path=tmp_path / "set"
    )
    layouts.write_parquet(tmp_path / "set/train-0.parquet", GOOD, [0] * 20, names=["cat"])
    layouts.write_parquet(tmp_path / "set/test-0.parquet", GOOD, [0] * 20, names=["dog"])
    assert "test-0.parquet: its class names differ" in error_of(name="image_parquet", path=tmp_path / "set")


def test_folders(tmp_path: Path) -> None:
    root = tmp_path / "set"
    assert f"{root}: no such folder" in error_of(name="image_folder", path=root)
    (root / "train").mkdir(parents=True)
    assert "has a folder train but no folder test" in error_of(name="image_folder", path=root)
    (root / "test").mkdir()
    assert "has no class folders" in error_of(name="image_folder", path=root)
    (root / "test/1.png").write_bytes(GOOD[0])
    assert "has no class folders" in error_of(name="image_folder", path=root)
    (root / "test/1.png").unlink()
    (root / "train/a").mkdir()
    assert (
        "train/a: the class has no image to train on; remove the folder, or add images (avif bmp gif"
        in error_of(name="image_folder", path=root)
    )
    (root / "train/a/1.png").write_bytes(GOOD[0])
    assert "test: there are no images in this split" in error_of(name="image_folder", path=root)
    (root / "test/b").mkdir()
    (root / "test/b/1.png").write_bytes(GOOD[0])
    assert "test/b: the class 'b' is not among the 1 of the train folder" in error_of(
        name="image_folder", path=root
    )
    (root / "train/b").mkdir()
    (root / "train/b/1.png").write_bytes(b"")
    assert "train/b/1.png: the image cannot be read (it is an empty file)" in error_of(
        name="image_folder", path=root
    )
    Image.fromarray(np.zeros((8, 8), np.uint16)).save(root / "train/b/1.png")
    assert "train/b/1.png: the image cannot be read (its pixels are 'I;16'" in error_of(
        name="image_folder", path=root
    )
    (root / "train/b/1.png").unlink()
    (root / "train/b/1.png").symlink_to(root / "gone.png")
    assert "train/b/1.png: cannot be read (No such file or directory)" in error_of(
        name="image_folder", path=root
    )


def test_chosen_classes(tmp_path: Path) -> None:
    for folder in ("train/cat", "train/dog", "val/cat"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "1.png").write_bytes(GOOD[0])
    chosen = {"name": "image_folder", "path": tmp_path}
    assert "no folder test (data.test_folder names" in error_of(**chosen)
    chosen["test_folder"] = "val"
    wrong = error_of(**chosen, classes=["cat", "dogs"])
    assert "train: has no folder for the class 'dogs'; did you mean 'dog'?" in wrong
    assert "gone.txt: cannot be read (No such file" in error_of(**chosen, classes=tmp_path / "gone.txt")


def test_home_is_filled_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert f"{tmp_path}/sets: no such folder" in error_of(name="image_folder", path="~/sets")


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("cifar10", "cifar-10-batches-py/data_batch_1 is missing (and 6 more of its files)"),
        ("cifar100", "cifar-100-python/train is missing (and 2 more of its files)"),
        ("stl10", "stl10_binary/train_X.bin is missing (and 5 more of its files)"),
        ("svhn", "train_32x32.mat is missing (and 1 more of its files)"),
        ("celeba", "celeba/list_attr_celeba.txt is missing (and 5 more of its files)"),
    ],
)
def test_missing_official_files(name: str, first: str, tmp_path: Path) -> None:
    expected = f"{name}: {tmp_path}/{first}; `download: true` would fetch it"
    assert error_of(name=name, path=tmp_path) == expected
    assert not [entry for entry in tmp_path.iterdir() if entry.name != "cache"]


def test_a_download_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_network(*_: Any) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(CIFAR10, "download", no_network)
    line = error_of(name="cifar10", path=tmp_path / "sets", download=True)
    assert line == f"cifar10 cannot be downloaded to {tmp_path}/sets: no route to host"


def test_a_download_that_works_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def download(self: CIFAR10) -> None:
        if not self._check_integrity():
            layouts.write_cifar(Path(self.root), monkeypatch)

    monkeypatch.setattr(CIFAR10, "download", download)
    config = parse(ImageDataConfig, {"name": "cifar10", "path": tmp_path / "sets", "download": True}, "data")
    assert len(load_images(config, device=torch.device("cpu")).test) == 20


def _damage_stl10(root: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    layouts.write_stl10(root, monkeypatch)
    return "stl10_binary/test_y.bin"


def _damage_cifar(root: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    layouts.write_cifar(root, monkeypatch)
    return "cifar-10-batches-py/data_batch_3"


def _damage_svhn(root: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    layouts.write_svhn(root, monkeypatch)
    return "test_32x32.mat"


def _damage_celeba(root: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    layouts.write_celeba(root, monkeypatch)
    return "celeba/list_eval_partition.txt"


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("cifar10", _damage_cifar),
        ("stl10", _damage_stl10),
        ("svhn", _damage_svhn),
        ("celeba", _damage_celeba),
    ],
)
def test_damaged_official_files_are_named(
    name: str, write: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "sets" / write(tmp_path / "sets", monkeypatch)
    file.write_bytes(file.read_bytes()[:-2])
    line = error_of(name=name, path=tmp_path / "sets")
    assert line.startswith(f"{file}: damaged or not the official file (its MD5 sum is not ")


def test_a_missing_face_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layouts.write_celeba(tmp_path / "sets", monkeypatch)
    face = tmp_path / "sets/celeba/img_align_celeba/000004.jpg"
    face.unlink()
    assert error_of(name="celeba", path=tmp_path / "sets").startswith(
        f"{face}: the image cannot be read (No such"
    )


def test_official_sums_but_unreadable_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layouts.write_cifar(tmp_path / "sets", monkeypatch)
    file = tmp_path / "sets/cifar-10-batches-py/test_batch"
    file.write_bytes(pickle.dumps({"data": []}))
    monkeypatch.setattr(CIFAR10, "test_list", [["test_batch", layouts.md5(file)]])
    assert error_of(name="cifar10", path=tmp_path / "sets").startswith(
        f"cifar10 in {tmp_path}/sets cannot be read"
    )


def test_an_stl10_label_outside_its_range(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layouts.write_stl10(tmp_path / "sets", monkeypatch)
    file = tmp_path / "sets/stl10_binary/train_y.bin"
    file.write_bytes(bytes([1] * 5 + [0] + [1] * 14))
    names = [name for name, _ in STL10.train_list]
    monkeypatch.setattr(STL10, "train_list", [[n, layouts.md5(file.with_name(n))] for n in names])
    line = error_of(name="stl10", path=tmp_path / "sets")
    assert "train_X.bin row 5: label 255 is not one of the 10 classes" in line


@pytest.mark.parametrize(
    "keys",
    [{"validation_fraction": 1}, {"image_size": 0}, {"channels": 2}, {"stream": "often"}, {"sizes": 3}],
)
def test_impossible_keys(keys: dict[str, Any]) -> None:
    assert next(iter(keys)) in error_of(name="digits", **keys)
