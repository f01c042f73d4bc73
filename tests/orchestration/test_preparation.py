"""Preparing a sweep in a child process: its errors, its log lines, and its end."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from ndabench.config import parse
from ndabench.data.registry import load_data
from ndabench.errors import UserError
from ndabench.orchestration import local_preparation
from ndabench.orchestration.local_preparation import preparing
from ndabench.planning.sweep_file import SweepConfig
from ndabench.trials.config import Prepared
from tests.command_lines import TINY


def sweep(**changes: Any) -> SweepConfig:
    return parse(SweepConfig, {**TINY, **changes}, "tiny")


def prepare(config: SweepConfig, *, check: bool = False) -> Prepared:
    with preparing(config, "local", check=check) as begun:
        assert begun is not None
        return begun.result()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NDABENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.slow
def test_the_work_is_done_where_the_trials_find_it(cache: Path) -> None:
    prepared = prepare(sweep(evaluate=[{"name": "fd", "num_samples": 64}]))
    assert prepared[1:4] == (0, (), {}), "nothing was checked"
    assert prepared.data_hash == load_data(sweep().data, torch.device("cpu")).content_hash
    assert list(cache.rglob("*.*")), "the classifier, for example"


@pytest.mark.slow
def test_a_check_takes_steps_once_for_each_combination_of_networks_and_augmentations(cache: Path) -> None:
    arms = ["none", "jigsaw", {"name": "wide", "task": {"width": 3}}]
    search = {"lambda": [0.25, 0.5], "learning_rate": [1e-3, 2e-3]}
    prepared = prepare(sweep(arms=arms, search=search), check=True)
    assert prepared.checked == 3
    (note,) = prepared.notes
    assert note.startswith("jigsaw: 0.0% of 512 outputs equal their input, ")


@pytest.mark.slow
def test_a_child_without_a_folder_ends_without_a_word(tmp_path: Path) -> None:
    """A driver that is interrupted while it starts the child removes the folder at once, and ends later."""
    words = [sys.executable, "-m", "ndabench.orchestration.preparation_process", str(tmp_path / "gone")]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        code = child.wait(timeout=120)  # its standard input is open: the driver has not ended
        assert child.stderr is not None
        assert (code, child.stderr.read()) == (1, "")


@pytest.mark.slow
def test_a_mistake_of_the_user_is_the_drivers_error(cache: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        prepare(sweep(data={"name": "image_folder", "path": str(tmp_path / "nowhere"), "image_size": 16}))
    assert str(tmp_path / "nowhere") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_child_that_crashes_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(RuntimeError, match="ended with exit code 1"):
        prepare(sweep())


def test_an_interrupted_driver_ends_the_child(monkeypatch: pytest.MonkeyPatch) -> None:
    children = []

    class Slow(subprocess.Popen):
        """A child that sleeps; the first wait for it is interrupted, as by Ctrl-C."""

        interrupted = False

        def __init__(self, arguments: list[str], **options: Any) -> None:
            super().__init__(["sleep", "60"], **options)
            children.append(self)

        def wait(self, timeout: float | None = None) -> int:
            if not self.interrupted:
                self.interrupted = True
                raise KeyboardInterrupt
            return super().wait(timeout)

    monkeypatch.setattr(local_preparation.subprocess, "Popen", Slow)
    with pytest.raises(KeyboardInterrupt):
        prepare(sweep())
    assert [child.returncode for child in children] == [-signal.SIGKILL]


def child(folder: Path, prepare_trials: str) -> subprocess.Popen:
    """The child with `prepare_trials` in place of the work; its log goes to its standard error."""
    request = {"trials": ["{}"], "num_workers": 2, "check": True, "timed_threads": 0, "log": 2}
    (folder / "request.json").write_text(json.dumps(request))
    code = (
        "import logging, sys, time\n"
        "from ndabench.orchestration import preparation_process as module\n"
        f"module.prepare_trials = lambda *arguments, check, timed: {prepare_trials}\n"
        "module.main()"
    )
    command = [sys.executable, "-c", code, str(folder)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_its_log_and_its_answer(tmp_path: Path) -> None:
    answer = "(repr((*arguments, check)), ('the hash', 3))"
    work = f"logging.getLogger('ndabench.data').info('decoding …') or {answer}"
    with child(tmp_path, work) as process:
        assert process.stderr is not None
        assert process.stderr.read() == "decoding …\n"
    problem, prepared = json.loads((tmp_path / "answer.json").read_text())
    assert problem == "(['{}'], 2, device(type='cpu'), True)"
    assert prepared == ["the hash", 3]


@pytest.mark.slow
def test_the_child_ends_when_the_driver_is_gone(tmp_path: Path) -> None:
    """Even after kill -9, which closes the pipe."""
    with child(tmp_path, "print('begun', file=sys.stderr, flush=True) or time.sleep(100)") as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "begun\n"
        assert process.poll() is None
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(120) == 1
    assert not (tmp_path / "answer.json").exists()


@pytest.mark.slow
def test_a_check_decodes_videos_in_separate_processes(cache: Path) -> None:
    """They are forked while a thread waits for the driver's end."""
    task = {
        "name": "video_contrastive",
        "method": {"name": "dpc", "num_blocks": 4, "num_predicted": 1},
        "encoder": {"name": "resnet2d3d", "width": 2, "stem": "cifar"},
        "clip_frames": 8,
        "frame_stride": 1,
        "batch_size": 4,
    }
    files = {"codec": "mpeg4", "sizes": [[32, 32]]}
    data = {
        "name": "moving_digits",
        "frame_size": 16,
        "video_frames": 12,
        "clips_per_group": 1,
        "decode_workers": 2,
    }
    changes = {"task": task, "data": {**data, "files": files, "cache": "none"}, "evaluate": []}
    assert prepare(sweep(arms=["none"], search={}, objective=None, **changes), check=True).checked == 1
