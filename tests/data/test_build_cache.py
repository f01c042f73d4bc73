"""The cache notices every flipped bit, says which file is damaged, and builds the entry again."""

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from ndabench.data import build_cache
from ndabench.data.build_cache import build_once, problem_of
from ndabench.data.videos.moving_digits import DigitFiles, MovingDigitsConfig
from ndabench.errors import UserError
from ndabench.metrics.generators.extraction import compute_once


def write(entry: Path) -> None:
    (entry / "videos").mkdir()
    (entry / "videos" / "a.avi").write_bytes(bytes(range(256)))
    (entry / "list.txt").write_text("a.avi 1\n")


def flipped(content: bytes, place: int, bit: int = 0) -> bytes:
    return content[:place] + bytes([content[place] ^ 1 << bit]) + content[place + 1 :]


def says_the_same(file: Path, content: bytes, changed: bytes) -> bool:
    """Whether the flip turned white space between numbers of the checksums into other white space."""
    return file.name == build_cache.CHECKSUMS and json.loads(content) == json.loads(changed)


def test_every_flipped_bit_is_noticed(tmp_path: Path) -> None:
    """All bits of all three files of an entry, its checksums among them: 2,752 flips."""
    entry = build_once(tmp_path, "key", write)
    files = [file for file in sorted(entry.rglob("*")) if file.is_file()]
    assert len(files) == 3
    for file in files:
        content = file.read_bytes()
        for place in range(len(content)):
            for bit in range(8):
                changed = flipped(content, place, bit)
                file.write_bytes(changed)
                noticed = problem_of(entry).startswith(f"{entry}: damaged (")
                assert noticed or says_the_same(file, content, changed), (file.name, place, bit)
        file.write_bytes(content)
    assert not problem_of(entry)


@pytest.mark.parametrize(
    "harm", ["cut", "deleted", "added", "no checksums", "not JSON", "other JSON", "deep"]
)
def test_other_damage_is_built_again(tmp_path: Path, harm: str, caplog: pytest.LogCaptureFixture) -> None:
    entry = build_once(tmp_path, "key", write)
    video, checksums = entry / "videos" / "a.avi", entry / "checksums.json"
    texts = {"not JSON": "{", "other JSON": "[]", "deep": "[" * 100_000}
    if harm == "cut":
        os.truncate(video, 100)
    elif harm == "added":
        (entry / "videos" / "b.avi").touch()
    elif harm in ("deleted", "no checksums"):
        (video if harm == "deleted" else checksums).unlink()
    else:
        checksums.write_text(texts[harm])
    assert build_once(tmp_path, "key", write) == entry
    assert video.read_bytes() == bytes(range(256))
    assert not (entry / "videos" / "b.avi").exists()
    (line,) = caplog.messages
    assert line.startswith(f"{entry}: damaged (")
    assert line.endswith("); building it again")


def test_an_entry_is_read_once_in_a_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = build_once(tmp_path, "key", write)
    assert not problem_of(entry)
    monkeypatch.setattr(build_cache, "_crc32", lambda _: pytest.fail("read again"))
    assert build_once(tmp_path, "key", write) == entry


def test_what_a_killed_process_left_is_no_entry(tmp_path: Path) -> None:
    (tmp_path / ".key").mkdir()
    (tmp_path / ".key" / "half").touch()
    entry = build_once(tmp_path, "key", write)
    assert sorted(file.name for file in entry.iterdir()) == ["checksums.json", "list.txt", "videos"]
    assert not (tmp_path / ".key").exists()


def test_threads_that_ask_together_build_once(tmp_path: Path) -> None:
    built: list[Path] = []

    def build(entry: Path) -> None:
        built.append(entry)
        write(entry)

    threads = [threading.Thread(target=build_once, args=(tmp_path, "key", build)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(built) == 1


def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    def fill(entry: Path) -> None:
        write(entry)
        raise OSError(28, "No space left on device")

    with pytest.raises(
        UserError, match=r"the cache cannot be written \(No space left on device\); set NDABENCH"
    ):
        build_once(tmp_path, "key", fill)
    assert [path.name for path in tmp_path.iterdir()] == [".key.lock"]


@pytest.mark.parametrize(
    "build",
    [
        lambda: compute_once("references", "key", lambda: {"features": torch.zeros(100_000)}),
        MovingDigitsConfig(files=DigitFiles()).written,
    ],
)
def test_what_does_not_fit_on_the_disk(
    build: Callable[[], Path], disk: Callable[[int], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither PyTorch nor FFmpeg raises Python's own error where the disk is full."""
    folder = disk(200)
    monkeypatch.setenv("NDABENCH_CACHE", str(folder))
    with pytest.raises(
        UserError, match=r"the cache cannot be written \(No space left on device\); set NDABENCH"
    ):
        build()
    assert not [path for path in folder.rglob("*") if path.is_file() and path.stat().st_size]
