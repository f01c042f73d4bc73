"""Commands run in this process, for tests of what they say."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from ndabench.command_line import run
from ndabench.train import train

TINY: dict[str, Any] = {
    "name": "tiny",
    "task": {
        "name": "gan",
        "width": 4,
        "latent_dim": 8,
        "batch_size": 8,
        "num_steps": 2,
        "num_sheet_rows": 1,
    },
    "data": {"name": "digits", "image_size": 16},
    "arms": ["none", "jigsaw"],
}

WORKS = ("reading ", "scanning ", "decoding ", "building the networks", "preparing ")
"""How the lines begin in which a command says what it is doing."""


def complaints(stderr: str) -> str:
    """Standard error without these lines."""
    return "".join(line for line in stderr.splitlines(True) if not line.startswith(WORKS))


class CommandLine:
    """Runs commands in this process, and says how each ended."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
        self.folder, self.out = folder, folder / "out"
        self._monkeypatch, self._capsys = monkeypatch, capsys

    def file(self, **changes: Any) -> str:
        path = self.folder / "sweep.yaml"
        path.write_text(yaml.safe_dump({**TINY, **changes}))
        return str(path)

    def __call__(self, command: Any, *arguments: str) -> tuple[int, str]:
        self._monkeypatch.setattr("sys.argv", ["ndabench", *arguments])
        with pytest.raises(SystemExit) as caught:
            run(command)
        return int(caught.value.code or 0), complaints(self._capsys.readouterr().err)

    def error(self, command: Any, *arguments: str) -> str:
        """The one line of a command that must fail with it; neither it nor its folder left anything."""
        code, stderr = self(command, *arguments)
        assert code == 2, stderr
        assert stderr.startswith("error: "), stderr
        assert stderr.count("\n") == 1, stderr
        assert len(stderr) < 500
        assert not self.out.exists() or not list(self.out.rglob("*"))
        return stderr

    def train_error(self, **changes: Any) -> str:
        return self.error(train, self.file(**changes), "--out", str(self.out))
