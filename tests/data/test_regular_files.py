"""Files that a user names are regular and of a plausible size, or refused before they are read."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from ndabench.config import parse
from ndabench.data import lists
from ndabench.data.detection import coco, voc_files
from ndabench.data.detection.own_scenes import read_class_list
from ndabench.data.image_folder import ImageFolderConfig
from ndabench.errors import UserError
from ndabench.regular_files import read_text


def _classes_of_images(file: Path) -> object:
    return parse(ImageFolderConfig, {"path": file.parent, "classes": file}, "data").open()


READERS: dict[str, Callable[[Path], object]] = {
    "classes of images": _classes_of_images,
    "classes of scenes": read_class_list,
    "pictures of a split": voc_files.read_list,
    "an annotation": voc_files.read_voc_xml,
    "instances": coco.read_instances,
    "videos": lambda file: lists.read_lines(file, "list of videos"),
}


@pytest.mark.parametrize("reader", READERS)
def test_what_never_ends_is_refused(reader: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "device").symlink_to("/dev/zero")
    (tmp_path / "folder").mkdir()
    for name in ("pipe", "device", "folder"):
        with pytest.raises(UserError) as raised:
            READERS[reader](tmp_path / name)
        line = f"{tmp_path}/{name}: cannot be read (it is a folder, a pipe or a device)"
        assert str(raised.value) == line
    for module, bound in (
        (lists, "LARGEST_LIST"),
        (coco, "LARGEST_FILE"),
        (voc_files, "LARGEST_ANNOTATION"),
    ):
        monkeypatch.setattr(module, bound, 2**10)
    (tmp_path / "large").write_text("a\n" * 600)
    with pytest.raises(UserError, match=r"large: is larger than 1 KiB, which no .* is$"):
        READERS[reader](tmp_path / "large")


def test_a_text_is_read_without_its_mark_up_to_the_bound(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"\xef\xbb\xbf" + "λ".encode())
    assert read_text(tmp_path / "a", "list", 5) == "λ"
    with pytest.raises(UserError, match="is larger than 0 KiB, which no list is"):
        read_text(tmp_path / "a", "list", 4)
    (tmp_path / "a").write_bytes(b"\xff")
    with pytest.raises(UserError, match=r"a: not a text file in UTF-8$"):
        read_text(tmp_path / "a", "list", 5)
