"""Every data test has its own cache folder, and nothing is ever downloaded."""

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("NDABENCH_CACHE", str(folder))
    return folder
