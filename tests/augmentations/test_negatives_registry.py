"""The registry of negatives: declared without torch, equal to the functions, open to those from outside."""

import inspect
import math
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor

from ndabench.augmentations.clips import lifted
from ndabench.augmentations.registry import (
    NEGATIVES,
    PER,
    Implementation,
    NegativeEntry,
    Parameter,
    Rule,
    implementations,
)
from ndabench.augmentations.specification import NegativeSpec, check, registered
from ndabench.config import Config, parse
from ndabench.errors import UserError
from tests.tasks.density_toys import toy_points

READ_ALL = """
import sys
from ndabench.augmentations.registry import NEGATIVES
from ndabench.augmentations.specification import NegativeSpec
from ndabench.config import Config, parse

class Arm(Config):
    negative: NegativeSpec

plain = {name: entry for name, entry in NEGATIVES.items() if entry.configured is None}
forms = [{"name": name, **{k: p.default for k, p in e.parameters.items()}} for name, e in plain.items()]
forms += [{"name": name, "variant": "released"} for name, e in plain.items() if e.released]
forms += [{"chain": [name for name in plain if not plain[name].points]}, {"mixture": dict.fromkeys(plain, 1)}]
forms += [{"name": "dataset", "data": {"name": "image_folder", "path": "/data"}, "labels": "same_class"}]
forms += [{"chain": [{"name": "dataset", "data": "dots"}, "jigsaw"]}]
for form in forms:
    spec = parse(Arm, {"negative": form}, "arm").negative
    spec.label, spec.dump()
slow = {"torch", "torchvision", "ray"} & set(sys.modules)
assert not slow, slow
"""


def test_reading_every_form_imports_no_torch() -> None:
    done = subprocess.run([sys.executable, "-c", READ_ALL], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


RULES: list[Rule] = ["corrected", "released", "clips", "pairs", "points"]
DECLARED = [
    pytest.param(implementation, id=f"{name}-{rule}")
    for name, entry in NEGATIVES.items()
    for rule in RULES
    if (implementation := entry.by(rule)) is not None
]


@pytest.mark.parametrize("implementation", DECLARED)
def test_declared_parameters_are_those_of_the_function(implementation: Implementation) -> None:
    signature = inspect.signature(implementation.load()).parameters.values()
    own = {p.name: p for p in signature if p.name not in ("images", "clips", "data", "generator")}
    assert list(own) == list(implementation.parameters)
    for name, parameter in own.items():
        declared = implementation.parameters[name]
        assert (parameter.annotation, parameter.default) == (declared.kind, declared.default)


@pytest.mark.parametrize("implementation", DECLARED)
def test_declared_ranges_are_those_of_the_function(implementation: Implementation) -> None:
    batch = (
        torch.zeros(2, 3, 4, 12, 12) if ".clips:" in implementation.function else torch.zeros(2, 3, 12, 12)
    )
    for name, parameter in implementation.parameters.items():
        outside = [] if parameter.at_least is None else [parameter.at_least - 1]
        outside += [] if parameter.above is None else [parameter.above]
        outside += [] if parameter.at_most is None else [parameter.at_most + 1]
        for value in outside:
            with pytest.raises(UserError, match=f"it: {name} must "):
                parameter.check(f"it: {name}", value if parameter.kind is float else int(value))
        senseless = [math.nan, math.inf, -math.inf] if parameter.kind is float else []
        senseless += [0.0] if parameter.above == 0 or name in ("std", "alpha", "degrees") else []
        senseless += [1] if parameter.at_least == 2 else []
        for value in senseless:
            with pytest.raises(UserError):
                implementation.build({name: value}, toy_points())(batch, generator=torch.Generator())
            if not math.isfinite(value):
                with pytest.raises(UserError, match=f"it: {name} must "):
                    parameter.check(f"it: {name}", value)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"name": "jigsaw", "grid": 0}, r"jigsaw: grid must lie in \[2, 64\], got 0"),
        ({"name": "shuffle_frames", "block": 1}, r"shuffle_frames: block must lie in \[2, 1024\], got 1"),
        ({"name": "gaussian_noise", "std": -1}, r"gaussian_noise: std must lie in \[0.005, 10\], got -1.0"),
        ({"name": "gaussian_noise", "std": math.inf}, r"gaussian_noise: std must lie in .*, got inf"),
        ({"name": "mixup", "alpha": math.inf}, r"mixup: alpha must lie in \[0.1, 10000\], got inf"),
        ({"name": "mixup", "alpha": 0.01}, r"mixup: alpha must lie in \[0.1, 10000\], got 0.01"),
        ({"name": "rotate", "degrees": math.nan}, r"rotate: degrees must lie in \[-360, 360\], got nan"),
        ({"name": "rotate", "degrees": 360}, "rotate: degrees 360 turn no image"),
        ({"name": "rotate", "degrees": 0, "variant": "released"}, "rotate: degrees 0 turn no image"),
        (
            {"name": "cutout", "smallest": 0.6, "largest": 0.3},
            "cutout: smallest 0.6 must not be above largest",
        ),
        ({"mixture": {"jigsaw": math.nan}}, "mixture: weights must be finite and above 0"),
        ({"name": "random_crop", "padding": 1.5}, r"random_crop: padding must lie in \(0, 1\], got 1.5"),
    ],
)
def test_a_value_that_fits_no_data_is_refused_when_it_is_read(value: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        parse(Arm, {"negative": value}, "arm")


def shade(images: Tensor, *, generator: torch.Generator, share: float = 1.0) -> Tensor:
    """A negative from outside: darker images."""
    return (images * share).to(images.dtype)


shade_clips = lifted(shade)


class Arm(Config):
    negative: NegativeSpec


@pytest.fixture
def outside() -> Iterator[None]:
    share = {"share": Parameter(float, 1.0, above=0, at_most=1)}
    images = Implementation(f"{__name__}:shade", share)
    clips = Implementation(f"{__name__}:shade_clips", {"per": PER, **share})
    NEGATIVES.register("shade", NegativeEntry(images=images, clips=clips))
    NEGATIVES.register("shade_images", NegativeEntry(images=images))
    yield
    del NEGATIVES._entries["shade"], NEGATIVES._entries["shade_images"]


@pytest.mark.usefixtures("outside")
def test_a_negative_from_outside_is_read_and_built_like_ours() -> None:
    spec = parse(Arm, {"negative": {"chain": ["shade", {"name": "shade", "share": 0.25}]}}, "arm").negative
    assert spec.label == "shade>shade(share=0.25)"
    images = torch.rand(2, 3, 4, 4)
    built: Callable[..., Tensor] = spec.build()
    assert torch.equal(built(images, generator=torch.Generator()), images * 0.25)
    assert "shade" in implementations("corrected")
    assert {"shade", "shade(per=frame)"} <= {negative.label for negative in registered("clips")}
    assert "shade_images" in {negative.label for negative in registered("corrected")}
    half = {"name": "shade", "per": "frame", "share": 0.5}
    check(parse(Arm, {"negative": half}, "arm").negative, (3, 2, 4, 4), "clips")
    with pytest.raises(UserError, match=r"shade: share must lie in \(0, 1\], got 2.0"):
        parse(Arm, {"negative": {"name": "shade", "share": 2}}, "arm")
    with pytest.raises(UserError, match=r"shade_images: is for images only \(for clips: cutmix, "):
        parse(Arm, {"negative": "shade_images"}, "arm").negative.build("clips")
