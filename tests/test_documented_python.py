"""Every Python example of the documents runs, and so do the notebooks."""

import ast
import json
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.registrations import kept_registries

ROOT = Path(__file__).parents[1]
EXAMPLES = [
    (document, place, code)
    for document in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    for place, code in enumerate(  # another test runs those below a comment
        re.findall(r"(?<!-->\n)^```python\n(.*?)^```", document.read_text(), re.M | re.S)
    )
]
NOTEBOOKS = sorted((ROOT / "examples/notebooks").glob("*.ipynb"))


@contextmanager
def examples_folder(quickstart: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Inside, the working folder has a sweep's records; what is imported or registered there is forgotten."""
    (folder / "reports").mkdir()
    (folder / "reports/quickstart").symlink_to(quickstart)
    monkeypatch.chdir(folder)
    if "NDABENCH_CACHE" not in os.environ:
        monkeypatch.setenv("NDABENCH_CACHE", str(folder / "cache"))
    monkeypatch.setenv("PYTHONPATH", os.environ.get("PYTHONPATH", ""))  # `run_sweep` adds to it
    modules = set(sys.modules)
    with kept_registries():
        yield
    for name in set(sys.modules) - modules:
        if name.startswith("my_"):
            del sys.modules[name]


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
    namespace: dict[str, Any] = {"__name__": "__main__"}
    with examples_folder(quickstart, tmp_path, monkeypatch):
        exec(compile(code, f"{document.name}, example {place + 1}", "exec"), namespace)


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 7
    assert len(NOTEBOOKS) >= 2


@pytest.mark.slow
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=[notebook.stem for notebook in NOTEBOOKS])
def test_a_notebook_runs(
    notebook: Path, quickstart: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cell by cell, as a kernel runs them; the last expression of a cell has something to show."""
    monkeypatch.syspath_prepend(str(tmp_path))  # a kernel imports from the folder that it runs in
    cells = json.loads(notebook.read_text())["cells"]
    namespace: dict[str, Any] = {"__name__": "__main__"}
    with examples_folder(quickstart, tmp_path, monkeypatch):
        for place, cell in enumerate(cell for cell in cells if cell["cell_type"] == "code"):
            assert cell["outputs"] == [], f"cell {place}: remove its outputs"
            *statements, last = ast.parse("".join(cell["source"])).body
            where = f"{notebook.name}, cell {place}"
            exec(compile(ast.Module(statements, []), where, "exec"), namespace)
            assert isinstance(last, ast.Expr), where
            shown = eval(compile(ast.Expression(last.value), where, "eval"), namespace)
            assert getattr(shown, "_repr_html_", shown.__repr__)(), where
