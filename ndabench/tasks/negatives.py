"""How a sweep file names a negative: a name, a name with parameters, a mixture, or a chain.

    jigsaw
    {name: jigsaw, grid: 4, variant: released}
    {mixture: {jigsaw: 0.5, cutout: 0.5}}
    {mixture: [{of: {name: jigsaw, grid: 4}, weight: 0.7}, {of: cutout, weight: 0.3}]}
    {chain: [jigsaw, {name: rotate, degrees: 30}]}

`NegativeSpec` is the type to give a field of a `Config`; it reads any of these forms, nested as deep as one
likes, and dumps one canonical form that it reads again. Everything that does not depend on the images' size
is checked on reading; `check` does the rest.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, Any, Literal, TypeAlias, get_args

import torch
from pydantic import PlainSerializer, PlainValidator, TypeAdapter, ValidationError
from torch import Tensor

from ndabench.augmentations import NEGATIVES, RELEASED, Augmentation, chain, mixture
from ndabench.errors import UserError, nearest, unknown

Variant = Literal["corrected", "released"]
_REGISTRIES: dict[Variant, Mapping[str, Callable[..., Tensor]]] = {
    "corrected": NEGATIVES,
    "released": RELEASED,
}


@dataclass(frozen=True)
class Single:
    """One negative of the registry. `parameters` holds the names and values that differ from the defaults."""

    name: str
    variant: Variant | None = None
    parameters: tuple[tuple[str, float], ...] = ()

    def build(self, variant_default: Variant = "corrected") -> Augmentation:
        """The augmentation; without a `variant` of its own it takes the default one, where that exists."""
        variant = self.variant or (variant_default if self.name in RELEASED else "corrected")
        function = _REGISTRIES[variant][self.name]
        parameters = dict(self.parameters)
        _check_names(self.name, variant, parameters)
        return partial(function, **parameters)

    @property
    def label(self) -> str:
        settings = ", ".join(f"{key}={value:g}" for key, value in self.parameters)
        return (
            self.name + (f"({settings})" if settings else "") + (f"[{self.variant}]" if self.variant else "")
        )

    def dump(self) -> dict[str, Any]:
        return (
            {"name": self.name} | ({"variant": self.variant} if self.variant else {}) | dict(self.parameters)
        )


@dataclass(frozen=True)
class Mixture:
    """One of `members` per image, drawn in proportion to `weights`."""

    members: tuple["Negative", ...]
    weights: tuple[float, ...]

    def build(self, variant_default: Variant = "corrected") -> Augmentation:
        return mixture([member.build(variant_default) for member in self.members], self.weights)

    @property
    def label(self) -> str:
        """Weights are shown where they differ."""
        even = len(set(self.weights)) == 1
        weights = ["" if even else f"*{weight:g}" for weight in self.weights]
        return "+".join(_part(m) + weight for m, weight in zip(self.members, weights, strict=True))

    def dump(self) -> dict[str, Any]:
        pairs = zip(self.members, self.weights, strict=True)
        return {"mixture": [{"of": member.dump(), "weight": weight} for member, weight in pairs]}


@dataclass(frozen=True)
class Chain:
    """All of `links` on every image, in order."""

    links: tuple["Negative", ...]

    def build(self, variant_default: Variant = "corrected") -> Augmentation:
        return chain([link.build(variant_default) for link in self.links])

    @property
    def label(self) -> str:
        return ">".join(_part(link) for link in self.links)

    def dump(self) -> dict[str, Any]:
        return {"chain": [link.dump() for link in self.links]}


Negative: TypeAlias = Single | Mixture | Chain


def check(
    negative: Negative, image_shape: tuple[int, int, int], variant_default: Variant = "corrected"
) -> None:
    """`UserError` when images `(C, H, W)` do not fit the negative or a parameter is out of its range."""
    blank = torch.zeros(2, *image_shape, dtype=torch.uint8)
    negative.build(variant_default)(blank, generator=torch.Generator())


def resolve(negative: Negative, variant_default: Variant) -> Negative:
    """`negative` with the rule that `build` would take for it named, where that is the released one."""
    if isinstance(negative, Mixture):
        return replace(negative, members=tuple(resolve(m, variant_default) for m in negative.members))
    if isinstance(negative, Chain):
        return replace(negative, links=tuple(resolve(link, variant_default) for link in negative.links))
    released = negative.variant is None and variant_default == "released" and negative.name in RELEASED
    return replace(negative, variant="released") if released else negative


def _part(negative: Negative) -> str:
    return negative.label if isinstance(negative, Single) else f"({negative.label})"


def _read(value: Any) -> Negative:
    """Any of the forms above as a `Negative`; `UserError` (a `ValueError`) saying what would be right."""
    if isinstance(value, Negative):
        return value
    if isinstance(value, str):
        return _read_single(value, {})
    if isinstance(value, Mapping):
        forms = [form for form in ("name", "mixture", "chain") if form in value]
        if forms == ["name"]:
            return _read_single(value["name"], {k: v for k, v in value.items() if k != "name"})
        if len(forms) == 1 and len(value) == 1:
            return (_read_mixture if forms == ["mixture"] else _read_chain)(value[forms[0]])
    raise UserError(
        f"a negative is a name, {{name: …}} with parameters, {{mixture: …}} or {{chain: …}}, got {value!r}"
    )


def _read_single(name: Any, settings: Mapping[str, Any]) -> Single:
    if not isinstance(name, str) or name not in NEGATIVES:
        raise unknown("negative", str(name), NEGATIVES)
    parameters = dict(settings)
    variant = parameters.pop("variant", None)
    if variant is not None and variant not in get_args(Variant):
        raise UserError(f"{name}: variant must be corrected or released, got {variant!r}")
    if variant == "released" and name not in RELEASED:
        raise UserError(f"{name}: the released code has no such rule (it has: {', '.join(sorted(RELEASED))})")
    known = _check_names(name, variant or "corrected", parameters)
    checked = [(key, _typed(name, known[key], parameters[key])) for key in known if key in parameters]
    return Single(name, variant, tuple((key, value) for key, value in checked if value != known[key].default))


def _check_names(name: str, variant: Variant, parameters: Mapping[str, Any]) -> dict[str, inspect.Parameter]:
    """The parameters that the function has beside images and generator; `UserError` for one it has not."""
    signature = inspect.signature(_REGISTRIES[variant][name]).parameters
    known = {key: p for key, p in signature.items() if key not in ("images", "generator")}
    for key in parameters:
        if key not in known:
            listed = f"known: {', '.join(known)}" if known else "it has none"
            rule = f"{name}[released]" if variant == "released" else name
            raise UserError(f"{rule}: unknown parameter {key!r}{nearest(str(key), known)} ({listed})")
    return known


def _typed(name: str, parameter: inspect.Parameter, value: Any) -> Any:
    try:
        return TypeAdapter(parameter.annotation).validate_python(value, strict=True)
    except ValidationError:
        kind = "a whole number" if parameter.annotation is int else "a number"
        raise UserError(f"{name}: {parameter.name} must be {kind}, got {value!r}") from None


def _read_mixture(value: Any) -> Mixture:
    if isinstance(value, Mapping):
        pairs = list(value.items())
    elif isinstance(value, list | tuple) and all(
        isinstance(item, Mapping) and set(item) == {"of", "weight"} for item in value
    ):
        pairs = [(item["of"], item["weight"]) for item in value]
    else:
        raise UserError(f"a mixture is {{name: weight, …}} or [{{of: …, weight: …}}, …], got {value!r}")
    for _, weight in pairs:
        if isinstance(weight, bool) or not isinstance(weight, int | float):
            raise UserError(f"mixture: a weight must be a number, got {weight!r}")
    spec = Mixture(tuple(_read(of) for of, _ in pairs), tuple(float(weight) for _, weight in pairs))
    spec.build()
    return spec


def _read_chain(value: Any) -> Chain:
    if not isinstance(value, list | tuple) or not value:
        raise UserError(f"a chain is a list of negatives, got {value!r}")
    return Chain(tuple(_read(link) for link in value))


NegativeSpec = Annotated[
    Negative,
    PlainValidator(_read),
    PlainSerializer(lambda negative: negative.dump(), return_type=dict[str, Any]),
]
