"""Reading configuration: YAML and `key=value` in, frozen pydantic models out, one clear line when it fails.

Every configuration class derives from `Config`, is defined next to the code that uses it, and is read through
`parse`, which names the key, the value and what would be right.

    >>> class SgdConfig(Config):
    ...     learning_rate: float = Field(0.1, gt=0, le=10)
    >>> parse(SgdConfig, {"learning_rate": 0.03}, "sweep.yaml")
    SgdConfig(learning_rate=0.03)
    >>> parse(SgdConfig, {"learnin_rate": 0.03}, "sweep.yaml")
    Traceback (most recent call last):
    ndabench.errors.UserError: sweep.yaml: unknown key 'learnin_rate'; did you mean 'learning_rate'? ...
"""

import logging
import re
from collections.abc import Iterator, Mapping, Sequence, Set
from functools import cache
from pathlib import PurePath
from typing import Annotated, Any, ClassVar, TypeVar, get_args, get_origin

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    model_validator,
)
from pydantic_core import PydanticCustomError, PydanticSerializationError

from ndabench.errors import UserError, listed, nearest, unknown
from ndabench.foreign_text import LONGEST_LINE, acting_problem, shortened, shown, shown_text
from ndabench.yaml_reading import MOST_NESTED, parse_yaml

T = TypeVar("T")

logger = logging.getLogger("ndabench")

Steps = Annotated[int, Field(ge=0, le=10**9)]
"""A number of training steps."""
SomeSteps = Annotated[int, Field(ge=1, le=10**9)]
Size = Annotated[int, Field(ge=1, le=2**16)]
"""A number of channels, dimensions, splits and the like."""
BatchSize = Annotated[int, Field(ge=2, le=2**20)]
Count = Annotated[int, Field(ge=1, le=10**6)]
"""A number of epochs, iterations, neighbours and the like."""
Positive = Annotated[float, Field(ge=1e-12, le=1e6)]
"""A rate, a weight or a temperature that float32 can compute with."""
NonNegative = Annotated[float, Field(ge=0, le=1e6)]
Share = Annotated[float, Field(ge=0, le=1)]
Penalties = Annotated[tuple[Positive, ...], Field(min_length=1, max_length=100)]
"""Strengths of a classifier's L2 penalty, of which the best is chosen."""
Temperature = Annotated[float, Field(ge=1e-3, le=1e3)]
Milestones = Annotated[tuple[Annotated[float, Field(gt=0, lt=1)], ...], Field(max_length=100)]
"""Shares of a training after which something changes."""
Momentum = Annotated[float, Field(ge=0, lt=1)]
"""The share of an old value in a moving average; also the probability of a dropout."""
Seed = Annotated[int, Field(ge=0, lt=2**32)]
"""Every random generator that is used takes such a seed."""

LARGEST_NUMBER = 2**63
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
    """Former names of keys, which are still read for a release, and their names now.

    A name with a dot is that of a key in a nested configuration: `ema.decay`.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", populate_by_name=True, allow_inf_nan=False, validate_default=True
    )

    @model_validator(mode="before")
    @classmethod
    def _current_names_and_numbers(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        keys = with_current_names(cls, value) if cls.RENAMED else value
        allowed_in = _number_fields(cls)
        for key in keys:
            if key in allowed_in and (problem := _wrong_number(keys[key], allowed_in[key])) is not None:
                raise PydanticCustomError("no_number", "{problem}", {"key": key, "problem": problem})
        return keys

    def model_dump(self, **options: Any) -> dict[str, Any]:
        """As pydantic does it, but a Ctrl-C during a serializer of ours remains a `KeyboardInterrupt`."""
        try:
            return super().model_dump(**options)
        except PydanticSerializationError as error:
            if isinstance(error.__cause__, KeyboardInterrupt):
                raise error.__cause__ from None
            raise


@cache
def _number_fields(kind: type[Config]) -> Mapping[str, frozenset[type]]:
    """For each key of a `kind` that holds numbers: which of numbers, truth values and text it may hold."""
    types = {name: frozenset(_simple_types(field.annotation)) for name, field in kind.model_fields.items()}
    aliases = {field.alias: name for name, field in kind.model_fields.items() if field.alias}
    numbers = {name: found for name, found in types.items() if found & {int, float}}
    return numbers | {alias: numbers[name] for alias, name in aliases.items() if name in numbers}


def _simple_types(annotation: Any) -> Iterator[type]:
    """The `int`, `float`, `bool` and `str` in an annotation, however deep; not those of mappings' keys."""
    if annotation in (int, float, bool, str):
        yield annotation
    arguments = get_args(annotation)
    of_mapping = isinstance(get_origin(annotation), type) and issubclass(get_origin(annotation), Mapping)
    for argument in arguments[1:] if of_mapping else arguments:
        yield from _simple_types(argument)


def _wrong_number(value: Any, allowed: frozenset[type]) -> str | None:
    """What is wrong with a number, or with the first wrong one in a list or mapping; None if nothing is."""
    if isinstance(value, list | tuple | Mapping):
        items = value.values() if isinstance(value, Mapping) else value
        return next(filter(None, (_wrong_number(item, allowed) for item in items)), None)
    if isinstance(value, bool):
        return None if bool in allowed else f"must be a number, got {value}"
    if isinstance(value, int):
        return None if abs(value) < LARGEST_NUMBER else f"the number {shown(value)} is too large"
    if isinstance(value, str) and str not in allowed and _reads_as_number(value):
        return f"must be a number, got the text {shown(value)}; remove the quotes"
    return None


def _reads_as_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def with_current_names(
    kind: type[Config], keys: Mapping[str, Any], *, dotted: bool = False
) -> dict[str, Any]:
    """`keys` of a `kind` with former names replaced by the current ones; warns once of each.

    A current name with a dot becomes a key of the nested mapping or, if `keys` are `dotted`, stays as it is.
    Raises `UserError` where both names are there.
    """
    given = {former: name for former, name in kind.RENAMED.items() if former in keys}
    current: dict[str, Any] = {
        given.get(key, key): value for key, value in keys.items() if dotted or "." not in given.get(key, key)
    }
    for former, name in given.items():
        path = [name] if dotted else name.split(".")
        if _holds(keys, path):
            raise UserError(f"{former} is the former name of {name}; keep {name} and remove {former}")
        _warn_of_former_name(former, name)
        if len(path) > 1:
            current = with_value(current, path, keys[former], former)
    return current


def _holds(data: Any, path: Sequence[str]) -> bool:
    """Whether nested mappings have the key at the end of `path`."""
    head, *rest = path
    return isinstance(data, Mapping) and head in data and (not rest or _holds(data[head], rest))


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
    """`data` as a `kind` (a `Config` or any type pydantic knows); `UserError` naming the key in `where`.

    Texts with characters that act on a terminal or a page are refused, as they are in YAML.
    """
    for path, text in _texts(data, ()):
        if (problem := acting_problem(text)) is not None:
            raise UserError(": ".join([where, *([shown_text(".".join(path))] if path else []), problem]))
    adapter: TypeAdapter[T] = TypeAdapter(kind)
    try:
        return adapter.validate_python(data)
    except ValidationError as error:
        problems = _lines(error, kind, [])
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise UserError(f"{where}: {shortened(problems[0], LONGEST_LINE)}{more}") from None


def _texts(data: Any, above: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Every text in nested mappings and lists, keys included, with the keys above it."""
    if isinstance(data, str | PurePath):
        yield above, str(data)
    elif isinstance(data, Mapping):
        for key, value in data.items():
            yield from _texts(key, above)
            yield from _texts(value, (*above, str(key)))
    elif isinstance(data, list | tuple):
        for place, value in enumerate(data):
            yield from _texts(value, (*above, str(place)))


def _lines(error: ValidationError, kind: Any, above: list[str]) -> list[str]:
    """A line for each problem with a value of `kind` that was found below the keys `above`."""
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
        return f"unknown key {shown(path)}{nearest(str(problem['loc'][-1]), known)}{listed(known)}"
    if problem["type"] == "missing":
        return f"{path!r} is missing"
    if problem["type"].startswith("union_tag"):
        return _wrong_tag(problem, path)
    message = PLAIN_WORDS.get(problem["type"], problem["msg"].removeprefix("Value error, "))
    message = message[0].lower() + message[1:]
    if problem["type"] == "no_number":
        path = ".".join(filter(None, [path, problem["ctx"]["key"]]))
    elif problem["type"] != "value_error":
        message = f"{message}, got {shown(problem['input'])}"
    return f"{shown_text(path)}: {message}" if path else message


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


def override(data: Mapping[str, Any], assignments: list[str]) -> dict[str, Any]:
    """`data` with every `dotted.key=value` set; values are YAML, so `seeds=[0,1]` is a list."""
    result = dict(data)
    for assignment in assignments:
        where = f"--set {shown_text(assignment)}"
        key, equals, text = assignment.partition("=")
        if not equals or not key:
            raise UserError(
                f"--set {shown_text(assignment)}: must look like key=value, for example task.num_steps=500"
            )
        where = f"--set {shown_text(assignment)}"
        path = key.split(".")
        if len(path) > MOST_NESTED:
            raise UserError(f"{where}: more than {MOST_NESTED} keys inside one another")
        try:
            value = parse_yaml(text)
        except UserError as error:
            raise UserError(f"{where}: {error}") from None
        result = with_value(result, path, value, where)
    return result


def with_value(data: Any, path: Sequence[str], value: Any, where: str) -> dict[str, Any]:
    """The mapping `data` with `value` at the end of `path`.

    `UserError`, beginning with `where`, for a path that leads through anything but mappings.
    """
    if not isinstance(data, Mapping):
        raise UserError(f"{where}: the key above {path[0]!r} does not hold a mapping")
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
