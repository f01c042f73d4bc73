"""What a user can get wrong is one clear line on stderr and exit code 2, with nothing written."""

import io
import re
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from ndabench.config import parse
from ndabench.errors import UserError
from ndabench.planning.sweep_file import SweepConfig
from ndabench.preview import preview
from ndabench.records import RecordStore
from ndabench.report import report
from ndabench.sweep import sweep
from ndabench.train import train
from ndabench.trials.run import prepare
from tests.command_lines import TINY, CommandLine


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The digits are decoded once; weights that this machine may have do not count."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NDABENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.delenv("NDABENCH_INCEPTION_WEIGHTS", raising=False)
        yield


IN_THE_FILE: dict[str, tuple[dict[str, Any], str]] = {
    "unknown key": ({"sceduler": "none"}, "unknown key 'sceduler'; did you mean 'scheduler'"),
    "unknown task key": (
        {"task": {**TINY["task"], "wdith": 8}},
        "unknown key 'task.wdith'; did you mean 'width'",
    ),
    "wrong type": ({"seeds": ["many"]}, "seeds.0: .*integer.*'many'"),
    "wrong range": (
        {"task": {**TINY["task"], "num_steps": 0}},
        "task.num_steps: .*greater than or equal to 1, got 0",
    ),
    "unknown task": ({"task": {"name": "gam"}}, "task.name: unknown name 'gam'; did you mean 'gan'"),
    "unknown negative": (
        {"arms": ["jigsw"]},
        "unknown negative 'jigsw'; did you mean 'jigsaw'.*known: .*cutout",
    ),
    "unknown parameter": (
        {"arms": [{"negative": {"name": "jigsaw", "gird": 2}}]},
        "unknown parameter 'gird'; did you mean 'grid'",
    ),
    "unknown data set": (
        {"data": {"name": "cifr10"}},
        "data.name: unknown name 'cifr10'; did you mean 'cifar10'",
    ),
    "unknown evaluation": (
        {"evaluate": [{"name": "fdd"}]},
        "evaluate.0.name: unknown name 'fdd'; did you mean 'fd'.*known: anomaly, ",
    ),
    "unmeasured objective": (
        {"evaluate": [{"name": "fd"}], "objective": {"metric": "fd_clasifier"}},
        "objective: unknown metric 'fd_clasifier'; did you mean 'fd_classifier'",
    ),
    "nothing measured": ({"objective": {"metric": "fd_classifier"}}, "objective: nothing is measured; add"),
    "asha without measurements on the way": (
        {
            "evaluate": [{"name": "fd"}],
            "objective": {"metric": "fd_classifier"},
            "search": {"lambda": {"uniform": [0.1, 0.9]}, "sampler": "random"},
            "scheduler": {"name": "asha", "grace_steps": 1},
        },
        "asha compares trials during training.*fd_classifier needs every",
    ),
    "lambda of 0": ({"search": {"lambda": [0]}}, r"search: lambda must lie in \(0, 1\], got 0"),
    "lambda above 1": ({"search": {"lambda": [1.5]}}, r"search: lambda must lie in \(0, 1\], got 1.5"),
    "missing key": ({"arms": None}, "arms"),
}


@pytest.mark.parametrize("case", IN_THE_FILE)
@pytest.mark.parametrize("command", [sweep, train], ids=["sweep", "train"])
def test_a_wrong_sweep_file(command_line: CommandLine, command: Any, case: str) -> None:
    changes, expected = IN_THE_FILE[case]
    line = command_line.error(command, command_line.file(**changes), "--out", str(command_line.out))
    assert line.startswith(f"error: {command_line.folder}/sweep.yaml: ")
    assert re.search(expected, line), line


@pytest.mark.parametrize("command", [sweep, train, preview], ids=lambda command: command.__name__)
def test_a_sweep_file_that_cannot_be_read(command_line: CommandLine, command: Any) -> None:
    def line(path: Path) -> str:
        return command_line.error(command, str(path), "--out", str(command_line.out))

    file = command_line.folder / "s.yaml"
    assert line(file) == f"error: {file}: cannot be read (No such file or directory)\n"
    file.write_text("name: [\n")
    assert line(file).startswith(f"error: {file}: line 2: not valid YAML (")
    file.write_text("- just\n- a list\n")
    assert line(file) == f"error: {file}: must hold a mapping of keys to values\n"
    file.write_text("name: ${NDABENCH_NO_SUCH_VARIABLE}\n")
    assert "environment variable NDABENCH_NO_SUCH_VARIABLE is not set" in line(file)
    file.write_bytes(b"\xff\xfe\x00")
    assert line(file) == f"error: {file}: not a text file in UTF-8\n"


@pytest.mark.parametrize(
    ("assignment", "expected"),
    [
        ("task.num_steps", "--set task.num_steps: must look like key=value"),
        ("task.num_stepz=3", "unknown key 'task.num_stepz'; did you mean 'num_steps'"),
        ("task.num_steps=few", "task.num_steps: .*'few'"),
        ("name.inner=3", "--set name.inner=3: the key above 'inner' does not hold a mapping"),
    ],
)
def test_a_wrong_assignment(command_line: CommandLine, assignment: str, expected: str) -> None:
    line = command_line.error(
        sweep, command_line.file(), "--set", assignment, "--out", str(command_line.out), "--dry-run"
    )
    assert re.search(expected, line), line


BEFORE_TRAINING: dict[str, tuple[dict[str, Any], str]] = {
    "a grid that does not divide": (
        {"arms": [{"negative": {"name": "jigsaw", "grid": 3}}]},
        "jigsaw: .*16×16.*3",
    ),
    "a size without an architecture": (
        {"data": {"name": "digits", "image_size": 20}},
        "16×16, 32×32, .* not of 20×20; set the data's image_size",
    ),
    "images that are not there": (
        {"data": {"name": "image_parquet", "path": "/no/such/folder"}},
        "/no/such/folder: no such file or folder",
    ),
    "an official set that is not there": (
        {"data": {"name": "cifar10", "path": "/no/such/folder"}},
        "/no/such/folder.*download: true",
    ),
    "inception without weights": (
        {"evaluate": [{"name": "fd", "extractor": "inception"}]},
        "NDABENCH_INCEPTION_WEIGHTS|download: true",
    ),
    "inception with a weights file that is not there": (
        {"evaluate": [{"name": "fd", "extractor": "inception", "weights": "/no/such/file"}]},
        "/no/such/file",
    ),
    "the same measure twice": (
        {"evaluate": [{"name": "fd", "num_samples": 64}, {"name": "fd", "num_samples": 128}]},
        "evaluate: 2 evaluations report fd_classifier",
    ),
}


@pytest.mark.parametrize("case", BEFORE_TRAINING)
def test_what_would_fail_in_training_fails_before_it(command_line: CommandLine, case: str) -> None:
    changes, expected = BEFORE_TRAINING[case]
    line = command_line.train_error(**changes)
    assert re.search(expected, line), line


def test_a_batch_that_workers_cannot_share() -> None:
    trial = parse(SweepConfig, TINY, "tiny").grid_trials()[0]
    prepare([trial], torch.device("cpu"), 2)
    with pytest.raises(UserError, match="batch_size 8 cannot be shared equally by 3 workers"):
        prepare([trial], torch.device("cpu"), 3)


def png(size: tuple[int, int] = (16, 16)) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", size).save(buffer, format="PNG")
    return buffer.getvalue()


IMAGES = {
    "a broken image": (
        {"img": [png()] * 20 + [b"no image"]},
        r"-0\.parquet row 20: the image cannot be read",
    ),
    "a missing column": (
        {"picture": [png()] * 21},
        r"no image column 'img' or 'image' \(its columns: picture, label\)",
    ),
    "images of two sizes": ({"img": [png()] * 20 + [png((16, 8))]}, r"row 20.*image_size"),
    "oblong images": ({"img": [png((16, 8))] * 21}, "square images, not 8×16; set image_size"),
}


@pytest.mark.parametrize("case", IMAGES)
def test_corrupt_data(command_line: CommandLine, case: str) -> None:
    columns, expected = IMAGES[case]
    folder = command_line.folder / "images"
    folder.mkdir()
    for split in ("train", "test"):
        table = pa.table({**columns, "label": [i % 2 for i in range(21)]})
        pq.write_table(table, folder / f"{split}-0.parquet")
    line = command_line.train_error(data={"name": "image_parquet", "path": str(folder), "channels": 1})
    assert re.search(expected, line), line


def test_a_truncated_parquet_file(command_line: CommandLine) -> None:
    folder = command_line.folder / "images"
    folder.mkdir()
    for split in ("train", "test"):
        (folder / f"{split}-0.parquet").write_bytes(b"PAR1 and no more")
    line = command_line.train_error(data={"name": "image_parquet", "path": str(folder)})
    assert re.search(r"train-0\.parquet: ", line), line


@pytest.mark.parametrize("out", ["{file}/below", "/proc/ndabench"])
def test_an_output_that_cannot_be_written(command_line: CommandLine, out: str) -> None:
    file = command_line.file()
    line = command_line.error(train, file, "--out", out.format(file=file))
    assert re.search(": cannot be (read|written) \\(", line), line
    line = command_line.error(preview, file, "--out", out.format(file=file))
    assert "cannot be written" in line


def test_a_full_disk(command_line: CommandLine, disk: Callable[[int], Path]) -> None:
    tiny_disk = disk(32)
    line = command_line.error(train, command_line.file(), "--out", str(tiny_disk))
    assert "cannot be written (the disk is full)" in line
    for file in tiny_disk.rglob("*.*"):
        assert file.suffix in (".yaml", ".parquet", ".png", ".txt"), f"{file} was left half-written"
        if file.suffix == ".parquet":
            pq.read_table(file)


def test_the_folder_of_another_sweep(command_line: CommandLine) -> None:
    out = str(command_line.folder / "results")
    code, _ = command_line(train, command_line.file(), "--out", out)
    assert code == 0
    claim = (command_line.folder / "results" / "sweep.yaml").read_bytes()
    longer = {**TINY["task"], "num_steps": 3}
    other = {"name": "none", "task": {"latent_dim": 16}}
    another: dict[str, dict[str, Any]] = {
        "belongs to the sweep 'tiny'; choose another folder with --out": {"name": "other"},
        "was started with another task.num_steps (2, now 3)": {"task": longer},
        "was started with another arm 'none'": {"arms": [other, "jigsaw"]},
    }
    refused = [
        *((sweep, expected, changes, ["--resume"]) for expected, changes in another.items()),
        *((train, expected, changes, ["--arm", "jigsaw"]) for expected, changes in another.items()),
        (
            sweep,
            "already holds this sweep: continue it with --resume",
            {"arms": ["jigsaw", "none"]},
            list[str](),
        ),
        (train, "none seed 0 is finished already", {}, []),
        (train, "none seed 0 is finished already", {}, ["--resume"]),
    ]
    for command, expected, changes, options in refused:
        line = command_line.error(command, command_line.file(**changes), "--out", out, *options)
        assert expected in line
    assert (command_line.folder / "results" / "sweep.yaml").read_bytes() == claim

    unknown = command_line.folder / "unknown"
    shutil.copytree(f"{out}/trials", unknown / "trials")
    line = command_line.error(sweep, command_line.file(), "--out", str(unknown))
    assert "holds the records of an unknown sweep; choose another folder with --out" in line


def test_train_adds_a_trial_to_its_sweep_and_resumes_only_when_told_to(command_line: CommandLine) -> None:
    out = command_line.folder / "results"
    words = [command_line.file(), "--arm", "jigsaw", "--out", str(out)]
    assert command_line(train, *words) == (0, "")
    assert command_line(train, *words, "--seed", "1") == (0, "")
    store = RecordStore(str(out))
    rows = {row.seed: row for row in store.trial_rows()}
    assert {seed: row.status for seed, row in rows.items()} == {0: "finished", 1: "finished"}
    store.write_trial(replace(rows[1], status="stopped"))
    line = command_line.error(train, *words, "--seed", "1")
    assert "seed 1 has begun: continue it with --resume, or choose another --out" in line
    assert command_line(train, *words, "--seed", "1", "--resume") == (0, "")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--arm", "jigsa"], "--arm: unknown arm 'jigsa'; did you mean 'jigsaw'"),
        (["--arm", "jigsaw", "--lambda", "1.5"], r"arm jigsaw: lambda must lie in \(0, 1\], got 1.5"),
        (["--lambda", "0.5"], "--lambda: it shares .* with a negative, and arm 'none' has none"),
        (["--seed", "-1"], "arm none: seed: .*greater than or equal to 0, got -1"),
    ],
)
def test_a_trial_that_there_is_not(command_line: CommandLine, options: list[str], expected: str) -> None:
    line = command_line.error(train, command_line.file(), "--out", str(command_line.out), *options)
    assert re.search(expected, line), line


@pytest.mark.parametrize(
    "address", ["127.0.0.1:{port}", "ray://127.0.0.1:{port}", "no.such.host.invalid:6379", "nonsense"]
)
def test_a_ray_that_does_not_answer(
    command_line: CommandLine, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    with socket.socket() as bound:  # a port that is taken, so that nobody else answers there
        bound.bind(("127.0.0.1", 0))
        address = address.format(port=bound.getsockname()[1])
        started = time.monotonic()
        options = ["--out", str(command_line.out)]
        line = command_line.error(sweep, command_line.file(), *options, "--address", address)
        assert f"no Ray cluster answers at {address} (" in line
        monkeypatch.setenv("RAY_ADDRESS", address)
        assert command_line.error(sweep, command_line.file(), *options) == line
        assert time.monotonic() - started < 60


def test_a_report_of_nothing(command_line: CommandLine) -> None:
    for folder in (command_line.folder / "nothing", command_line.folder):
        line = command_line.error(report, str(folder))
        assert (
            line == f"error: {folder}: no records here; give the folder of a sweep, e.g. reports/quickstart\n"
        )
