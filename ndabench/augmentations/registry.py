"""The negatives by name, and the types, defaults and ranges of their parameters, all without importing torch.

    >>> import torch
    >>> from ndabench.augmentations.registry import NEGATIVES
    >>> images = torch.arange(16.0).view(1, 1, 4, 4)
    >>> jigsaw = NEGATIVES["jigsaw"].images.load()
    >>> jigsaw(images, generator=torch.Generator().manual_seed(0), grid=2)[0, 0]
    tensor([[10., 11.,  2.,  3.],
            [14., 15.,  6.,  7.],
            [ 0.,  1.,  8.,  9.],
            [ 4.,  5., 12., 13.]])

Code outside ndabench adds a negative as a function. It takes images `[N, C, H, W]`, uint8 or float in
[-1, 1], and a generator on their device; it returns new images of the same shape and dtype, draws all random
numbers from the generator, and never waits for the device:

    def invert(images: Tensor, *, generator: torch.Generator, share: float = 1.0) -> Tensor: ...

    invert_clips = lifted(invert)  # from ndabench.augmentations.clips: drawn once per clip, or per frame

    SHARE = {"share": Parameter(float, 1.0, above=0, at_most=1)}
    NEGATIVES.register("invert", NegativeEntry(
        images=Implementation("my_package.negatives:invert", SHARE),
        clips=Implementation("my_package.negatives:invert_clips", {"per": PER, **SHARE}),
    ))
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import NoneType
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from pydantic import TypeAdapter, ValidationError

from ndabench.config import Config
from ndabench.errors import UserError
from ndabench.foreign_text import shown
from ndabench.registry import Registry, load

if TYPE_CHECKING:
    from torch import Tensor

Rule = Literal["corrected", "released", "clips", "pairs", "points"]
"""By which rules a negative is built: the corrected ones for images, those of the paper's published code for
images, those for clips, those for the targets of paired images, or those for points in the plane."""

Per = Literal["clip", "frame"]
"""How often a negative for images is drawn when it is applied to clips."""


@dataclass(frozen=True)
class Parameter:
    """A parameter of a negative: its type, its default, and the range that holds for any data."""

    kind: Any
    """As the function annotates it: int, float, a `Literal` of words, or one of these or None."""
    default: float | str | None
    at_least: float | None = None
    above: float | None = None
    at_most: float | None = None

    def check(self, where: str, value: Any) -> Any:
        """`value` in the parameter's type; `UserError` that begins with `where` for a wrong type or range."""
        try:
            checked = TypeAdapter(self.kind).validate_python(value, strict=True)
        except ValidationError:
            raise UserError(f"{where} must be {_in_words(self.kind)}, got {shown(value)}") from None
        if isinstance(checked, int | float) and not self._in_range(checked):
            raise UserError(f"{where} must {self._range}, got {shown(checked)}")
        return checked

    @property
    def described(self) -> str:
        """What it may be, as `a whole number, must be at least 2`."""
        bounded = any(bound is not None for bound in (self.at_least, self.above, self.at_most))
        return _in_words(self.kind) + (f", must {self._range}" if bounded else "")

    def _in_range(self, value: float) -> bool:
        return (
            math.isfinite(value)
            and (self.at_least is None or value >= self.at_least)
            and (self.above is None or value > self.above)
            and (self.at_most is None or value <= self.at_most)
        )

    @property
    def _range(self) -> str:
        if self.at_least is None and self.above is None:
            return "be finite" if self.at_most is None else f"be finite and at most {self.at_most:g}"
        if self.at_most is None:
            return f"be above {self.above:g}" if self.at_least is None else f"be at least {self.at_least:g}"
        low = f"({self.above:g}" if self.at_least is None else f"[{self.at_least:g}"
        return f"lie in {low}, {self.at_most:g}]"


def _in_words(kind: Any) -> str:
    """What a parameter of this type may be: a number, one of some words, null, or any of several of these."""
    parts = get_args(kind)
    if get_origin(kind) is Literal:
        return " or ".join(parts)
    if parts:
        return " or ".join(map(_in_words, parts))
    return {int: "a whole number", float: "a number", NoneType: "null"}[kind]


Parameters = Mapping[str, Any]


def no_rules(parameters: Parameters) -> None:
    """The `check` of a negative whose parameters all go together."""


def never(parameters: Parameters) -> bool:
    """The `undoes_itself` of most negatives."""
    return False


def always(parameters: Parameters) -> bool:
    """The `undoes_itself` of a mirror."""
    return True


@dataclass(frozen=True)
class Implementation:
    """One rule of a negative."""

    function: str
    """`"module:attribute"` of a function `(images or clips, *, generator, **parameters)`."""
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    """In the order of the function's signature."""
    check: Callable[[Parameters], None] = no_rules
    """Raises `UserError` where values of all parameters do not go together, whatever the data."""
    of_data: bool = False
    """Whether the function is instead one of `(data, **parameters)` that makes the augmentation for a loaded
    data set, because more of the data than a batch decides what is a negative of it."""

    def build(self, parameters: Parameters, data: Any) -> "Callable[..., Tensor]":
        """The augmentation with these parameters; only one that is `of_data` looks at the loaded `data`."""
        if self.of_data:
            made: Callable[..., Tensor] = load(self.function)(data, **parameters)
            return made
        return partial(self.load(), **parameters)

    def load(self) -> "Callable[..., Tensor]":
        """The function; its module is imported now."""
        function: Callable[..., Tensor] = load(self.function)
        return function


class ConfiguredNegative(Config):
    """The base of negatives that have a configuration instead of parameters, such as one with a data set."""

    name: str

    @property
    def label(self) -> str:
        """What tables call the negative."""
        return self.name

    @property
    def needs_labels(self) -> bool:
        """Whether the negative can only be drawn for images with labels."""
        return False


@dataclass(frozen=True)
class Configured:
    """A negative for images that does not look at them, with a configuration of its own.

    Both are named as text, because a data set lies in a layer above this one.
    """

    config: str
    """`"module:attribute"` of a `ConfiguredNegative`; the module must not import torch."""
    build: str
    """`"module:attribute"` of a function `(config) -> Augmentation`."""


@dataclass(frozen=True)
class NegativeEntry:
    """A negative that a sweep file can name, and the rules that it has."""

    images: Implementation | None = None
    """The corrected rule for images."""
    clips: Implementation | None = None
    """The rule for clips, which has every parameter of the one for images."""
    released: Implementation | None = None
    """The rule of the paper's published code, faults included."""
    pairs: Implementation | None = None
    """The rule for the targets of paired images, where it is not the one for images."""
    points: Implementation | None = None
    """The rule for points in the plane."""
    undoes_itself: Callable[[Parameters], bool] = never
    """Whether it, with these parameters, can give the image back when it is applied twice."""
    configured: Configured | None = None
    """Instead of all of the above."""

    def by(self, rule: Rule) -> Implementation | None:
        """The implementation of `rule`; None where the negative has none."""
        return {
            "corrected": self.images,
            "released": self.released,
            "clips": self.clips,
            "pairs": self.pairs or self.images,
            "points": self.points,
        }[rule]

    @property
    def usual(self) -> Sequence[Implementation]:
        """The rules that it has, the released one aside."""
        rules = (self.clips, self.images, self.pairs, self.points)
        return [rule for rule in rules if rule is not None]

    @property
    def parameters(self) -> Mapping[str, Parameter]:
        """Every parameter of the `usual` rules."""
        rules = self.usual
        return {name: parameter for rule in rules for name, parameter in rule.parameters.items()}


def having(rule: Rule) -> list[str]:
    """The names of the negatives that have `rule`."""
    return [name for name, entry in NEGATIVES.items() if entry.by(rule) is not None]


def implementations(rule: Rule) -> "dict[str, Callable[..., Tensor]]":
    """The function of every negative that has `rule`, imported now."""
    found = ((name, entry.by(rule)) for name, entry in NEGATIVES.items())
    return {name: implementation.load() for name, implementation in found if implementation is not None}


def check_weights(weights: Sequence[float], num_augmentations: int) -> None:
    """`UserError` for weights that a mixture of so many augmentations cannot have."""
    if not num_augmentations or num_augmentations != len(weights):
        raise UserError(f"mixture: {num_augmentations} augmentations cannot have {len(weights)} weights")
    if not all(weight > 0 for weight in weights) or not math.isfinite(sum(weights)):
        raise UserError(f"mixture: weights must be finite and above 0, got {list(weights)}")


PER = Parameter(Per, "clip")
"""The parameter that `clips.lifted` gives to a negative for images."""


def _entry(
    name: str,
    parameters: Mapping[str, Parameter],
    released: Sequence[str] | None,
    check: Callable[[Parameters], None] = no_rules,
    undoes_itself: Callable[[Parameters], bool] = never,
) -> NegativeEntry:
    """A negative of `images.py` and `clips.py`; `released`: the parameters of its rule in `released.py`."""
    package, theirs = "ndabench.augmentations", {key: parameters[key] for key in released or ()}
    return NegativeEntry(
        images=Implementation(f"{package}.images:{name}", parameters, check),
        clips=Implementation(f"{package}.clips:{name}", {"per": PER, **parameters}, check),
        released=None
        if released is None
        else Implementation(f"{package}.released:{name}", theirs, check if theirs else no_rules),
        undoes_itself=undoes_itself,
    )


def _of_time(name: str, **parameters: Parameter) -> NegativeEntry:
    """A negative of `clips.py` that breaks the order of time, which images do not have."""
    return NegativeEntry(clips=Implementation(f"ndabench.augmentations.clips:{name}", parameters))


def _of_points(name: str) -> NegativeEntry:
    """A negative of `ndabench/data/points/negatives.py`."""
    parameters = {
        "overlap": Parameter(float, 0.0, at_least=0, at_most=1),
        "overlap_with": Parameter(Literal["half", "all"], "half"),
    }
    return NegativeEntry(
        points=Implementation(f"ndabench.data.points.negatives:{name}", parameters, of_data=True)
    )


def _share(default: float) -> Parameter:
    """A share of a side."""
    return Parameter(float, default, above=0, at_most=1)


def _beta(default: float) -> Parameter:
    """The parameter of a symmetric beta distribution; far below 0.1 almost every draw is 0 or 1."""
    return Parameter(float, default, at_least=0.1, at_most=10_000)


def _ordered(parameters: Parameters) -> None:
    if parameters["smallest"] > parameters["largest"]:
        raise UserError(
            f"smallest {parameters['smallest']} must not be above largest {parameters['largest']}"
        )


def _turned(parameters: Parameters) -> None:
    if parameters["degrees"] % 360 == 0:
        raise UserError(f"degrees {parameters['degrees']:g} turn no image")


def _turns_at_right_angles(parameters: Parameters) -> bool:
    return bool(parameters["degrees"] % 90 == 0)


NEGATIVES: Registry[NegativeEntry] = Registry(
    "negative",
    "ndabench.negatives",
    {
        "jigsaw": _entry("jigsaw", {"grid": Parameter(int, 2, at_least=2, at_most=64)}, released=["grid"]),
        "stitch": _entry("stitch", {}, released=[]),
        "mixup": _entry("mixup", {"alpha": _beta(25.0)}, released=["alpha"]),
        "cutout": _entry(
            "cutout", {"smallest": _share(0.3), "largest": _share(0.6)}, released=[], check=_ordered
        ),
        "cutmix": _entry("cutmix", {"alpha": _beta(1.0)}, released=["alpha"]),
        "rotate": _entry(
            "rotate",
            {"degrees": Parameter(float, 60.0, at_least=-360, at_most=360)},
            released=["degrees"],
            check=_turned,
            undoes_itself=_turns_at_right_angles,
        ),
        "shift": _entry(
            "shift", {"smallest": _share(0.3), "largest": _share(0.75)}, released=[], check=_ordered
        ),
        "gaussian_noise": _entry(
            "gaussian_noise", {"std": Parameter(float, 0.2, at_least=0.005, at_most=10)}, released=None
        ),
        "random_crop": _entry("random_crop", {"padding": _share(0.125)}, released=None),
        "flip": _entry("flip", {}, released=None, undoes_itself=always),
        "patches": _entry(
            "patches",
            {"smallest": _share(16 / 224), "largest": _share(72 / 224)},
            released=None,
            check=_ordered,
        ),
        "shuffle_frames": _of_time(
            "shuffle_frames", block=Parameter(int | None, None, at_least=2, at_most=1024)
        ),
        "shuffle_blocks": _of_time("shuffle_blocks", block=Parameter(int, 5, at_least=1, at_most=1024)),
        "splice": _of_time("splice"),
        "reverse": NegativeEntry(
            clips=Implementation("ndabench.augmentations.clips:reverse"), undoes_itself=always
        ),
        "dataset": NegativeEntry(
            configured=Configured(
                "ndabench.data.negatives_config:DatasetNegativeConfig",
                "ndabench.data.negatives:DatasetNegative",
            )
        ),
        "mismatched": NegativeEntry(pairs=Implementation("ndabench.augmentations.images:mismatched")),
        "between": _of_points("between"),
        "hole": _of_points("hole"),
        "around": _of_points("around"),
        "wrong_side": _of_points("wrong_side"),
    },
)
