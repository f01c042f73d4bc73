"""YAML text in, plain values out: `yaml.safe_load`, without what makes a sweep file mean something else.

Differences from `yaml.safe_load`:

- a key that is given twice is refused, with both lines; YAML would silently keep the last;
- a key must be text: YAML takes a bare `1` for a number, `no` for false, and no configuration has such keys;
- `1e-3` is a number, as in YAML 1.2 and JSON; YAML 1.1 takes it for text, since it has no point;
- `${NAME}` and `${NAME:-default}` are filled in from the environment, before it is decided whether a value is
  a number;
- nesting, aliases and sizes are bounded, so that no file exhausts the stack, the memory or patience;
- characters that act on a terminal or a page, such as escapes, are refused.

    >>> parse_yaml("learning_rate: 1e-3\\npath: ${DATA:-/data}/cifar10", variables={})
    {'learning_rate': 0.001, 'path': '/data/cifar10'}
    >>> parse_yaml("seeds: [0]\\nseeds: [1]")
    Traceback (most recent call last):
    ndabench.errors.UserError: lines 1 and 2: the key 'seeds' is given twice; keep one
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode

from ndabench.errors import UserError
from ndabench.foreign_text import acting_problem, shown
from ndabench.regular_files import read_text

MOST_NESTED = 40
"""Lists and mappings inside one another."""
MOST_VALUES = 100_000
"""Keys and values of a file, each counted as often as aliases repeat it."""
MOST_BYTES = 2**18
MOST_DIGITS = 400
"""Of a number; Python itself refuses to write whole numbers of more than 4,300."""

_TEXT_KEYS = {"tag:yaml.org,2002:str", "tag:yaml.org,2002:merge"}
_VARIABLE = re.compile(r"\$\{(?P<name>\w+)(?::-(?P<default>[^}]*))?\}")
_FLOAT_OF_YAML_1_2 = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)[eE][-+]?[0-9]+$")


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file, variables filled in; `UserError`, naming the file, for anything else."""
    data = _parsed(read_text(path, "sweep file", MOST_BYTES), str(path), os.environ)
    if not isinstance(data, dict):
        raise UserError(f"{path}: must hold a mapping of keys to values")
    return data


def parse_file(content: bytes, where: str) -> Any:
    """The value in the content of a YAML file that ndabench wrote; `UserError`, which begins with `where`."""
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise UserError(f"{where}: not a text file in UTF-8") from None
    return _parsed(text, where, None)


def _parsed(text: str, where: str, variables: Mapping[str, str] | None) -> Any:
    try:
        return parse_yaml(text, variables)
    except UserError as error:
        raise UserError(f"{where}: {error}") from None


def parse_yaml(text: str, variables: Mapping[str, str] | None = None) -> Any:
    """The value of a YAML text; `UserError`, which names the line, where it has none.

    `variables` are filled in for `${NAME}`; None leaves the text as it is.
    """
    try:
        loader = _Loader(text, variables)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            _check_size(node, {})
            return loader.construct_document(node)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}: " if mark is not None else ""
        raise UserError(f"{where}not valid YAML ({error.problem})") from None
    except yaml.YAMLError as error:
        raise UserError(f"not valid YAML ({' '.join(str(error).split())})") from None


class _Loader(yaml.SafeLoader):
    def __init__(self, text: str, variables: Mapping[str, str] | None) -> None:
        super().__init__(text)
        self._variables, self._depth = variables, 0

    def compose_node(self, parent: Node | None, index: Any) -> Node | None:
        self._depth += 1
        if self._depth > MOST_NESTED:
            line = _line(self.peek_event())
            raise UserError(f"line {line}: more than {MOST_NESTED} lists and mappings inside one another")
        node: Node | None = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def compose_scalar_node(self, anchor: Any) -> ScalarNode:
        event = self.peek_event()
        if self._variables is not None and "${" in event.value:
            event.value = _filled_in(event.value, self._variables, _line(event))
        if (problem := acting_problem(event.value)) is not None:
            raise UserError(f"line {_line(event)}: {problem}")
        return super().compose_scalar_node(anchor)

    def compose_mapping_node(self, anchor: Any) -> MappingNode:
        node: MappingNode = super().compose_mapping_node(anchor)
        lines: dict[tuple[str, str], int] = {}
        for key, _ in node.value:
            name = (key.tag, key.value) if isinstance(key, ScalarNode) else None
            if name in lines:
                where = f"lines {lines[name]} and {_line(key)}"
                raise UserError(f"{where}: the key {shown(key.value)} is given twice; keep one")
            if name is not None:
                if key.tag not in _TEXT_KEYS:
                    raise UserError(f"line {_line(key)}: the key {shown(key.value)} is no text; use quotes")
                lines[name] = _line(key)
        return node

    def construct_object(self, node: Node, deep: bool = False) -> Any:
        if not isinstance(node, ScalarNode):
            return super().construct_object(node, deep)
        kind = node.tag.rpartition(":")[2]
        try:
            if kind in ("int", "float") and len(node.value) > MOST_DIGITS:
                raise ValueError
            return super().construct_object(node, deep)
        except (ValueError, LookupError, AttributeError):  # month 13, no digits, a !!timestamp of words
            raise UserError(f"line {_line(node)}: {shown(node.value)} is no {kind}") from None


_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT_OF_YAML_1_2, list("-+.0123456789"))


def _line(at: Any) -> int:
    """The line, counted from 1, at which a node or event begins."""
    return int(at.start_mark.line) + 1


def _filled_in(text: str, variables: Mapping[str, str], line: int) -> str:
    def variable(match: re.Match[str]) -> str:
        name, default = match["name"], match["default"]
        if name not in variables and default is None:
            raise UserError(f"line {line}: environment variable {name} is not set (used in {shown(text)})")
        return variables.get(name) or default or ""

    return _VARIABLE.sub(variable, text)


def _check_size(node: Node, sizes: dict[int, tuple[int, int] | None]) -> tuple[int, int]:
    """How many values a node holds, and how deeply nested, aliases followed; `UserError` for too many.

    `sizes` holds the nodes that were counted before, None for those that are being counted.
    """
    if id(node) not in sizes:
        sizes[id(node)] = None
        parts = [part for item in node.value for part in (item if isinstance(item, tuple) else [item])]
        counted = [_check_size(part, sizes) for part in parts] if not isinstance(node, ScalarNode) else []
        sizes[id(node)] = (
            1 + sum(count for count, _ in counted),
            1 + max((deep for _, deep in counted), default=0),
        )
    size = sizes[id(node)]
    if size is None:
        raise UserError(f"line {_line(node)}: an alias refers to the value that contains it")
    if size[0] > MOST_VALUES:
        raise UserError(f"line {_line(node)}: more than {MOST_VALUES:,} values, aliases followed")
    if size[1] > MOST_NESTED:
        raise UserError(f"line {_line(node)}: more than {MOST_NESTED} lists and mappings inside one another")
    return size
