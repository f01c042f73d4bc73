"""Paired data sets: layouts, halves and directions, label maps, and what may be wrong with files."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from ndabench.config import parse
from ndabench.data.images import ImageSplit
from ndabench.data.pairs.digit_outlines import outline
from ndabench.data.pairs.folders import CITYSCAPES, FACADES
from ndabench.data.pairs.pairs import PairedData, halves
from ndabench.data.pairs.source import PairedConfig
from ndabench.data.registry import DataConfig, load_data
from ndabench.errors import UserError

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NDABENCH_CACHE", str(tmp_path / "cache"))


def picture(seed: int, width: int = 16, height: int = 16) -> Image.Image:
    levels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(levels)


def load(**keys: Any) -> PairedData:
    data = load_data(parse(DataConfig, {"image_size": 16, **keys}, "data"), CPU)
    assert isinstance(data, PairedData)
    return data


def whole(split: ImageSplit) -> torch.Tensor:
    images, _ = next(iter(split.batches([torch.arange(len(split))])))
    return images


def saved(image: Image.Image, file: Path) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    image.save(file)
    return file


def write_halved(folder: Path, **counts: int) -> None:
    for split, count in counts.items():
        for number in range(count):
            joined = Image.new("RGB", (32, 16))
            joined.paste(picture(2 * number), (0, 0))
            joined.paste(picture(2 * number + 1), (16, 0))
            saved(joined, folder / split / f"{number}.png")


def write_two_folders(folder: Path, **counts: int) -> None:
    for split, count in counts.items():
        for number in range(count):
            saved(picture(2 * number), folder / split / "A" / f"{number}.png")
            saved(picture(2 * number + 1), folder / split / "B" / f"{number}.png")


def write_pix2pix_order(folder: Path, **counts: int) -> None:
    for split, count in counts.items():
        for number in range(count):
            saved(picture(2 * number), folder / "A" / split / f"{number}.png")
            saved(picture(2 * number + 1), folder / "B" / split / f"{number}.png")


Write = Callable[..., None]
every_order = pytest.mark.parametrize("write", [write_halved, write_two_folders, write_pix2pix_order])


@every_order
def test_every_order_of_folders_gives_the_same_pairs(write: Write, tmp_path: Path) -> None:
    write(tmp_path / "set", train=4, val=2, test=3)
    data = load(name="paired_folder", path=tmp_path / "set", load_size=16)
    assert [len(split) for split in (data.train, data.validation, data.test)] == [4, 2, 3]
    assert data.name == "paired_folder:set"
    for number in range(3):
        expected = [torch.from_numpy(np.array(picture(2 * number + k)).transpose(2, 0, 1)) for k in (0, 1)]
        assert torch.equal(whole(data.inputs["test"])[number], expected[0])
        assert torch.equal(whole(data.test)[number], expected[1])


@every_order
def test_a_direction_changes_the_sides_and_the_content_hash(write: Write, tmp_path: Path) -> None:
    write(tmp_path / "set", train=4, test=3)
    there, back = (
        load(name="paired_folder", path=tmp_path / "set", direction=direction, validation_fraction=0.3)
        for direction in ("AtoB", "BtoA")
    )
    assert torch.equal(whole(there.inputs["train"]), whole(back.train))
    assert torch.equal(whole(there.train), whole(back.inputs["train"]))
    assert there.content_hash != back.content_hash
    for ours, theirs in zip(
        halves(whole(there.training_pairs)), halves(whole(back.training_pairs))[::-1], strict=True
    ):
        assert torch.equal(ours, theirs)


def test_training_pairs_are_loaded_larger_and_belong_to_the_training_split(tmp_path: Path) -> None:
    write_halved(tmp_path / "set", train=6, test=2)
    data = load(name="paired_folder", path=tmp_path / "set", load_size=32, validation_fraction=0.3)
    pairs = whole(data.training_pairs)
    assert pairs.shape == (len(data.train), 3, 32, 64)
    squeezed = torch.nn.functional.avg_pool2d(pairs.float(), 2)
    for found, expected in zip(halves(squeezed), (data.inputs["train"], data.train), strict=True):
        difference = (found - whole(expected).float()).abs().mean()
        assert difference < 30, "the same pictures, of noise, at twice the side"
    published = parse(DataConfig, {"name": "paired_folder", "path": tmp_path, "image_size": 256}, "data")
    assert isinstance(published, PairedConfig)
    assert published.loaded_size == 286


def test_streamed_pairs_equal_resident_ones(tmp_path: Path) -> None:
    write_two_folders(tmp_path / "set", train=4, test=2)
    resident, streamed = (
        load(
            name="paired_folder",
            path=tmp_path / "set",
            stream=stream,
            decode_workers=0,
            validation_fraction=0.3,
        )
        for stream in (False, True)
    )
    assert resident.content_hash == streamed.content_hash
    assert torch.equal(whole(resident.training_pairs), whole(streamed.training_pairs))
    assert torch.equal(whole(resident.test), whole(streamed.test))


def write_cityscapes(folder: Path) -> None:
    for split, cities in (("train", ("aachen", "bochum")), ("val", ("lindau",))):
        for city in cities:
            for number in range(3):
                stem = f"{city}_{number:06d}_000019"
                saved(
                    picture(number, 32, 16), folder / "leftImg8bit" / split / city / f"{stem}_leftImg8bit.png"
                )
                labels = Image.new("RGB", (32, 16), CITYSCAPES["road"])
                labels.paste((0, 0, 0), (0, 0, 16, 16))
                saved(labels, folder / "gtFine" / split / city / f"{stem}_gtFine_color.png")


def test_cityscapes_in_its_official_layout(tmp_path: Path) -> None:
    write_cityscapes(tmp_path)
    data = load(name="cityscapes", path=tmp_path, validation_fraction=0.2)
    assert [len(split) for split in (data.train, data.validation, data.test)] == [5, 1, 3]
    assert data.palette is not None
    assert data.palette.side == "B"
    labels = whole(data.inputs["test"])
    assert {tuple(pixel) for pixel in labels[0].flatten(1).T.tolist()} == {(0, 0, 0), CITYSCAPES["road"]}


def test_the_real_facades() -> None:
    folder = Path(os.environ.get("NDABENCH_DATA", "/nowhere")) / "facades"
    if not folder.is_dir():
        pytest.skip("NDABENCH_DATA has no facades")
    data = load(name="facades", path=folder, image_size=64)
    assert [len(split) for split in (data.train, data.validation, data.test)] == [240, 70, 70]
    assert data.load_size == 72
    assert data.palette is not None
    colours = torch.tensor(list(FACADES.values()), dtype=torch.float)
    pixels = whole(data.inputs["test"]).movedim(1, -1).reshape(-1, 3).float()
    nearest = torch.cdist(pixels[::7], colours).min(1).values
    assert (nearest < 80).float().mean() > 0.9, (
        "but for the traces of JPEG, pixels have the colour of a class"
    )


def test_outlines_of_digits() -> None:
    data = load(name="digit_outlines", image_size=32)
    assert [len(split) for split in (data.train, data.validation, data.test)] == [1294, 144, 359]
    inputs, targets = whole(data.inputs["test"]), whole(data.test)
    drawn = inputs.amax(1) > 0
    assert 0.02 < drawn.float().mean() < 0.3
    assert targets.float().mean(1)[drawn].mean() > targets.float().mean() + 50, "outlines lie on the digits"
    square = np.zeros((6, 6), bool)
    square[1:5, 1:5] = True
    assert outline(square).sum() == 12


def error_of(**keys: Any) -> str:
    with pytest.raises(UserError) as caught:
        load(**keys)
    line = str(caught.value)
    assert "\n" not in line
    return line


def test_pictures_of_a_pair_that_differ_in_size_are_one_line(tmp_path: Path) -> None:
    write_two_folders(tmp_path, train=3, test=2)
    odd = saved(picture(9, 20, 16), tmp_path / "train" / "B" / "1.png")
    line = error_of(name="paired_folder", path=tmp_path)
    assert str(odd) in line
    assert "the pictures of the pair are 16×16 and 20×16 pixels, and must be of one size" in line


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (lambda folder: (folder / "train" / "A" / "1.png").unlink(), "pictures have no other in"),
        (lambda folder: (folder / "test").rename(folder / "probe"), "has no folder test; pairs belong in"),
        (lambda folder: (folder / "train" / "A" / "1.png").write_bytes(b"?"), "A/1.png: the image cannot be"),
        (lambda folder: (folder / "TEST").mkdir(), "both name the test split; rename one"),
    ],
)
def test_a_spoilt_folder_is_one_line(spoil: Callable[[Path], Any], expected: str, tmp_path: Path) -> None:
    write_two_folders(tmp_path, train=3, test=2)
    spoil(tmp_path)
    assert expected in error_of(name="paired_folder", path=tmp_path)


def test_a_picture_that_cannot_be_halved_is_one_line(tmp_path: Path) -> None:
    write_halved(tmp_path, train=3, test=2)
    saved(picture(0, 31, 16), tmp_path / "train" / "1.png")
    assert "its width of 31 pixels cannot be halved into a pair" in error_of(name="facades", path=tmp_path)


def test_cityscapes_without_label_maps_is_one_line(tmp_path: Path) -> None:
    write_cityscapes(tmp_path)
    (tmp_path / "gtFine" / "train" / "bochum" / "bochum_000001_000019_gtFine_color.png").unlink()
    assert "1 of 6 label maps are missing: " in error_of(name="cityscapes", path=tmp_path)
    (tmp_path / "gtFine").rename(tmp_path / "labels")
    assert "no such folder; the label maps of Cityscapes are in gtFine_trainvaltest.zip" in error_of(
        name="cityscapes", path=tmp_path
    )
    assert "no pictures …_leftImg8bit.png" in error_of(name="cityscapes", path=tmp_path / "labels")


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"load_size": 8}, "load_size 8 must not be below image_size 16"),
        ({"channels": 1}, "channels"),
        ({"label_map": "A"}, "label_map and colours go together"),
        ({"direction": "AB"}, "direction"),
    ],
)
def test_wrong_keys_are_one_line(keys: dict[str, Any], expected: str, tmp_path: Path) -> None:
    assert expected in error_of(name="paired_folder", path=tmp_path, **keys)
