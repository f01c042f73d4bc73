"""How a sweep file names a negative: a name, a name with parameters, a mixture, or a chain.

    jigsaw
    {name: jigsaw, grid: 4, variant: released}
    {mixture: {jigsaw: 0.5, cutout: 0.5}}
    {mixture: [{of: {name: jigsaw, grid: 4}, weight: 0.7}, {of: cutout, weight: 0.3}]}
    {chain: [jigsaw, {name: rotate, degrees: 30}]}
    {chain: [{name: jigsaw, per: frame}, shuffle_blocks]}
    {name: dataset, data: {name: dots, count: [4, 5, 7]}}

`NegativeSpec` is the type to give a field of a `Config`. It reads any of these forms, nested to any depth,
and dumps one canonical form, which it reads again and which leaves out parameters at their defaults. Reading
does not know the task, and so accepts negatives for images and for clips: `build` refuses those that the
task's rule does not have, `check` those that do not fit the size of its images or clips. Reading imports no
torch.

    >>> import torch
    >>> from ndabench.config import parse
    >>> negative = parse(NegativeSpec, {"mixture": {"jigsaw": 1, "cutout": 3}}, "sweep.yaml")
    >>> negative.label
    'jigsaw*1+cutout*3'
    >>> negative.dump()
    {'mixture': [{'of': {'name': 'jigsaw'}, 'weight': 1.0}, {'of': {'name': 'cutout'}, 'weight': 3.0}]}
    >>> negative.build("corrected")(torch.zeros(8, 3, 32, 32), generator=torch.Generator()).shape
    torch.Size([8, 3, 32, 32])
    >>> check(negative, (3, 33, 33))
    Traceback (most recent call last):
    ndabench.errors.UserError: jigsaw: a grid of 2 does not divide images of 33×33; ...
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias, get_args

from pydantic import PlainSerializer, PlainValidator

from ndabench.augmentations.registry import (
    NEGATIVES,
    ConfiguredNegative,
    Implementation,
    Parameter,
    Rule,
    check_weights,
    having,
)
from ndabench.config import parse
from ndabench.errors import UserError, nearest
from ndabench.foreign_text import shown
from ndabench.registry import load

if TYPE_CHECKING:
    from ndabench.augmentations.compose import Augmentation

Variant = Literal["corrected", "released"]
RULES_OF: Mapping[Rule, str] = {
    "corrected": "images",
    "clips": "clips",
    "pairs": "pairs of images",
    "points": "points",
}
"""What the rules apply to that a negative may have besides the released one."""


@dataclass(frozen=True)
class Single:
    """One negative of the registry. `parameters` holds the names and values that differ from the defaults."""

    name: str
    variant: Variant | None = None
    parameters: tuple[tuple[str, float | str | None], ...] = ()

    def build(self, rule: Rule = "corrected", data: Any = None) -> "Augmentation":
        """The augmentation by its `variant`, else by `rule` (corrected where there is no released rule).

        `data` is the loaded data set that it is for. Raises `UserError` where the negative does not have this
        rule, or the rule not these parameters.
        """
        return self.require(rule).build(dict(self.parameters), data)

    def require(self, rule: Rule) -> Implementation:
        """The implementation that `build` takes, not imported; raises what `build` raises."""
        rule, implementation = self._implementation(rule)
        where = {"corrected": f"{self.name} for images", "released": f"{self.name}[released]"}
        _check_names(where.get(rule, self.name), implementation.parameters, dict(self.parameters))
        return implementation

    def _implementation(self, rule: Rule) -> tuple[Rule, Implementation]:
        entry, of_images = NEGATIVES[self.name], rule in ("corrected", "released")
        if self.variant == "released" and not of_images:
            raise UserError(f"{self.name}: the released code has no rules for {rule}; leave its variant out")
        if of_images and (self.variant or rule) == "released" and entry.released is not None:
            return "released", entry.released
        usual: Rule = "corrected" if of_images else rule
        if (implementation := entry.by(usual)) is None:
            own = [name for name in RULES_OF if entry.by(name) and (name != "pairs" or entry.pairs)]
            has = " and ".join(RULES_OF[other] for other in own)
            raise UserError(f"{self.name}: is for {has} only (for {RULES_OF[usual]}: {_listed(usual)})")
        return usual, implementation

    def can_be_undone_by(self, other: "Single") -> bool:
        """Whether `other`, right after this one, can give the image back."""
        entry = NEGATIVES[self.name]
        values = [
            {name: parameter.default for name, parameter in entry.parameters.items()} | dict(one.parameters)
            for one in (self, other)
        ]
        return self.name == other.name and all(map(entry.undoes_itself, values))

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
class FromConfig:
    """A negative of the registry that has a configuration, such as one that draws from a data set."""

    config: ConfiguredNegative

    def build(self, rule: Rule = "corrected", data: Any = None) -> "Augmentation":
        """The augmentation, the same by every rule for images; `UserError` for clips and points."""
        self.require(rule)
        configured = NEGATIVES[self.config.name].configured
        assert configured is not None
        built: Augmentation = load(configured.build)(self.config)
        return built

    def require(self, rule: Rule) -> None:
        """Raises what `build` raises."""
        if rule not in ("corrected", "released"):
            raise UserError(f"{self.config.name}: is for images only (for {rule}: {_listed(rule)})")

    @property
    def label(self) -> str:
        return self.config.label

    def dump(self) -> dict[str, Any]:
        return self.config.model_dump(mode="json")


@dataclass(frozen=True)
class Mixture:
    """One of `members` per image or clip, drawn in proportion to `weights`."""

    members: tuple["Negative", ...]
    weights: tuple[float, ...]

    def build(self, rule: Rule = "corrected", data: Any = None) -> "Augmentation":
        from ndabench.augmentations.compose import mixture  # late: it imports torch

        return mixture([member.build(rule, data) for member in self.members], self.weights)

    @property
    def label(self) -> str:
        """The members' labels, with the weights where these differ."""
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

    def build(self, rule: Rule = "corrected", data: Any = None) -> "Augmentation":
        from ndabench.augmentations.compose import chain  # late: it imports torch

        return chain([link.build(rule, data) for link in self.links])

    @property
    def label(self) -> str:
        return ">".join(_part(link) for link in self.links)

    def dump(self) -> dict[str, Any]:
        return {"chain": [link.dump() for link in self.links]}


Negative: TypeAlias = Single | FromConfig | Mixture | Chain


def configurations(negative: Negative | None) -> Iterator[ConfiguredNegative]:
    """The configurations of all parts of a negative that have one."""
    if isinstance(negative, FromConfig):
        yield negative.config
    for part in _parts(negative) if isinstance(negative, Mixture | Chain) else ():
        yield from configurations(part)


def registered(rule: Rule) -> list[Single]:
    """Every negative for images, corrected and released; by another rule, every negative that has it. A
    negative that can be drawn once per frame of a clip appears in that form as well."""
    if rule in ("pairs", "points"):
        return [*map(Single, having(rule))]
    if rule == "clips":
        per_frame = [name for name in having("clips") if "per" in NEGATIVES[name].parameters]
        return [
            *map(Single, having("clips")),
            *(Single(name, None, (("per", "frame"),)) for name in per_frame),
        ]
    return [*map(Single, having("corrected")), *(Single(name, "released") for name in having("released"))]


def require_rule(negative: Negative, rule: Rule) -> None:
    """Raises `UserError` where a part of the negative does not have `rule`; imports no torch."""
    if isinstance(negative, Single | FromConfig):
        negative.require(rule)
        return
    for part in _parts(negative):
        require_rule(part, rule)


def build_redrawn(negative: Negative, rule: Rule, data: Any = None) -> "Augmentation":
    """`negative.build(rule, data)`; outputs that equal their inputs are drawn again, see `changes.redrawn`.

    Released rules stay as they are, since their faults are what they are compared for, and so does what draws
    from elsewhere, such as another data set or a distribution around the points.
    """
    from ndabench.augmentations.changes import redrawn  # late: it imports torch
    from ndabench.augmentations.compose import mixture

    if isinstance(negative, Mixture):
        return mixture([build_redrawn(member, rule, data) for member in negative.members], negative.weights)
    built = negative.build(rule, data)
    if isinstance(negative, FromConfig) or rule == "points":
        return built
    return built if _has_released_part(resolve(negative, rule)) else redrawn(built)


def _has_released_part(negative: Negative) -> bool:
    if isinstance(negative, Single | FromConfig):
        return isinstance(negative, Single) and negative.variant == "released"
    return any(map(_has_released_part, _parts(negative)))


def _parts(negative: Mixture | Chain) -> tuple[Negative, ...]:
    return negative.members if isinstance(negative, Mixture) else negative.links


def check(negative: Negative, shape: tuple[int, ...], rule: Rule = "corrected", data: Any = None) -> None:
    """`UserError` when images `(C, H, W)`, clips `(C, T, H, W)` by the rule "clips", or points `(2,)` of the
    loaded `data` do not fit the negative, or it leaves all of them as they are."""
    import torch  # late: reading negatives must not wait for it

    stream = torch.Generator().manual_seed(0)
    noise = torch.randint(0, 256, (4, *shape), dtype=torch.uint8, generator=stream)
    if torch.equal(negative.build(rule, data)(noise, generator=stream), noise):
        raise UserError(f"{negative.label} leaves every image as it is")


def resolve(negative: Negative, rule: Rule) -> Negative:
    """`negative` with its variant named wherever `build` would take the released rule for it."""
    if isinstance(negative, Mixture):
        return replace(negative, members=tuple(resolve(m, rule) for m in negative.members))
    if isinstance(negative, Chain):
        return replace(negative, links=tuple(resolve(link, rule) for link in negative.links))
    if isinstance(negative, FromConfig):
        return negative
    released = negative.variant is None and rule == "released" and NEGATIVES[negative.name].released
    return replace(negative, variant="released") if released else negative


def _part(negative: Negative) -> str:
    return negative.label if isinstance(negative, Single | FromConfig) else f"({negative.label})"


def _shown(value: float | str | None) -> str:
    return f"{value:g}" if isinstance(value, int | float) else str(value)


def _listed(rule: Rule) -> str:
    return ", ".join(sorted(having(rule)))


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
        "a negative is a name, {name: …} with parameters, {mixture: …} or {chain: …}, "
        f"got {shown(value)}"
    )


def _read_single(name: Any, settings: Mapping[str, Any]) -> Single | FromConfig:
    name = name if isinstance(name, str) else str(name)
    entry = NEGATIVES[name]
    if entry.configured is not None:
        kind: type[ConfiguredNegative] = load(entry.configured.config)
        return FromConfig(parse(kind, {"name": name, **settings}, name))
    parameters = dict(settings)
    variant = parameters.pop("variant", None)
    if variant is not None and variant not in get_args(Variant):
        raise UserError(f"{name}: variant must be corrected or released, got {shown(variant)}")
    rule = entry.released if variant == "released" else next(iter(entry.usual), None)
    if variant != "released":
        where, known = name, entry.parameters
    elif entry.released is not None:
        where, known = f"{name}[released]", entry.released.parameters
    else:
        raise UserError(f"{name}: the released code has no such rule (it has: {_listed('released')})")
    _check_names(where, known, parameters)
    given = {key: known[key].check(f"{name}: {key}", parameters[key]) for key in known if key in parameters}
    if rule is not None:
        try:
            rule.check({**{key: parameter.default for key, parameter in known.items()}, **given})
        except UserError as error:
            raise UserError(f"{name}: {error}") from None
    return Single(name, variant, tuple((key, v) for key, v in given.items() if v != known[key].default))


def _check_names(where: str, known: Mapping[str, Parameter], parameters: Mapping[str, Any]) -> None:
    """`UserError` for a parameter that is not known."""
    for key in parameters:
        if key not in known:
            listed = f"known: {', '.join(known)}" if known else "it has none"
            raise UserError(f"{where}: unknown parameter {shown(key)}{nearest(str(key), known)} ({listed})")


def _read_mixture(value: Any) -> Mixture:
    if isinstance(value, Mapping):
        pairs = list(value.items())
    elif isinstance(value, list | tuple) and all(
        isinstance(item, Mapping) and set(item) == {"of", "weight"} for item in value
    ):
        pairs = [(item["of"], item["weight"]) for item in value]
    else:
        raise UserError(f"a mixture is {{name: weight, …}} or [{{of: …, weight: …}}, …], got {shown(value)}")
    for _, weight in pairs:
        if isinstance(weight, bool) or not isinstance(weight, int | float):
            raise UserError(f"mixture: a weight must be a number, got {shown(weight)}")
    weights = tuple(float(weight) for _, weight in pairs)
    check_weights(weights, len(pairs))
    return Mixture(tuple(_read_part("mixture", of) for of, _ in pairs), weights)


def _read_chain(value: Any) -> Chain:
    if not isinstance(value, list | tuple) or not value:
        raise UserError(f"a chain is a list of negatives, got {shown(value)}")
    chain = Chain(tuple(_read_part("chain", link) for link in value))
    for link in _flat(chain)[1:]:
        if isinstance(link, FromConfig) or (isinstance(link, Single) and NEGATIVES[link.name].points):
            raise UserError(f"chain: {link.label} replaces what comes before it; put it first")
    for one, next_one in pairwise(_flat(chain)):
        if isinstance(one, Single) and isinstance(next_one, Single) and one.can_be_undone_by(next_one):
            raise UserError(f"chain: {one.label}, then {next_one.label} can undo it; leave both out")
    return chain


def _read_part(whole: str, value: Any) -> Negative:
    """A member of a mixture or a link of a chain, which see images without their labels."""
    part = _read(value)
    if any(config.needs_labels for config in configurations(part)):
        raise UserError(
            f"{whole}: {part.label} needs the labels of its images and must be a negative by itself"
        )
    return part


def _flat(negative: Negative) -> list[Negative]:
    """The links of a chain, those of chains inside it included; anything else alone."""
    links = negative.links if isinstance(negative, Chain) else ()
    return [part for link in links for part in _flat(link)] or [negative]


NegativeSpec = Annotated[
    Negative,
    PlainValidator(_read),
    PlainSerializer(lambda negative: negative.dump(), return_type=dict[str, Any]),
]
