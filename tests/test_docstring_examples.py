"""The examples in ndabench's docstrings run and print what they say."""

import doctest
import importlib
import re
from pathlib import Path

import pytest

import ndabench
from tests.registrations import kept_registries

ROOT = Path(ndabench.__file__).parent
MODULES = [
    ".".join(file.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__")
    for file in sorted(ROOT.rglob("*.py"))
    if re.search(r"^ *>>> ", file.read_text(), re.MULTILINE)
]


def test_there_are_examples() -> None:
    assert len(MODULES) >= 16


@pytest.mark.parametrize("name", MODULES)
def test_they_are_true(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NDABENCH_CACHE", str(tmp_path / "cache"))
    module = importlib.import_module(name)
    with kept_registries():
        failed, tried = doctest.testmod(module, optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert tried
    assert not failed
