"""ndabench accepts each command and sweep file of the documents; test_documented_python runs their Python."""

import functools
import itertools
import re
import shlex
import sys
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

from ndabench import cli
from ndabench.config import parse
from ndabench.planning.bundled import bundled_names
from ndabench.planning.sweep_file import SweepConfig, read_sweep
from tests.registrations import REGISTRIES

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "examples/plugin/README.md"]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
UNPARSED = {
    ".": "the shell's own",
    "cat": "the shell's own",
    "export": "the shell's own",
    "docker": "not installed for tests; test_cluster_examples checks its files",
    "kubectl": "not installed for tests; test_cluster_examples checks its files",
    "sbatch": "needs Slurm; test_slurm_script runs what it submits",
    "tensorboard": "its extra is not installed for tests",
}
"""Commands that only a reader runs, and why."""


def _blocks(document: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", document.read_text(), re.MULTILINE | re.DOTALL)


def _commands(document: Path) -> Iterator[str]:
    """One a line: those of the shell blocks, and what the text has of ndabench's own."""
    text = document.read_text()
    for block in _blocks(document, "sh"):
        for line in block.replace("\\\n", " ").splitlines():
            yield from line.split(" && ")
    yield from re.findall(r"`((?:python -m )?ndabench(?:[. ][^`]*)? [^`]*)`", text)


COMMANDS = [(document.name, command) for document in DOCUMENTS for command in _commands(document)]
YAMLS = [(document.name, text) for document in DOCUMENTS for text in _blocks(document, "yaml")]


@pytest.mark.parametrize(
    ("document", "command"),
    COMMANDS,
    ids=[f"{document}-{place}" for place, (document, _) in enumerate(COMMANDS)],
)
def test_a_command_is_one(document: str, command: str) -> None:
    plain = re.sub(r"(--[\w-]+) …", r"\1 {}", command)  # an argument that was shown before
    plain = re.sub(r"…|\\?\|[\w.]+|> \S+", " ", plain)  # repeats, alternatives, redirections
    plain = re.sub(r" [LN]\b", " 1", plain)  # numbers
    _check(shlex.split(plain if "'" in plain else re.sub(r"[\[\]]", " ", plain), comments=True))


def _check(words: Sequence[str]) -> None:
    while words and re.fullmatch(r"\w+=.*", words[0]):
        words = words[1:]
    if not words:
        return
    program, *rest = words
    if program == "python":
        assert rest[0] == "-m", words
        module, *rest = rest[1:]
        assert find_spec(module) is not None, module
        name = module.partition(".")[2].replace("_", "-")
        _parse([name, *rest] if name else rest)
    elif program == "ndabench":
        _parse(rest)
    elif program == "ray":
        from ray.scripts.scripts import cli as ray  # late: it takes a second

        _accepted(ray, ["ray", *rest])
        if "--" in rest:
            _check(rest[rest.index("--") + 1 :])
    elif program == "pip":
        for extra in re.findall(r"\[(\w+)\]", " ".join(rest)):
            assert extra in PROJECT["optional-dependencies"], extra
    elif program == "make":
        assert re.search(rf"^{rest[0]}:", (ROOT / "Makefile").read_text(), re.MULTILINE), rest[0]
    elif "/" in program:
        assert (ROOT / program).is_file(), program
    else:
        assert program in UNPARSED, words


@functools.cache
def _program() -> Any:
    """The command `ndabench`, as click has it."""
    apps: list[typer.Typer] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cli, "leave_when_interrupted", lambda: None)
        patch.setattr(typer.Typer, "__call__", lambda app: apps.append(app))
        cli.main()
    return typer.main.get_command(apps[0])


def _parse(words: Sequence[str]) -> None:
    """Arguments and options of ndabench; where the sweep file is one of ndabench's own, its changes, too."""
    _accepted(_program(), ["ndabench", *words])
    _, *rest = words or [""]
    if rest and rest[0].removeprefix("sweeps/").removesuffix(".yaml") in bundled_names():
        read_sweep(Path(rest[0]), [value for option, value in itertools.pairwise(rest) if option == "--set"])


def _accepted(command: Any, words: Sequence[str]) -> None:
    """By click, down to the last command of a group; nothing is run."""
    name, *rest = words
    group = hasattr(command, "resolve_command")  # its own options would be carried out: --install-completion
    context = command.make_context(name, list(rest), resilient_parsing=group or not rest)
    rest = [*context._protected_args, *context.args] if group else []
    if rest and rest[0] != "COMMAND":
        name, inner, rest = command.resolve_command(context, rest)
        _accepted(inner, [name, *rest])


@pytest.mark.parametrize(("document", "text"), YAMLS)
def test_yaml_is_a_sweep_file_or_a_part_of_one(document: str, text: str) -> None:
    """A part goes into a sweep file that has what it speaks of."""
    shown = yaml.safe_load(text)
    if "task" not in shown:
        transfers = any(item["name"] == "detection" for item in shown.get("evaluate", []))
        base = "quickstart_contrastive" if transfers else "quickstart"
        whole = yaml.safe_load((ROOT / f"sweeps/{base}.yaml").read_text())
        del whole["objective"]
        if "controls" in shown:
            controls = [name for names in shown["controls"].values() for name in names]
            whole["arms"] += [
                {"name": name, "task": {"num_steps": 400 * n}} for n, name in enumerate(controls, 1)
            ]
            whole["seeds"] = [0, 1, 2, 3, 4]
        shown = {**whole, **shown}
    parse(SweepConfig, shown, document)


def test_toml_names_groups_of_entry_points() -> None:
    (text,) = _blocks(ROOT / "docs/extending.md", "toml")
    groups = {registry.group for registry in REGISTRIES}
    assert set(tomllib.loads(text)["project"]["entry-points"]) <= groups


def test_there_are_some() -> None:
    assert len(COMMANDS) > 40
    assert len(YAMLS) >= 5
