"""Pictures of others: every layout gives the same record, and the report shows it next to the arms."""

import io
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from ndabench.cli import main
from ndabench.config import parse
from ndabench.data.collection import ImageCollectionConfig
from ndabench.data.images import ImageData
from ndabench.data.registry import ImageDataConfig, load_data
from ndabench.data.store import decode_once
from ndabench.distributed import Workers
from ndabench.errors import UserError
from ndabench.external.images import open_images
from ndabench.measure import images
from ndabench.records import RecordStore
from ndabench.reporting.comparison import comparisons
from ndabench.reporting.frames import load
from ndabench.train import train
from tests.command_lines import CommandLine

PICTURES = np.random.default_rng(0).integers(0, 256, (20, 16, 16, 3), dtype=np.uint8)


def _png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def _folder(path: Path) -> Path:
    for number, pixels in enumerate(PICTURES):
        file = path / f"{number // 10:05d}" / f"img{number:08d}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(_png(pixels))
    return path


def _zip(path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("dataset.json", '{"labels": null}')
        for number, pixels in enumerate(PICTURES):
            archive.writestr(f"{number // 10:05d}/img{number:08d}.png", _png(pixels))
    return path


def _npz(path: Path) -> Path:
    np.savez(path, arr_0=PICTURES)
    return path


def test_folder_zip_and_npz_hold_the_same_pictures(tmp_path: Path) -> None:
    paths = [_folder(tmp_path / "folder"), _zip(tmp_path / "a.zip"), _npz(tmp_path / "a.npz")]
    configs = [parse(ImageCollectionConfig, {"path": path}, "test") for path in paths]
    assert len({decode_once(config).decoded_hash for config in configs}) == 1


def test_linked_folders_count_and_what_servers_and_archives_leave_behind_does_not(tmp_path: Path) -> None:
    _folder(tmp_path / "elsewhere")
    folder = tmp_path / "folder"
    (folder / "@eaDir/img.png").mkdir(parents=True)
    (folder / "@eaDir/img.png/thumbnail.jpg").write_bytes(_png(PICTURES[0]))
    (folder / "all").symlink_to(tmp_path / "elsewhere")
    os.mkfifo(folder / "pipe.png")
    with zipfile.ZipFile(_zip(tmp_path / "a.zip"), "a") as archive:
        for name in ("@eaDir/img.png/thumbnail.jpg", "__MACOSX/._img.png", "00000/.img.png"):
            archive.writestr(name, _png(PICTURES[0]))
    names = [f"{number // 10:05d}/img{number:08d}.png" for number in range(len(PICTURES))]
    (found,) = parse(ImageCollectionConfig, {"path": folder}, "test").open().splits.values()
    assert [found.where(row) for row in range(len(found.labels))] == [f"{folder}/all/{one}" for one in names]
    (found,) = parse(ImageCollectionConfig, {"path": tmp_path / "a.zip"}, "test").open().splits.values()
    assert [found.where(row) for row in range(len(found.labels))] == [
        f"{tmp_path}/a.zip: {one}" for one in names
    ]


def test_a_picture_of_a_format_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (_folder(tmp_path / "folder") / "a.heic").touch()
    with zipfile.ZipFile(_zip(tmp_path / "a.zip"), "a") as archive:
        archive.writestr("a.heic", b"")
    for path in (tmp_path / "folder", tmp_path / "a.zip"):
        with pytest.raises(UserError, match=r"a\.heic: images that end in \.heic cannot be read"):
            parse(ImageCollectionConfig, {"path": path}, "test").open()


LABELS = [number % 10 for number in range(20)]


def _labelled(path: Path, labels: Any) -> ImageCollectionConfig:
    """A zip whose `dataset.json` lists the pictures backwards."""
    names = [f"{number // 10:05d}/img{number:08d}.png" for number in range(len(PICTURES))]
    listed = [[name, label] for name, label in zip(names, labels, strict=False)][::-1]
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("dataset.json", json.dumps({"labels": listed}))
        for name, pixels in zip(names, PICTURES, strict=True):
            archive.writestr(name, _png(pixels))
    return parse(ImageCollectionConfig, {"path": path}, "test")


def _digits(image_size: int = 16) -> ImageData:
    keys = {"name": "digits", "image_size": image_size, "channels": 3}
    data: ImageData = load_data(parse(ImageDataConfig, keys, "test"), torch.device("cpu"))
    return data


def test_classes_of_pictures_are_those_of_stylegans_tool(tmp_path: Path) -> None:
    subject = open_images(_labelled(tmp_path / "a.zip", LABELS), _digits(), Workers())
    assert subject.labels(15).tolist() == LABELS[:15]
    folder = _folder(tmp_path / "folder")
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        (folder / "dataset.json").write_bytes(archive.read("dataset.json"))
    config = parse(ImageCollectionConfig, {"path": folder}, "test")
    assert open_images(config, _digits(), Workers()).labels(20).tolist() == LABELS
    without = open_images(
        parse(ImageCollectionConfig, {"path": _zip(tmp_path / "b.zip")}, "test"), _digits(), Workers()
    )
    with pytest.raises(UserError, match="class_fd and cas need pictures of known classes"):
        without.labels(20)


@pytest.mark.parametrize(
    ("labels", "complaint"),
    [
        (LABELS[:19], r"dataset.json has no class for 1 pictures: 00001/img00000019.png"),
        ([*LABELS[:19], 10], "has pictures of class 10, and digits has 10 classes"),
        ([*LABELS[:19], "nine"], r"dataset.json needs \{\"labels\": \[\[picture, class\], …\]\}"),
    ],
)
def test_classes_that_do_not_fit_are_one_line(tmp_path: Path, labels: list[Any], complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        open_images(_labelled(tmp_path / "a.zip", labels), _digits(), Workers())


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("a.zip", b"no zip", "is no zip that can be read"),
        ("a.npz", b"no npz", "is no npz that can be read"),
        ("a.rar", b"", "no such folder, zip or npz"),
    ],
)
def test_what_holds_no_pictures_is_one_line(
    tmp_path: Path, name: str, content: bytes, complaint: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=complaint):
        decode_once(parse(ImageCollectionConfig, {"path": tmp_path / name}, "test"))


def test_an_npz_of_other_arrays_says_what_it_holds(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", mu=np.zeros(4), sigma=np.zeros((4, 4)))
    with pytest.raises(UserError, match=r"it has mu float64 \[4\], sigma float64 \[4, 4\]"):
        decode_once(parse(ImageCollectionConfig, {"path": tmp_path / "a.npz"}, "test"))


def test_other_sizes_are_refused(command_line: CommandLine) -> None:
    line = command_line.error(
        images,
        str(_folder(command_line.folder / "folder")),
        "--reference",
        "{name: digits, image_size: 8}",
        "--out",
        str(command_line.out),
    )
    assert "the pictures are 16×16, those of digits 8×8; --image-size" in line


@pytest.mark.slow
def test_the_report_shows_pictures_next_to_the_arms(command_line: CommandLine) -> None:
    out = str(command_line.out)
    file = command_line.file(evaluate=[{"name": "fd", "num_samples": 20}])
    assert command_line(train, file, "--out", out)[0] == 0
    (command_line.out / "sweep.yaml").write_text(Path(file).read_text())
    folder = str(_folder(command_line.folder / "theirs"))
    for _ in range(2):  # the second replaces the first
        assert command_line(images, folder, "--out", out)[0] == 0
    store = RecordStore(out)
    (row,) = (row for row in store.read_trials().to_pylist() if row["external_json"] is not None)
    assert json.loads(row["external_json"])["kind"] == "images"
    (table,) = (one for one in comparisons(load(store)) if one.name == "fd_classifier")
    assert [one.setting.arm for one in table.rows] == ["none", "theirs (external)"]
    assert table.rows[1].difference is None
    again = _zip(command_line.folder / "theirs.zip")
    assert command_line(images, str(again), "--out", out)[0] == 0
    assert len(store.read_trials()) == 2  # the same pictures, the same record


def test_measure_is_a_group_of_commands(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr("sys.argv", ["ndabench", "measure", "--help"])
    with pytest.raises(SystemExit):
        main()
    assert "images" in capsys.readouterr().out
