"""How a sweep file names a negative: a name, a name with parameters, a mixture, or a chain.

    jigsaw
    {name: jigsaw, grid: 4, variant: released}
    {mixture: {jigsaw: 0.5, cutout: 0.5}}
    {mixture: [{of: {name: jigsaw, grid: 4}, weight: 0.7}, {of: cutout, weight: 0.3}]}
    {chain: [jigsaw, {name: rotate, degrees: 30}]}
    {chain: [{name: jigsaw, per: frame}, shuffle_blocks]}

`NegativeSpec` is the type to give a field of a `Config`; it reads any of these forms, nested as deep as one
likes, and dumps one canonical form that it reads again, in which a parameter at its default does not stand.
Reading knows the negatives for images and for clips, since a negative does not know its task: `build` refuses
what images or clips do not have, `check` what does not fit their size.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from types import NoneType
from typing import Annotated, Any, Literal, TypeAlias, get_args, get_origin

import torch
from pydantic import PlainSerializer, PlainValidator, TypeAdapter, ValidationError
from torch import Tensor

from ndabench.augmentations import (
    CLIP_NEGATIVES,
    NEGATIVES,
    RELEASED,
    Augmentation,
    chain,
    check_weights,
    mixture,
)
from ndabench.errors import UserError, nearest, unknown

Variant = Literal["corrected", "released"]
Rule = Literal["corrected", "released", "clips"]
"""How negatives are built that name no variant: by the corrected rules for images, by the released ones where
they exist, or by the rules for clips."""
_REGISTRIES: dict[Rule, Mapping[str, Callable[..., Tensor]]] = {
    "corrected": NEGATIVES,
    "released": RELEASED,
    "clips": CLIP_NEGATIVES,
}


@dataclass(frozen=True)
class Single:
    """One negative of the registry. `parameters` holds the names and values that differ from the defaults."""

    name: str
    variant: Variant | None = None
    parameters: tuple[tuple[str, float | str | None], ...] = ()

    def build(self, rule: Rule = "corrected") -> Augmentation:
        """The augmentation by `rule`, or by its own `variant`; `UserError` for what the rule has not."""
        if rule == "clips" and self.variant == "released":
            raise UserError(f"{self.name}: the released code has no rules for clips; leave its variant out")
        if rule != "clips":
            if self.name not in NEGATIVES:
                raise UserError(
                    f"{self.name}: is for clips alone (for images: {', '.join(sorted(NEGATIVES))})"
                )
            rule = self.variant or (rule if self.name in RELEASED else "corrected")
        parameters = dict(self.parameters)
        _check_names(self.name, rule, parameters)
        return partial(_REGISTRIES[rule][self.name], **parameters)

    @property
    def label(self) -> str:
        settings = ", ".join(f"{key}={_shown(value)}" for key, value in self.parameters)
        return (
            self.name + (f"({settings})" if settings else "") + (f"[{self.variant}]" if self.variant else "")
        )

    def dump(self) -> dict[str, Any]:
        return (
            {"name": self.name} | ({"variant": self.variant} if self.variant else {}) | dict(self.parameters)
        )


@dataclass(frozen=True)
class Mixture:
    """One of `members` per image or clip, drawn in proportion to `weights`."""

    members: tuple["Negative", ...]
    weights: tuple[float, ...]

    def build(self, rule: Rule = "corrected") -> Augmentation:
        return mixture([member.build(rule) for member in self.members], self.weights)

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
    """All of `links` on every image or clip, in order."""

    links: tuple["Negative", ...]

    def build(self, rule: Rule = "corrected") -> Augmentation:
        return chain([link.build(rule) for link in self.links])

    @property
    def label(self) -> str:
        return ">".join(_part(link) for link in self.links)

    def dump(self) -> dict[str, Any]:
        return {"chain": [link.dump() for link in self.links]}


Negative: TypeAlias = Single | Mixture | Chain


def registered(rule: Rule) -> list[Single]:
    """Every negative for images, corrected and released, or for clips, drawn once for a clip and for each
    frame."""
    if rule == "clips":
        return [
            *map(Single, CLIP_NEGATIVES),
            *(Single(name, None, (("per", "frame"),)) for name in NEGATIVES),
        ]
    return [*map(Single, NEGATIVES), *(Single(name, "released") for name in RELEASED)]


def check(negative: Negative, shape: tuple[int, ...], rule: Rule = "corrected") -> None:
    """`UserError` when images `(C, H, W)`, or clips `(C, T, H, W)` by the rule "clips", do not fit the
    negative, or a parameter is out of its range."""
    blank = torch.zeros(2, *shape, dtype=torch.uint8)
    negative.build(rule)(blank, generator=torch.Generator())


def resolve(negative: Negative, rule: Rule) -> Negative:
    """`negative` with the rule that `build` would take for it named, where that is the released one."""
    if isinstance(negative, Mixture):
        return replace(negative, members=tuple(resolve(m, rule) for m in negative.members))
    if isinstance(negative, Chain):
        return replace(negative, links=tuple(resolve(link, rule) for link in negative.links))
    released = negative.variant is None and rule == "released" and negative.name in RELEASED
    return replace(negative, variant="released") if released else negative


def _part(negative: Negative) -> str:
    return negative.label if isinstance(negative, Single) else f"({negative.label})"


def _shown(value: float | str | None) -> str:
    return f"{value:g}" if isinstance(value, int | float) else str(value)


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
    if not isinstance(name, str) or name not in CLIP_NEGATIVES:
        raise unknown("negative", str(name), CLIP_NEGATIVES)
    parameters = dict(settings)
    variant = parameters.pop("variant", None)
    if variant is not None and variant not in get_args(Variant):
        raise UserError(f"{name}: variant must be corrected or released, got {variant!r}")
    if variant == "released" and name not in RELEASED:
        raise UserError(f"{name}: the released code has no such rule (it has: {', '.join(sorted(RELEASED))})")
    # The rules for clips have every parameter of the corrected ones for images, and `per`.
    known = _check_names(name, "released" if variant == "released" else "clips", parameters)
    checked = [(key, _typed(name, known[key], parameters[key])) for key in known if key in parameters]
    return Single(name, variant, tuple((key, value) for key, value in checked if value != known[key].default))


def _check_names(name: str, rule: Rule, parameters: Mapping[str, Any]) -> dict[str, inspect.Parameter]:
    """The parameters that a rule has beside its images or clips and the generator; `UserError` for others."""
    signature = inspect.signature(_REGISTRIES[rule][name]).parameters
    known = {key: p for key, p in signature.items() if key not in ("images", "clips", "generator")}
    for key in parameters:
        if key not in known:
            listed = f"known: {', '.join(known)}" if known else "it has none"
            where = {"corrected": f"{name} for images", "released": f"{name}[released]", "clips": name}[rule]
            raise UserError(f"{where}: unknown parameter {key!r}{nearest(str(key), known)} ({listed})")
    return known


def _typed(name: str, parameter: inspect.Parameter, value: Any) -> Any:
    try:
        return TypeAdapter(parameter.annotation).validate_python(value, strict=True)
    except ValidationError:
        right = _in_words(parameter.annotation)
        raise UserError(f"{name}: {parameter.name} must be {right}, got {value!r}") from None


def _in_words(annotation: Any) -> str:
    """What a parameter of this type may be: a number, one of some words, null, or either of such."""
    parts = get_args(annotation)
    if get_origin(annotation) is Literal:
        return " or ".join(parts)
    if parts:
        return " or ".join(map(_in_words, parts))
    return {int: "a whole number", float: "a number", NoneType: "null"}[annotation]


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
    weights = tuple(float(weight) for _, weight in pairs)
    check_weights(weights, len(pairs))
    return Mixture(tuple(_read(of) for of, _ in pairs), weights)


def _read_chain(value: Any) -> Chain:
    if not isinstance(value, list | tuple) or not value:
        raise UserError(f"a chain is a list of negatives, got {value!r}")
    return Chain(tuple(_read(link) for link in value))


NegativeSpec = Annotated[
    Negative,
    PlainValidator(_read),
    PlainSerializer(lambda negative: negative.dump(), return_type=dict[str, Any]),
]
