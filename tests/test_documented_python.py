"""Every Python example of the documents runs."""

import re
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.registrations import kept_registries

ROOT = Path(__file__).parents[1]
EXAMPLES = [
    (document, place, code)
    for document in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    for place, code in enumerate(re.findall(r"^```python\n(.*?)^```", document.read_text(), re.M | re.S))
    if not code.startswith("# my_package/")  # test_documents.py runs it
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("document", "place", "code"),
    EXAMPLES,
    ids=[f"{document.name}-{place}" for document, place, _ in EXAMPLES],
)
def test_it_runs(
    document: Path, place: int, code: str, quickstart: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a folder with the records of a sweep, `reports/quickstart`; those that start a sweep start Ray."""
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports/quickstart").symlink_to(quickstart)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NDABENCH_CACHE", str(tmp_path / "cache"))
    namespace: dict[str, Any] = {"__name__": "__main__"}
    modules = set(sys.modules)
    with kept_registries():
        exec(compile(code, f"{document.name}, example {place + 1}", "exec"), namespace)
    for name in set(sys.modules) - modules:
        if name.startswith("my_"):
            del sys.modules[name]


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 7
