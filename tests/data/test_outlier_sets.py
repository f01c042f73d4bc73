"""The data sets that serve as outliers: drawn ones, and CIFAR-10-C, DTD, Places365, Tiny ImageNet in their
published layouts."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from ndabench.config import parse
from ndabench.data.cifar10_c import CORRUPTIONS, Cifar10CConfig
from ndabench.data.images import ImageData
from ndabench.data.registry import DataConfig, ImageDataConfig, load_data
from ndabench.errors import UserError
from tests.data.image_layouts import png, random_images


def load(**keys: Any) -> ImageData:
    return load_data(parse(ImageDataConfig, keys, "data"), torch.device("cpu"))


def all_images(split: Any) -> np.ndarray:
    [(images, _)] = split.batches([torch.arange(len(split))])
    return images.numpy()


@pytest.mark.parametrize("name", ["noise", "shapes"])
def test_drawn_sets_are_a_function_of_their_seed(name: str) -> None:
    first, again, other = (load(name=name, num_images=40, seed=seed) for seed in (1, 1, 2))
    assert first.content_hash == again.content_hash != other.content_hash
    assert first.image_shape == (3, 32, 32)
    assert len(first.train) + len(first.validation) + len(first.test) == 40
    grey = load(name=name, num_images=40, channels=1, image_size=16)
    assert grey.image_shape == (1, 16, 16)


def test_shapes_are_plain_and_noise_is_not() -> None:
    shapes = all_images(load(name="shapes", num_images=40).train)
    assert all(len(np.unique(image.reshape(3, -1), axis=1).T) == 2 for image in shapes)
    noise = all_images(load(name="noise", num_images=40).train).astype(float)
    assert noise.mean() == pytest.approx(127.5, abs=1)
    assert noise.var() == pytest.approx((256**2 - 1) / 12, rel=0.02)


def write_cifar10_c(root: Path, corruption: str, per_severity: int = 10_000) -> np.ndarray:
    """Images whose first pixel is their severity."""
    images = np.zeros((5 * per_severity, 32, 32, 3), np.uint8)
    images[:, 0, 0] = np.repeat(np.arange(1, 6), per_severity)[:, None]
    images[:, 1, 1, 0] = np.arange(len(images)) % 251
    (root / "CIFAR-10-C").mkdir(parents=True, exist_ok=True)
    np.save(root / "CIFAR-10-C" / f"{corruption}.npy", images)
    return images


@pytest.mark.slow
@pytest.mark.parametrize("severity", [1, 5])
def test_cifar10_c_takes_the_rows_of_its_severity(severity: int, tmp_path: Path) -> None:
    for corruption in ("fog", "snow"):
        write_cifar10_c(tmp_path, corruption)
    data = load(name="cifar10_c", path=str(tmp_path), corruptions=["fog", "snow"], severity=severity)
    assert data.class_names == ("fog", "snow")
    assert len(data.train) + len(data.validation) + len(data.test) == 20_000
    assert set(all_images(data.test)[:, :, 0, 0].flatten()) == {severity}


def test_cifar10_c_has_15_corruptions_by_default() -> None:
    config = parse(DataConfig, "cifar10_c", "data")
    assert isinstance(config, Cifar10CConfig)
    assert len(config.corruptions) == len(CORRUPTIONS) == 15


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        ({"severity": 0}, "severity"),
        ({"severity": 6}, "severity"),
        ({"corruptions": ["foggy"]}, "did you mean 'fog'"),
        ({"corruptions": ["fog", "fog"]}, "a corruption is named twice"),
        ({"corruptions": ["fog"]}, "fog.npy is missing"),
    ],
)
def test_wrong_corruptions_are_one_line(keys: dict[str, Any], line: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=line):
        load(name="cifar10_c", path=str(tmp_path), **keys)


def test_a_truncated_or_short_array_is_one_line(tmp_path: Path) -> None:
    write_cifar10_c(tmp_path, "fog", per_severity=20)
    keys = {"name": "cifar10_c", "path": str(tmp_path), "corruptions": ["fog"]}
    with pytest.raises(UserError, match=r"fog.npy: holds uint8 \[100, 32, 32, 3\]; CIFAR-10-C has"):
        load(**keys)
    file = tmp_path / "CIFAR-10-C" / "fog.npy"
    for size in (5000, 40, 0):
        file.write_bytes(file.read_bytes()[:size])
        with pytest.raises(UserError, match=r"fog\.npy: damaged or not a \.npy file"):
            load(**keys)


def test_dtd(tmp_path: Path) -> None:
    names = {"train": 6, "val": 2, "test": 4}
    for split, count in names.items():
        lines = []
        for label in ("banded", "woven"):
            folder = tmp_path / "dtd" / "images" / label
            folder.mkdir(parents=True, exist_ok=True)
            for number, image in enumerate(random_images(count, 20, 30, 3, seed=len(split))):
                (folder / f"{label}_{split}{number}.jpg").write_bytes(png(image))
                lines.append(f"{label}/{label}_{split}{number}.jpg")
        (tmp_path / "dtd" / "labels").mkdir(exist_ok=True)
        (tmp_path / "dtd" / "labels" / f"{split}1.txt").write_text("\n".join(lines) + "\n")
    data = load(name="dtd", path=str(tmp_path), image_size=8)
    assert data.class_names == ("banded", "woven")
    assert (len(data.train), len(data.validation), len(data.test)) == (12, 4, 8)
    with pytest.raises(UserError, match=r"train2\.txt is missing"):
        load(name="dtd", path=str(tmp_path), partition=2)


def test_places365(tmp_path: Path) -> None:
    (tmp_path / "val_256").mkdir()
    lines = []
    for number, image in enumerate(random_images(3 * 365, 4, 4, 3)):
        name = f"Places365_val_{number + 1:08d}.jpg"
        (tmp_path / "val_256" / name).write_bytes(png(image))
        lines.append(f"{name} {number % 365}")
    listed = tmp_path / "places365_val.txt"
    listed.write_text("\n".join(lines))
    data = load(name="places365", path=str(tmp_path), image_size=8)
    assert len(data.train) + len(data.validation) + len(data.test) == 3 * 365
    assert len(data.class_names) == 365
    listed.write_text("\n".join([*lines, "x.jpg 365"]))
    with pytest.raises(UserError, match=r"places365_val.txt:1096: is not `<picture> <class from 0 to 364>`"):
        load(name="places365", path=str(tmp_path), image_size=8)
    listed.write_text("")
    with pytest.raises(UserError, match="lists no picture"):
        load(name="places365", path=str(tmp_path), image_size=8)


def test_tiny_imagenet(tmp_path: Path) -> None:
    root = tmp_path / "tiny-imagenet-200"
    names = ["n01443537", "n02124075"]
    (root / "val" / "images").mkdir(parents=True)
    (root / "wnids.txt").write_text("\n".join(reversed(names)))
    annotations = []
    for label, name in enumerate(names):
        (root / "train" / name / "images").mkdir(parents=True)
        for number, image in enumerate(random_images(8, 64, 64, 3, seed=label)):
            Image.fromarray(image).save(root / "train" / name / "images" / f"{name}_{number}.JPEG")
            if number < 3:
                picture = f"val_{3 * label + number}.JPEG"
                Image.fromarray(image[::-1]).save(root / "val" / "images" / picture)
                annotations.append(f"{picture}\t{name}\t0\t0\t62\t62")
    (root / "val" / "val_annotations.txt").write_text("\n".join(annotations))
    (root / "train" / names[0] / "images" / f"._{names[0]}_0.JPEG").write_bytes(b"of macOS")
    data = load(name="tiny_imagenet", path=str(tmp_path))
    assert data.class_names == tuple(names)
    assert (len(data.train) + len(data.validation), len(data.test)) == (16, 6)
    assert data.test.labels.tolist() == [0, 0, 0, 1, 1, 1]
    (root / "val" / "val_annotations.txt").write_text("val_0.JPEG\tn9\t0\t0\t62\t62")
    with pytest.raises(UserError, match=r"gives val_0\.JPEG the class 'n9', which wnids.txt does not list"):
        load(name="tiny_imagenet", path=str(tmp_path))
