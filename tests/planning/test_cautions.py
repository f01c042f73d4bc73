"""What a sweep file is warned of before anything runs."""

import os
from pathlib import Path
from typing import Any

import pytest

from ndabench.config import parse
from ndabench.planning.cautions import cautions
from ndabench.planning.sweep_file import SweepConfig

SWEEP: dict[str, Any] = {
    "name": "tiny",
    "task": "gan",
    "data": "digits",
    "arms": ["none"],
    "evaluate": ["fd"],
}


def heard(results: Path | str = ".", **keys: Any) -> list[str]:
    return cautions(parse(SweepConfig, {**SWEEP, **keys}, "sweep.yaml"), str(results))


def test_a_sound_file_has_none() -> None:
    assert heard() == []
    assert heard("s3://bucket/folder") == []


def test_nothing_to_compare() -> None:
    assert heard(evaluate=[]) == [
        "nothing is measured, so there will be nothing to compare; add an evaluation, e.g. evaluate: [fd]"
    ]


def test_paths_that_do_not_exist_are_named_with_their_keys(tmp_path: Path) -> None:
    other = {"name": "image_folder", "path": f"{tmp_path}/other"}
    lines = heard(
        data={"name": "image_folder", "path": str(tmp_path), "classes": f"{tmp_path}/classes.txt"},
        arms=["none", {"name": "foreign", "negative": {"name": "dataset", "data": other}}],
        evaluate=[{"name": "fd", "extractor": "inception", "weights": f"{tmp_path}/weights.pth"}],
    )
    assert lines == [
        f"data.classes: {tmp_path}/classes.txt does not exist on this machine",
        f"arms.foreign.negative.data.path: {tmp_path}/other does not exist on this machine",
        f"evaluate.fd.weights: {tmp_path}/weights.pth does not exist on this machine",
    ]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read and write anything")
def test_what_this_user_may_not_touch(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0)
    lines = heard(closed / "out", data={"name": "image_folder", "path": str(closed)})
    assert lines == [
        f"data.path: {closed} cannot be read by this user",
        f"--out: nothing can be written into {closed}",
    ]


def test_a_file_in_the_way_of_the_results(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert heard(tmp_path / "file/out/deep") == [f"--out: nothing can be written into {tmp_path}/file"]
