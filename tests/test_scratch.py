"""Temporary folders: for this user alone, gone after their block, and after `kill -9` at the next start."""

import socket
import subprocess
import sys
from pathlib import Path
from typing import cast

import pytest
import torch
from torch import Tensor
from torch.utils.data import Dataset, TensorDataset

from ndabench.data.decoded_batches import decoded_batches
from ndabench.errors import UserError
from ndabench.scratch import LONGEST_SOCKET_PATH, PREFIX, delete_orphans, scratch_folder

OWNER = """
import sys, time
from pathlib import Path
from ndabench.scratch import scratch_folder
with scratch_folder(Path(sys.argv[1])) as folder:
    (folder / "sub").mkdir()
    (folder / "sub" / "file").write_text("x")
    (folder / "link").symlink_to("/etc")
    print(folder, flush=True)
    time.sleep(600)
"""


def test_a_killed_process_leaves_nothing_for_ever(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", OWNER, str(tmp_path)], stdout=-1, text=True) as owner:
        assert owner.stdout is not None
        folder = Path(owner.stdout.readline().strip())
        delete_orphans(tmp_path)
        assert (folder / "sub" / "file").read_text() == "x", "its owner lives"
        owner.kill()
    assert folder.exists()
    with scratch_folder(tmp_path) as own:
        assert list(tmp_path.iterdir()) == [own]
        assert own.stat().st_mode & 0o777 == 0o700
    assert not list(tmp_path.iterdir())
    assert Path("/etc/passwd").exists()


def test_only_its_own_folders_are_deleted(tmp_path: Path) -> None:
    (tmp_path / f"{PREFIX}results").mkdir()
    (tmp_path / f"{PREFIX}results" / "report.html").write_text("the user's")
    (tmp_path / f"{PREFIX}file").write_text("the user's")
    elsewhere = tmp_path / "elsewhere"
    with scratch_folder(elsewhere) as folder:
        (tmp_path / f"{PREFIX}link").symlink_to(folder)
        folder.rename(elsewhere / "kept")
    delete_orphans(tmp_path)
    assert (tmp_path / f"{PREFIX}results" / "report.html").exists()
    assert (tmp_path / f"{PREFIX}file").exists()
    assert (elsewhere / "kept").exists(), "a link is not followed"


def test_it_is_deleted_while_somebody_still_writes(tmp_path: Path) -> None:
    code = (
        "import pathlib, sys, time\nend = time.monotonic() + 1\n"
        "while time.monotonic() < end:\n"
        "    try: pathlib.Path(sys.argv[1], 'late').write_text('x')\n    except OSError: break\n"
    )
    with scratch_folder(tmp_path) as folder:
        (folder / "logs").mkdir()
        writer = subprocess.Popen([sys.executable, "-c", code, str(folder)])
    writer.wait()
    assert not list(tmp_path.iterdir())


def test_a_place_that_takes_none_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    told = r"file: no temporary folder can be made there \(File exists\); set TMPDIR"
    with pytest.raises(UserError, match=told), scratch_folder(tmp_path / "file"):
        pass


def test_the_longest_path_of_a_socket_is_the_systems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as one:
        one.bind("s" * LONGEST_SOCKET_PATH)
    with socket.socket(socket.AF_UNIX) as one, pytest.raises(OSError, match="too long"):
        one.bind("s" * (LONGEST_SOCKET_PATH + 1))


def test_decoding_processes_need_a_short_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python puts their sockets below `TMPDIR`; the error would come as a traceback from each of them."""
    long = tmp_path / ("t" * 80)
    long.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(long))
    nothing = cast(Dataset[tuple[Tensor, Tensor]], TensorDataset())
    batches = decoded_batches(nothing, [[0]], processes=1, device=torch.device("cpu"))
    with pytest.raises(UserError, match=rf"TMPDIR: the path {long} is too long .*decode_workers to 0"):
        next(batches)
