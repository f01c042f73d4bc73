"""The registry of data sets: read without torch, open to sets from outside."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pytest
import torch
from PIL import Image

from ndabench.config import Config, parse
from ndabench.data.config import FullPath
from ndabench.data.registry import (
    DATA_SETS,
    DataConfig,
    DataSet,
    ImageDataConfig,
    VideoDataConfig,
    load_data,
    modality_of,
    of_modality,
)
from ndabench.data.sampling import in_order
from ndabench.data.source import FilePictures, ImageConfig, Source
from ndabench.errors import UserError
from ndabench.registry import OneOf

READ_ALL = """
import sys
from ndabench.config import parse
from ndabench.data.registry import DATA_SETS, DataConfig, modality_of

for name, entry in DATA_SETS.items():
    keys = {"name": name} | ({"path": "/data"} if "path" in entry.config.model_fields else {})
    config = parse(DataConfig, keys, "data")
    config.title, config.model_dump_json(), modality_of(config)
slow = {"torch", "torchvision", "av", "sklearn", "pyarrow", "ray"} & set(sys.modules)
assert not slow, slow
"""


def test_reading_every_data_set_imports_nothing_slow() -> None:
    done = subprocess.run([sys.executable, "-c", READ_ALL], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


class HalvesConfig(ImageConfig):
    """Pictures whose file names begin with their class."""

    name: Literal["halves"] = "halves"
    path: FullPath

    def files(self) -> list[Path]:
        return sorted(self.path.glob("*.png"))

    def open(self) -> Source:
        paths = self.files()
        labels = np.array([int(path.stem[0]) for path in paths], dtype=np.int64)
        return Source({"train": FilePictures(paths, labels)}, class_names=("dark", "light"))


@pytest.fixture
def halves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("NDABENCH_CACHE", str(tmp_path / "cache"))
    for label in (0, 1):
        for number in range(10):
            pixels = np.full((4, 4, 3), 200 * label + number, np.uint8)
            Image.fromarray(pixels).save(tmp_path / f"{label}_{number}.png")
    DATA_SETS.register("halves", DataSet(HalvesConfig, "images"))
    yield tmp_path
    del DATA_SETS._entries["halves"]


def test_a_set_from_outside_is_read_and_loaded_like_ours(halves: Path) -> None:
    config = parse(DataConfig, {"name": "halves", "path": str(halves)}, "data")
    assert parse(ImageDataConfig, config.model_dump(mode="json"), "data") == config
    assert modality_of(config) == "images"
    assert "halves" in of_modality("images")
    assert "halves" not in of_modality("videos")
    data = load_data(config, torch.device("cpu"))
    assert [len(split) for split in (data.train, data.validation, data.test)] == [14, 2, 4]
    ((images, labels),) = data.train.batches(in_order(14, 14))
    assert torch.equal(images[:, 0, 0, 0] >= 200, labels == 1)


def test_a_field_for_one_modality_refuses_the_others() -> None:
    class Evaluation(Config):
        data: VideoDataConfig | None = None
        other: Annotated[ImageConfig, OneOf(of_modality("images"))] | None = None

    assert parse(Evaluation, {"data": "moving_digits"}, "evaluation").data is not None
    with pytest.raises(
        UserError, match=r"data.name: unknown name 'digits'; .* \(known: hmdb51, moving_digits, "
    ):
        parse(Evaluation, {"data": {"name": "digits"}}, "evaluation")
    with pytest.raises(UserError, match=r"other\.image_size: "):
        parse(Evaluation, {"other": {"name": "digits", "image_size": 0}}, "evaluation")
