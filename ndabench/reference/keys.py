"""The keys of a configuration class: type, range, default and meaning, each as it is written in the class."""

import ast
import inspect
import textwrap
import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from ndabench.augmentations.specification import Chain, FromConfig, Mixture, Single
from ndabench.config import Config
from ndabench.registry import OneOf

WORDS: Mapping[Any, str] = {
    int: "whole number",
    float: "number",
    str: "text",
    bool: "true or false",
    Path: "path",
    type(None): "null",
    Any: "anything",
    **dict.fromkeys((Single, FromConfig, Mixture, Chain), "negative"),
}


@dataclass(frozen=True)
class Key:
    """One key of a sweep file."""

    name: str
    holds: str
    default: str
    """As YAML; `required` where there is none."""
    meaning: str
    choices: Mapping[str, type[Config]]
    """The configurations that it may hold, by name; a single one that needs no name has the empty name."""


@dataclass(frozen=True)
class Named:
    """A name of a registry with the keys that it may have."""

    title: str
    meaning: str
    keys: Sequence[Key]


def keys_of(config: type[Config]) -> list[Key]:
    """The keys in the order of the class, those of its bases first; not `name`, which chose the class."""
    documents = _documents(config)
    chosen_by = {"name"} if get_origin(_annotation(config, "name")) is Literal else set()
    return [
        Key(
            name=field.alias or name,
            holds=_type(field.annotation, field.metadata),
            default=_default(field),
            meaning=documents.get(name, ""),
            choices=dict(_choices(field)),
        )
        for name, field in config.model_fields.items()
        if name not in chosen_by
    ]


def _annotation(config: type[Config], name: str) -> Any:
    field = config.model_fields.get(name)
    return field.annotation if field is not None else None


@cache
def _documents(config: type[Config]) -> Mapping[str, str]:
    """The strings below the fields, in the class and its bases."""
    found: dict[str, str] = {}
    for one in reversed(config.__mro__):
        if not issubclass(one, Config) or one is Config:
            continue
        (body,) = ast.parse(textwrap.dedent(inspect.getsource(one))).body
        assert isinstance(body, ast.ClassDef)
        for field, below in pairwise(body.body):
            text = _text(below)
            if text and isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
                found[field.target.id] = " ".join(text.split())
    return found


def _text(node: ast.stmt) -> str | None:
    if not isinstance(node, ast.Expr) or not isinstance(node.value, ast.Constant):
        return None
    return node.value.value if isinstance(node.value.value, str) else None


def _type(annotation: Any, metadata: Sequence[Any] = ()) -> str:
    """`whole number, 1 to 65536`; `number or null`; `list of text`; `one of: hinge, wasserstein_gp`."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type(arguments[0], [*arguments[1:], *metadata])
    one_of = next((entry for entry in metadata if isinstance(entry, OneOf)), None)
    if one_of is not None:
        return "one of: " + ", ".join(one_of.classes())
    if origin is Literal:
        return "one of: " + ", ".join(str(value) for value in arguments)
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(_type(argument, metadata) for argument in arguments))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return "mapping"
    if isinstance(origin, type) and issubclass(origin, Sequence):
        kinds = list(dict.fromkeys(_type(argument) for argument in arguments if argument is not ...))
        return f"list of {' and '.join(kinds)}" if kinds else "list"
    if isinstance(annotation, type) and issubclass(annotation, Config):
        return "mapping"
    return WORDS.get(annotation, "see docs") + (_range(metadata) if annotation in (int, float) else "")


def _range(metadata: Sequence[Any]) -> str:
    """`, 1 to 10` or `, above 0`."""
    bounds: dict[str, Any] = {}
    for entry in _flat(metadata):
        for name in ("ge", "gt", "le", "lt"):
            if getattr(entry, name, None) is not None:
                bounds[name] = getattr(entry, name)
    words = {"ge": "", "gt": "above ", "le": "", "lt": "below "}
    low, high = (
        next((f"{words[name]}{_number(bounds[name])}" for name in pair if name in bounds), "")
        for pair in (("ge", "gt"), ("le", "lt"))
    )
    return ", " + " to ".join(filter(None, (low, high))) if low or high else ""


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


def _flat(metadata: Sequence[Any]) -> Iterator[Any]:
    for entry in metadata:
        yield from _flat(entry.metadata) if isinstance(entry, FieldInfo) else [entry]


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    return _as_yaml(field.get_default(call_default_factory=True, validated_data={}))


def _as_yaml(value: Any) -> str:
    if isinstance(value, Config):
        name = getattr(value, "name", None)
        value = {
            **({"name": name} if isinstance(name, str) else {}),
            **value.model_dump(mode="json", exclude_defaults=True),
        }
        if list(value) == ["name"]:
            return str(value["name"])
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(_as_yaml, value))}]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_as_yaml(one)}" for key, one in value.items()) + "}"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _choices(field: FieldInfo) -> Iterator[tuple[str, type[Config]]]:
    yield from _choices_in(field.annotation, field.metadata)


def _choices_in(annotation: Any, metadata: Sequence[Any] = ()) -> Iterator[tuple[str, type[Config]]]:
    for entry in metadata:
        if isinstance(entry, OneOf):
            yield from entry.classes().items()
            return
    if isinstance(annotation, type) and get_origin(annotation) is None:
        if issubclass(annotation, Config):
            yield "", annotation
        return
    arguments = get_args(annotation)
    if get_origin(annotation) is Annotated:
        yield from _choices_in(arguments[0], arguments[1:])
        return
    for argument in arguments:
        yield from _choices_in(argument)
