"""Who imports Ray, its private names and PyTorch, and why an import is late: read from every source file."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import ndabench

ROOT = Path(ndabench.__file__).parent
PRIVATE_PACKAGES = (
    "ray.air",
    "ray.core",
    "ray.experimental",
    "ray.train.v2",
    "ray.util.client",
)
"""Ray documents none of these as its interface, though their names begin with no underscore."""
TRAINING = {
    "orchestration/training_process.py",
    "orchestration/training_device.py",
    "orchestration/preparation_process.py",
}
"""The files that only training and preparing processes import."""


def imported(tree: ast.AST) -> Iterator[str]:
    """Every imported name in full: `a.b` of `import a.b`, `a.b.c` of `from a.b import c`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def on_import(tree: ast.Module) -> ast.Module:
    """What runs when a module is imported: no bodies of functions, and nothing for type checkers alone."""

    class Remover(ast.NodeTransformer):
        def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
            return None

        def visit_If(self, node: ast.If) -> ast.AST | None:
            return None if ast.unparse(node.test) == "TYPE_CHECKING" else node

    found = Remover().visit(tree)
    assert isinstance(found, ast.Module)
    return found


def late_imports(tree: ast.Module) -> Iterator[ast.stmt]:
    """The first import of each run of imports inside a function."""
    functions = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))
    for function in functions:
        for node in ast.walk(function):
            for block in (getattr(node, name, ()) for name in ("body", "orelse", "finalbody")):
                before: ast.stmt | None = None
                for statement in block if isinstance(block, list) else ():
                    imports = (ast.Import, ast.ImportFrom)
                    if isinstance(statement, imports) and not isinstance(before, imports):
                        yield statement
                    before = statement


def sources() -> Iterator[tuple[str, ast.Module]]:
    for file in sorted(ROOT.rglob("*.py")):
        yield file.relative_to(ROOT).as_posix(), ast.parse(file.read_text())


def belongs_to(name: str, *packages: str) -> bool:
    return name in packages or name.startswith(tuple(f"{package}." for package in packages))


def is_private(name: str) -> bool:
    return belongs_to(name, *PRIVATE_PACKAGES) or (belongs_to(name, "ray") and "._" in name)


def test_every_late_import_says_why() -> None:
    """`# late: …` on its line or the line above; an import without a reason belongs at the top."""
    count, silent = 0, []
    for file, tree in sources():
        lines = (ROOT / file).read_text().splitlines()
        for statement in late_imports(tree):
            count += 1
            if "# late: " not in "\n".join(lines[statement.lineno - 2 : statement.lineno]):
                silent.append(f"{file}:{statement.lineno}")
    assert count > 20
    assert silent == []


def test_only_orchestration_imports_ray() -> None:
    importers = {file for file, tree in sources() if any(belongs_to(name, "ray") for name in imported(tree))}
    assert importers
    assert {file for file in importers if not file.startswith("orchestration/")} == set()


def test_only_one_file_imports_what_ray_keeps_private() -> None:
    importers = {file for file, tree in sources() if any(map(is_private, imported(tree)))}
    assert importers == {"orchestration/ray_private.py"}


def test_each_private_name_of_ray_is_used() -> None:
    from ndabench.orchestration import ray_private

    prefix = f"{ray_private.__name__}."
    used = {name.removeprefix(prefix) for _, tree in sources() for name in imported(tree) if prefix in name}
    assert used == set(ray_private.__all__)


def test_only_training_processes_import_torch_themselves() -> None:
    """That is, in their own files; the tests below look at all that they import."""
    heavy = ("torch", "torchvision", "ray.train.torch")
    importers = {
        file
        for file, tree in sources()
        if file.startswith(("orchestration/", "planning/", "ownership/"))
        and any(belongs_to(name, *heavy) for name in imported(on_import(tree)))
    }
    assert importers == TRAINING


def modules_after(imports: str) -> set[str]:
    """All that is imported by these imports, in another process: this one has imported PyTorch."""
    code = f"import sys, {imports}; print(*sys.modules)"
    return set(subprocess.check_output([sys.executable, "-c", code], text=True).split())


@pytest.mark.slow
def test_the_coordinator_of_a_nested_trial_imports_no_torch() -> None:
    """Nor does Train's controller: both import this module, and what Ray itself brings."""
    modules = modules_after("ndabench.orchestration.trainable")
    assert not {"torch", "ndabench.planning.sweep_file", "ndabench.trials"} & modules


def test_help_waits_for_nothing_heavy() -> None:
    heavy = {"optuna", "pandas", "pyarrow", "pydantic", "ray", "torch"}
    assert not heavy & modules_after("ndabench.cli")


@pytest.mark.slow
def test_the_driver_imports_no_torch() -> None:
    """With the trackers and the report that a sweep may ask for."""
    imports = "ndabench.sweep, ndabench.orchestration.run, ndabench.tracking.tensorboard, ndabench.reporting"
    assert "torch" not in modules_after(imports)


def test_every_folder_of_modules_is_a_package() -> None:
    """The import contracts see nothing of a folder without `__init__.py`."""
    folders = {file.parent for file in ROOT.rglob("*.py")}
    assert [str(folder) for folder in folders if not (folder / "__init__.py").is_file()] == []
