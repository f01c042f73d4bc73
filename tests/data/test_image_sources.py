"""Every data set, read from files in its official layout."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from ndabench.config import parse
from ndabench.data.images import ImageData, ImageSplit
from ndabench.data.load import load_images
from ndabench.data.registry import DATA_SETS, ImageDataConfig
from ndabench.data.sampling import in_order
from tests.data import image_layouts as layouts


def load(**keys: Any) -> ImageData:
    return load_images(parse(ImageDataConfig, keys, "data"), device=torch.device("cpu"))


def pixels(split: ImageSplit) -> np.ndarray:
    return torch.cat([images for images, _ in split.batches(in_order(len(split), 16))]).numpy()


def sizes(data: ImageData) -> tuple[int, int, int]:
    return len(data.train), len(data.validation), len(data.test)


def test_registry_names_are_the_configs_own() -> None:
    assert {name: entry.config.model_fields["name"].default for name, entry in DATA_SETS.items()} == {
        name: name for name in DATA_SETS
    }


@pytest.mark.parametrize("image_size", [16, 32])
def test_digits(image_size: int) -> None:
    data = load(name="digits", image_size=image_size)
    assert data.image_shape == (1, image_size, image_size)
    assert data.class_names == tuple("0123456789")
    assert sizes(data) == (1294, 144, 359)
    images, labels = next(data.test.batches([torch.tensor([0, 3])]))
    assert images.dtype == torch.uint8
    assert images.shape == (2, *data.image_shape)
    assert torch.equal(labels, data.test.labels[[0, 3]])
    assert images.max() > 200
    assert np.bincount(data.test.labels).min() >= 34


def test_digits_at_their_own_size_are_scikit_learns() -> None:
    from sklearn.datasets import load_digits

    data = load(name="digits", image_size=8)
    every = np.concatenate([pixels(split) for split in (data.train, data.validation, data.test)])
    expected = np.round(load_digits().images * 255 / 16).astype(np.uint8)
    assert sorted(image.tobytes() for image in every) == sorted(image.tobytes() for image in expected)


def test_parquet_folder(tmp_path: Path) -> None:
    written = layouts.write_parquet_set(tmp_path / "pets")
    data = load(name="image_parquet", path=tmp_path / "pets", validation_fraction=0.25)
    assert data.name == "image_parquet:pets"
    assert data.class_names == ("cat", "dog")
    assert sizes(data) == (30, 10, 10)
    both = [*pixels(data.train), *pixels(data.validation)]
    assert {i.tobytes() for i in both} == {i.transpose(2, 0, 1).tobytes() for i in written}
    assert data.test.labels.tolist() == [0, 1] * 5


def test_parquet_with_plain_bytes_validation_files_and_no_class_names(tmp_path: Path) -> None:
    for split, count in {"train": 6, "validation": 3, "test": 2}.items():
        images = [layouts.png(i) for i in layouts.random_images(count, 4, 4, 3)]
        path = tmp_path / "set" / split / "0000.parquet"
        layouts.write_parquet(path, images, [2] * count, column="image", plain=True)
    data = load(name="image_parquet", path=tmp_path / "set")
    assert sizes(data) == (6, 3, 2)
    assert data.class_names == ("2",)


def test_one_parquet_file_is_cut_into_all_three_splits(tmp_path: Path) -> None:
    images = [layouts.png(i) for i in layouts.random_images(50, 4, 4, 3)]
    layouts.write_parquet(tmp_path / "all.parquet", images, [0] * 50)
    data = load(name="image_parquet", path=tmp_path / "all.parquet")
    assert sizes(data) == (36, 4, 10)


def test_image_folder_with_its_own_validation_split(tmp_path: Path) -> None:
    layouts.write_folder_set(tmp_path / "set", {"train": 4, "val": 2, "test": 3})
    data = load(name="image_folder", path=tmp_path / "set")
    assert sizes(data) == (8, 4, 6)
    assert data.class_names == ("a", "b")
    assert data.train.labels.tolist() == [0] * 4 + [1] * 4
    with Image.open(tmp_path / "set/train/b/0.png") as first_b:
        assert np.array_equal(pixels(data.train)[4], np.asarray(first_b).transpose(2, 0, 1))


def test_chosen_class_folders_and_a_test_folder_of_another_name(tmp_path: Path) -> None:
    layouts.write_folder_set(tmp_path / "set", {"train": 10, "val": 2})
    chosen = load(name="image_folder", path=tmp_path / "set", classes=["b"], test_folder="val")
    assert chosen.class_names == ("b",)
    assert (len(chosen.train) + len(chosen.validation), len(chosen.test)) == (10, 2)
    (tmp_path / "classes.txt").write_text("b\na\n")
    listed = load(
        name="image_folder", path=tmp_path / "set", classes=tmp_path / "classes.txt", test_folder="val"
    )
    assert listed.class_names == ("a", "b")


def test_a_pool_of_class_folders_is_cut(tmp_path: Path) -> None:
    layouts.write_folder_set(tmp_path / "set", {"": 10})
    assert sizes(load(name="image_folder", path=tmp_path / "set", validation_fraction=0.25)) == (12, 4, 4)


def test_grey_pictures_in_a_coloured_set_and_other_modes(tmp_path: Path) -> None:
    layouts.write_folder_set(tmp_path / "set", {"": 5})
    grey = layouts.random_images(1, 8, 8)[0]
    (tmp_path / "set/a/0.png").write_bytes(layouts.png(grey))
    palette = Image.fromarray(grey).convert("P")
    palette.save(tmp_path / "set/a/1.png", transparency=bytes(range(256)))
    data = load(name="image_folder", path=tmp_path / "set")
    assert data.image_shape == (3, 8, 8)
    every = [image for split in (data.train, data.validation, data.test) for image in pixels(split)]
    assert np.stack([grey] * 3).tobytes() in {image.tobytes() for image in every}
    assert load(name="image_folder", path=tmp_path / "set", channels=1).image_shape == (1, 8, 8)


def test_image_size_takes_the_centred_square(tmp_path: Path) -> None:
    layouts.write_folder_set(tmp_path / "set", {"train": 5, "test": 1}, size=(8, 12, 3))
    data = load(name="image_folder", path=tmp_path / "set", image_size=8)
    with Image.open(tmp_path / "set/test/a/0.png") as image:
        expected = np.asarray(image)[:, 2:10].transpose(2, 0, 1)
    assert np.array_equal(pixels(data.test)[0], expected)


@pytest.mark.parametrize("hundred", [False, True])
def test_cifar(hundred: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = layouts.write_cifar(tmp_path / "sets", monkeypatch, hundred=hundred)
    name = "cifar100" if hundred else "cifar10"
    data = load(name=name, path=tmp_path / "sets", validation_fraction=0.25)
    assert data.image_shape == (3, 32, 32)
    assert data.class_names == tuple(f"class {c}" for c in range(100 if hundred else 10))
    both = [*pixels(data.train), *pixels(data.validation)]
    assert sorted(i.tobytes() for i in both) == sorted(i.tobytes() for i in written)


def test_stl10(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = layouts.write_stl10(tmp_path / "sets", monkeypatch)
    data = load(name="stl10", path=tmp_path / "sets", validation_fraction=0.5)
    assert data.image_shape == (3, 96, 96)
    assert np.array_equal(pixels(data.test), written)
    assert data.test.labels.tolist() == [*range(10), *range(10)]
    assert load(name="stl10", path=tmp_path / "sets", image_size=48).image_shape == (3, 48, 48)


def test_stl10_without_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = layouts.write_stl10(tmp_path / "sets", monkeypatch)
    data = load(name="stl10", path=tmp_path / "sets", unlabelled=True, validation_fraction=0.5)
    assert data.class_names == ("image",)
    assert len(data.train) + len(data.validation) == 30
    assert np.array_equal(pixels(data.test), written)
    assert data.test.labels.tolist() == [0] * 20


def test_svhn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = layouts.write_svhn(tmp_path / "sets", monkeypatch)
    data = load(name="svhn", path=tmp_path / "sets", validation_fraction=0.5)
    assert np.array_equal(pixels(data.test), written)
    assert data.test.labels[:10].tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9, 0]


def test_celeba(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layouts.write_celeba(tmp_path / "sets", monkeypatch)
    data = load(name="celeba", path=tmp_path / "sets")
    assert sizes(data) == (6, 2, 4)
    assert data.image_shape == (3, 64, 64)
    assert data.class_names == ("face",)
    with Image.open(tmp_path / "sets/celeba/img_align_celeba/000009.jpg") as face:
        square = face.crop((0, 20, 178, 198)).resize((64, 64), Image.Resampling.BILINEAR)
    assert np.array_equal(pixels(data.test)[0], np.asarray(square).transpose(2, 0, 1))
