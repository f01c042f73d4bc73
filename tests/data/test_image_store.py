"""Decoded once, shared safely, the same pixels whichever way they come."""

import json
import logging
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from ndabench.config import parse
from ndabench.data import store
from ndabench.data.digits import DigitsConfig
from ndabench.data.images import ImageData
from ndabench.data.load import load_images
from ndabench.data.registry import ImageDataConfig
from ndabench.data.sampling import in_order, shuffled_batches
from ndabench.errors import UserError
from tests.data import image_layouts as layouts
from tests.two_workers import FORKSERVER


def load(**keys: Any) -> ImageData:
    return load_images(parse(ImageDataConfig, keys, "data"), device=torch.device("cpu"))


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    layouts.write_parquet_set(tmp_path / "pets")
    return tmp_path / "pets"


def refuse_to_open(*_: Any) -> None:
    raise AssertionError("decoded a second time")


def test_a_set_is_decoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    first = load(name="digits")
    monkeypatch.setattr(DigitsConfig, "open", refuse_to_open)
    again = load(name="digits")
    other_cut = load(name="digits", split_seed=1, horizontal_flip=True)
    assert again.content_hash == first.content_hash
    assert torch.equal(again.train.labels, first.train.labels)
    assert other_cut.content_hash != first.content_hash  # its training images are others


def test_the_content_hash_knows_no_paths_nor_times(pets: Path, tmp_path: Path, cache: Path) -> None:
    first = load(name="image_parquet", path=pets)
    moved = tmp_path / "elsewhere" / "pets"
    shutil.copytree(pets, moved)
    for file in moved.iterdir():
        os.utime(file, (1, 1))
    assert load(name="image_parquet", path=moved).content_hash == first.content_hash
    assert len(list((cache / "images/content").iterdir())) == 1
    assert load(name="image_parquet", path=pets, image_size=4).content_hash != first.content_hash


def test_changed_files_are_decoded_again(pets: Path) -> None:
    first = load(name="image_parquet", path=pets)
    layouts.write_parquet_set(pets, train=44)
    assert len(load(name="image_parquet", path=pets).train) > len(first.train)


@pytest.mark.parametrize(
    "workers",
    [0, pytest.param(2, marks=pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"))],
)
def test_streaming_equals_resident(pets: Path, workers: int) -> None:
    resident = load(name="image_parquet", path=pets, stream=False)
    streamed = load(name="image_parquet", path=pets, stream=True, decode_workers=workers)
    assert streamed.content_hash == resident.content_hash
    state = torch.get_rng_state()
    for split in ("train", "validation", "test"):
        a, b = getattr(resident, split), getattr(streamed, split)
        assert torch.equal(a.labels, b.labels)
        index = [*in_order(len(a), 3), torch.tensor([1, 0, 1])]
        for (images, labels), (images_too, labels_too) in zip(
            a.batches(index), b.batches(index), strict=True
        ):
            assert torch.equal(images, images_too)
            assert torch.equal(labels, labels_too)
    assert torch.equal(torch.get_rng_state(), state)


def test_endless_index_batches_stream(pets: Path) -> None:
    data = load(name="image_parquet", path=pets, stream=True, decode_workers=0)
    batches = data.train.batches(shuffled_batches(len(data.train), 8, seed=0))
    assert [next(batches)[0].shape for _ in range(9)] == [(8, 3, 8, 8)] * 9


def test_auto_streams_what_does_not_fit(pets: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "RESIDENT_LIMIT_BYTES", 50 * 3 * 8 * 8 - 1)
    assert type(load(name="image_parquet", path=pets, decode_workers=0).train).__name__ == "StreamedSplit"
    assert not list((cache / "images/content").iterdir())


def _mapped(path: Path) -> dict[str, int]:
    """KiB of this process's mappings of a file: `Rss`, `Private_Dirty`, …"""
    found: dict[str, int] = {}
    inside = False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        head, _, rest = line.partition(":")
        if "-" in line.split(" ")[0]:
            inside = line.endswith(str(path))
        elif inside and rest.endswith(" kB"):
            found[head] = found.get(head, 0) + int(rest.split()[0])
    return found


def test_decoded_images_stay_in_pages_that_all_processes_share(cache: Path) -> None:
    first, second = load(name="digits"), load(name="digits", split_seed=1)
    for data in (first, second):
        for split in (data.train, data.validation, data.test):
            list(split.batches(in_order(len(split), 64)))
    (content,) = (cache / "images/content").iterdir()
    for file in content.glob("*_images.npy"):
        mapped = _mapped(file)
        assert mapped["Rss"] >= file.stat().st_size // 1024 - 4, "read through the mapping"
        assert mapped["Private_Dirty"] == mapped["Anonymous"] == 0, "never copied"


def _load_in_a_process(queue: Any, together: Any, path: str, log: str, cache: str) -> None:
    from ndabench.data.image_parquet import ImageParquetConfig

    opened = ImageParquetConfig.open

    def counted(self: Any) -> Any:
        with Path(log).open("a") as file:
            file.write("opened\n")
        return opened(self)

    torch.set_num_threads(1)
    os.environ["NDABENCH_CACHE"] = cache
    together.wait()
    ImageParquetConfig.open = counted  # type: ignore[method-assign]  # this process ends with the test
    data = load(name="image_parquet", path=path)
    images, _ = next(data.train.batches([torch.arange(len(data.train))]))
    queue.put((data.content_hash, int(images.sum())))


@pytest.mark.slow
def test_processes_that_start_together_decode_once(pets: Path, tmp_path: Path, cache: Path) -> None:
    queue, together = FORKSERVER.Queue(), FORKSERVER.Barrier(4)
    log = tmp_path / "log"
    arguments = (queue, together, str(pets), str(log), str(cache))
    processes = [FORKSERVER.Process(target=_load_in_a_process, args=arguments) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()  # the test's own timeout is long enough for a busy machine
    assert [process.exitcode for process in processes] == [0] * 4
    results = {queue.get() for _ in processes}
    assert len(results) == 1
    assert log.read_text() == "opened\n"
    assert len(list((cache / "images/content").iterdir())) == 1


def test_what_a_killed_process_left_behind_is_cleared_away(cache: Path) -> None:
    first = load(name="digits")
    (manifest,) = (cache / "images/keys").glob("[!.]*/manifest.json")
    content = cache / "images/content" / json.loads(manifest.read_text())["decoded_hash"]
    unfinished = content.with_name(f".{manifest.parent.name}")
    content.rename(unfinished)
    (unfinished / "train_images.npy").write_bytes(b"half")
    manifest.parent.rename(manifest.parent.with_name(unfinished.name))
    assert load(name="digits").content_hash == first.content_hash
    assert not unfinished.exists()


@pytest.mark.parametrize(
    ("pattern", "place"),
    [
        pytest.param("content/*/train_images.npy", 5_000, id="a pixel"),
        pytest.param("content/*/train_images.npy", 60, id="a header that asks for more memory than there is"),
        pytest.param("content/*/train_labels.npy", -8, id="a label"),
        pytest.param("content/*/checksums.json", 30, id="a checksum"),
        pytest.param("keys/*/manifest.json", 100, id="the name of a class"),
    ],
)
def test_what_is_damaged_is_decoded_again(
    cache: Path, pattern: str, place: int, caplog: pytest.LogCaptureFixture
) -> None:
    def everything(data: ImageData) -> list[torch.Tensor]:
        splits = (data.train, data.validation, data.test)
        return [part.clone() for split in splits for part in next(split.batches([torch.arange(len(split))]))]

    first = load(name="digits")
    whole = everything(first)
    (file,) = (cache / "images").glob(pattern)
    content = bytearray(file.read_bytes())
    content[place] ^= 16
    file.write_bytes(content)
    again = load(name="digits")
    assert (again.content_hash, again.class_names) == (first.content_hash, first.class_names)
    assert all(torch.equal(*pair) for pair in zip(whole, everything(again), strict=True))
    (line,) = warnings(caplog)
    assert line.startswith(f"{file.parent}: damaged ({file.name} ")
    assert line.endswith("; building it again")
    load(name="digits")
    assert len(warnings(caplog)) == 1


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The log's lines but those of what is being done."""
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def test_a_cache_that_cannot_be_written_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("NDABENCH_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(
        UserError, match=r"the cache cannot be written \(Not a directory\); set NDABENCH_CACHE"
    ):
        load(name="digits")


def test_a_full_disk_is_one_line(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("numpy.lib.format.write_array_header_1_0", full)
    with pytest.raises(UserError, match=r"the cache cannot be written \(No space left on device\)"):
        load(name="digits")
    assert not list((cache / "images/content").iterdir())
