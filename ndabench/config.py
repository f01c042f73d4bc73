"""Reading configuration: YAML and `key=value` in, frozen pydantic models out, one clear line when it fails.

Every configuration class derives from `Config`, is defined next to the code that uses it, and is read through
`parse`, which names the key, the value and what would be right.
"""

import logging
import os
import re
from collections.abc import Mapping, Sequence, Set
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError, model_validator

from ndabench.errors import UserError, nearest, unknown

T = TypeVar("T")

logger = logging.getLogger("ndabench")

MAPPING = "must be a mapping of keys to values"
PLAIN_WORDS = {
    "tuple_type": "must be a list",
    "dict_type": MAPPING,
    "model_type": MAPPING,
    "model_attributes_type": MAPPING,
    "too_short": "must not be empty",
}
"""Replacements for messages of pydantic that mention Python's types."""


class Config(BaseModel):
    """A frozen piece of configuration that refuses unknown keys."""

    RENAMED: ClassVar[Mapping[str, str]] = {}
    """Former names of keys, which are still read for a release, and their names now."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", populate_by_name=True, allow_inf_nan=False, validate_default=True
    )

    @model_validator(mode="before")
    @classmethod
    def _rename_keys(cls, value: Any) -> Any:
        return with_current_names(cls, value) if cls.RENAMED and isinstance(value, Mapping) else value


def with_current_names(kind: type[Config], keys: Mapping[str, Any]) -> dict[str, Any]:
    """`keys` of a `kind` with former names replaced by the current ones; warns once of each.

    Raises `UserError` where both names are there.
    """
    for former, name in kind.RENAMED.items():
        if former in keys and name in keys:
            raise UserError(f"{former} is the former name of {name}; keep {name} and remove {former}")
        if former in keys:
            _warn_of_former_name(former, name)
    return {kind.RENAMED.get(key, key): value for key, value in keys.items()}


@cache
def _warn_of_former_name(former: str, name: str) -> None:
    logger.warning(
        "the key %s is called %s now; the next release will no longer read %s", former, name, former
    )


def named(value: Any) -> Any:
    """`moco` is short for `{name: moco}`: a validator for mappings whose `name` may stand alone."""
    return {"name": value} if isinstance(value, str) else value


class PartError(ValueError):
    """What is wrong in a part whose class was picked while reading; see `registry.OneOf`."""

    def __init__(self, kind: type[Config], error: ValidationError) -> None:
        super().__init__(str(error))
        self.kind, self.error = kind, error


def parse(kind: type[T], data: Any, where: str) -> T:
    """`data` as a `kind` (a `Config` or any type pydantic knows); `UserError` naming the key in `where`."""
    adapter: TypeAdapter[T] = TypeAdapter(kind)
    try:
        return adapter.validate_python(data)
    except ValidationError as error:
        problems = _lines(error, kind, [])
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise UserError(f"{where}: {problems[0]}{more}") from None


def _lines(error: ValidationError, kind: Any, above: list[str]) -> list[str]:
    """A line for each problem with a value of `kind`, which lies below the keys `above`."""
    found = error.errors()
    # A list with a wrong item also counts as too short, since the item was left out.
    whole = [one for one in found if one["type"] != "too_short" or one["input"] in ([], ())] or found
    lines = []
    for problem in whole:
        nested = problem.get("ctx", {}).get("error")
        models, written = _follow(kind, problem["loc"])
        if isinstance(nested, PartError):
            lines += _lines(nested.error, nested.kind, above + written)
        else:
            lines.append(_one_line(problem, models, ".".join(above + written)))
    return lines


def _one_line(problem: Any, models: list[Any], path: str) -> str:
    if problem["type"] == "extra_forbidden":
        known = _field_names(models)
        listed = f" (known: {', '.join(known)})" if known else ""
        return f"unknown key {path!r}{nearest(str(problem['loc'][-1]), known)}{listed}"
    if problem["type"] == "missing":
        return f"{path!r} is missing"
    if problem["type"].startswith("union_tag"):
        return _wrong_tag(problem, path)
    message = PLAIN_WORDS.get(problem["type"], problem["msg"].removeprefix("Value error, "))
    message = message[0].lower() + message[1:]
    if problem["type"] == "value_error":
        return f"{path}: {message}" if path else message
    return f"{path}: {message}, got {problem['input']!r}" if path else f"{message}, got {problem['input']!r}"


def _wrong_tag(problem: Any, path: str) -> str:
    """The line for a discriminated union whose discriminating key is absent or holds no known name."""
    context = problem["ctx"]
    key = ".".join(filter(None, [path, context["discriminator"].strip("'")]))
    if problem["type"] == "union_tag_not_found":
        return f"{key!r} is missing"
    known = re.findall("'([^']*)'", context["expected_tags"])
    return f"{key}: {unknown('name', context['tag'], known)}"


def _follow(kind: Any, location: tuple[Any, ...]) -> tuple[list[Any], list[str]]:
    """The models at `location` inside `kind`, as far as it leads, and its parts as a user wrote them.

    pydantic puts the name of a union's member into a location; the user wrote no such key.
    """
    models = [kind] if isinstance(kind, type) else _models_in(kind)
    written: list[str] = []
    for part in location:
        of_models = [getattr(model, "model_fields", {}) for model in models]
        fields = [fields[part] for fields in of_models if part in fields]
        members = [model for model in models if part in (model.__name__, _tag(model))]
        if fields or not members:
            written.append(str(part))
        models = [model for field in fields for model in _models_in(field.annotation)] or members or models
    return models, written


def _field_names(models: list[Any]) -> list[str]:
    names = {field.alias or name for m in models for name, field in getattr(m, "model_fields", {}).items()}
    return sorted(names)


def _tag(model: Any) -> Any:
    field = getattr(model, "model_fields", {}).get("name")
    return field.default if field is not None else None


def _models_in(annotation: Any) -> list[Any]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models_in(part)]


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file, with `${NAME}` and `${NAME:-default}` filled in from the environment."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: not a text file in UTF-8") from None
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UserError(f"{path}: not valid YAML ({' '.join(str(error).split())})") from None
    if not isinstance(data, dict):
        raise UserError(f"{path}: must hold a mapping of keys to values")
    return {key: _fill_in(value, path) for key, value in data.items()}


def _fill_in(value: Any, path: Path) -> Any:
    if isinstance(value, dict):
        return {key: _fill_in(item, path) for key, item in value.items()}
    if isinstance(value, list):
        return [_fill_in(item, path) for item in value]
    if not isinstance(value, str):
        return value

    def variable(match: re.Match[str]) -> str:
        name, default = match["name"], match["default"]
        if name not in os.environ and default is None:
            raise UserError(f"{path}: environment variable {name} is not set (used in {value!r})")
        return os.environ.get(name) or default or ""

    return re.sub(r"\$\{(?P<name>\w+)(?::-(?P<default>[^}]*))?\}", variable, value)


def override(data: Mapping[str, Any], assignments: list[str]) -> dict[str, Any]:
    """`data` with every `dotted.key=value` set; values are YAML, so `seeds=[0,1]` is a list."""
    result = dict(data)
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals or not key:
            raise UserError(f"--set {assignment}: must look like key=value, for example task.num_steps=500")
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError:
            raise UserError(f"--set {assignment}: the value is not valid YAML") from None
        result = with_value(result, key.split("."), value, f"--set {assignment}")
    return result


def with_value(data: Any, path: Sequence[str], value: Any, where: str) -> dict[str, Any]:
    """The mapping `data` with `value` at the end of `path`.

    `UserError`, beginning with `where`, for a path through something else than mappings.
    """
    if not isinstance(data, Mapping):
        raise UserError(f"{where}: there is nothing to set below {path[0]!r}'s parent")
    head, *rest = path
    return {**data, head: with_value(data.get(head) or {}, rest, value, where) if rest else value}


def value_at(data: Any, path: Sequence[str]) -> Any:
    """The value at the end of `path` in nested mappings."""
    for key in path:
        data = data[key]
    return data


def without(keys: Set[str], value: Any) -> Any:
    """`value`, such as a dumped configuration, with the `keys` left out of its mappings, however deep."""
    if not isinstance(value, Mapping):
        return value
    return {key: without(keys, item) for key, item in value.items() if key not in keys}
