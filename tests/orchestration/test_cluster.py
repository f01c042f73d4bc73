"""Where a local Ray keeps its files: below a path that is short enough for its Unix sockets."""

import os
from pathlib import Path

import pytest

from ndabench.errors import UserError
from ndabench.orchestration.cluster import LONGEST_SOCKET, parent_of_sockets
from ndabench.scratch import LONGEST_SOCKET_PATH
from ndabench.sweep import sweep
from tests.command_lines import CommandLine


def test_a_long_temporary_folder_is_named_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    room = LONGEST_SOCKET_PATH - len(f"/{LONGEST_SOCKET}")
    fits = "/" + "é" * ((room - 1) // 2)
    monkeypatch.setenv("RAY_TMPDIR", fits)
    assert parent_of_sockets() == Path(fits)
    monkeypatch.setenv("RAY_TMPDIR", f"{fits}xx")
    length = len(os.fsencode(fits)) + 2
    with pytest.raises(UserError) as caught:
        parent_of_sockets()
    assert str(caught.value) == (
        f"RAY_TMPDIR: the path {fits}xx is too long for Unix sockets ({length} bytes, at most {room}); "
        "set RAY_TMPDIR to a shorter one, such as /tmp"
    )


def test_a_sweep_says_so_before_it_starts_anything(
    command_line: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where Ray would go by the general `TMPDIR`."""
    long = tmp_path / ("t" * 90)
    long.mkdir()
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("TMPDIR", str(long))
    monkeypatch.setattr("tempfile.tempdir", None)
    line = command_line.error(sweep, command_line.file(), "--out", str(command_line.out))
    assert line.startswith(f"error: TMPDIR: the path {long} is too long for Unix sockets (")
    assert not list(long.iterdir())
