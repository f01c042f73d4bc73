"""The sweep file's ways of naming a negative."""

import json
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ndabench.augmentations.registry import Rule, implementations
from ndabench.augmentations.specification import Negative, NegativeSpec, check, resolve
from ndabench.config import Config, parse
from ndabench.errors import UserError

CLIP_NEGATIVES = implementations("clips")
NEGATIVES = implementations("corrected")
RELEASED = implementations("released")


class Arm(Config):
    negative: NegativeSpec | None = None


def read(value: Any) -> Negative:
    spec = parse(Arm, {"negative": value}, "sweep.yaml").negative
    assert spec is not None
    return spec


def run(
    augmentation: Callable[..., Tensor], seed: int = 0, shape: tuple[int, ...] = (8, 3, 32, 32)
) -> tuple[Tensor, Tensor]:
    batch = torch.rand(*shape, generator=torch.Generator().manual_seed(9)) * 2 - 1
    return augmentation(batch, generator=torch.Generator().manual_seed(seed)), batch


singles = st.one_of(
    st.sampled_from(sorted(CLIP_NEGATIVES)),
    st.builds(lambda grid: {"name": "jigsaw", "grid": grid}, st.integers(2, 5)),
    st.builds(
        lambda name, per: {"name": name, "per": per},
        st.sampled_from(sorted(NEGATIVES)),
        st.sampled_from(["clip", "frame"]),
    ),
    st.builds(lambda block: {"name": "shuffle_frames", "block": block}, st.none() | st.integers(2, 5)),
    st.builds(lambda name: {"name": name, "variant": "released"}, st.sampled_from(sorted(RELEASED))),
    st.builds(lambda degrees: {"name": "rotate", "degrees": degrees}, st.floats(1, 359)),
)
weights = st.floats(0.01, 10)


def readable(chain: dict[str, Any]) -> bool:
    """Not a chain that undoes itself, such as two flips."""
    try:
        read(chain)
    except UserError as error:
        return "can undo it" not in str(error)
    return True


specs = st.recursive(
    singles,
    lambda inner: st.one_of(
        st.builds(lambda links: {"chain": links}, st.lists(inner, min_size=1, max_size=3)).filter(readable),
        st.builds(
            lambda pairs: {"mixture": [{"of": of, "weight": weight} for of, weight in pairs]},
            st.lists(st.tuples(inner, weights), min_size=1, max_size=3),
        ),
        st.builds(
            lambda named: {"mixture": named},
            st.dictionaries(st.sampled_from(sorted(NEGATIVES)), weights, min_size=1, max_size=3),
        ),
    ),
    max_leaves=5,
)


@settings(max_examples=60, deadline=None)
@given(specs)
def test_every_form_survives_a_round_trip_through_json(value: Any) -> None:
    arm = Arm(negative=read(value))
    dumped = arm.model_dump(mode="json")
    again = Arm.model_validate(json.loads(json.dumps(dumped)))
    assert again == arm
    assert hash(again.negative) == hash(arm.negative)
    assert again.model_dump(mode="json") == dumped
    assert again.negative is not None
    assert again.negative.label == read(value).label


@pytest.mark.parametrize(
    ("value", "canonical", "label"),
    [
        ("jigsaw", {"name": "jigsaw"}, "jigsaw"),
        ({"name": "jigsaw", "grid": 2}, {"name": "jigsaw"}, "jigsaw"),
        ({"name": "jigsaw", "grid": 4}, {"name": "jigsaw", "grid": 4}, "jigsaw(grid=4)"),
        (
            {"variant": "released", "name": "jigsaw"},
            {"name": "jigsaw", "variant": "released"},
            "jigsaw[released]",
        ),
        (
            {"mixture": {"jigsaw": 1, "cutout": 1}},
            {
                "mixture": [
                    {"of": {"name": "jigsaw"}, "weight": 1.0},
                    {"of": {"name": "cutout"}, "weight": 1.0},
                ]
            },
            "jigsaw+cutout",
        ),
        (
            {
                "mixture": [
                    {"of": {"chain": ["flip", "shift"]}, "weight": 0.7},
                    {"of": "stitch", "weight": 0.3},
                ]
            },
            {
                "mixture": [
                    {"of": {"chain": [{"name": "flip"}, {"name": "shift"}]}, "weight": 0.7},
                    {"of": {"name": "stitch"}, "weight": 0.3},
                ]
            },
            "(flip>shift)*0.7+stitch*0.3",
        ),
        (
            {"chain": ["jigsaw", {"name": "rotate", "degrees": 30}]},
            {"chain": [{"name": "jigsaw"}, {"name": "rotate", "degrees": 30.0}]},
            "jigsaw>rotate(degrees=30)",
        ),
        (
            {"name": "jigsaw", "grid": 4, "per": "frame"},
            {"name": "jigsaw", "per": "frame", "grid": 4},
            "jigsaw(per=frame, grid=4)",
        ),
        ({"name": "jigsaw", "per": "clip"}, {"name": "jigsaw"}, "jigsaw"),
        (
            {"chain": [{"name": "shuffle_frames", "block": None}, {"name": "shuffle_blocks", "block": 4}]},
            {"chain": [{"name": "shuffle_frames"}, {"name": "shuffle_blocks", "block": 4}]},
            "shuffle_frames>shuffle_blocks(block=4)",
        ),
    ],
)
def test_canonical_form_and_label(value: Any, canonical: dict[str, Any], label: str) -> None:
    spec = read(value)
    assert spec.dump() == canonical
    assert spec.label == label


def test_none_is_no_negative() -> None:
    assert parse(Arm, {"negative": None}, "sweep.yaml").negative is None


@pytest.mark.parametrize("name", sorted(NEGATIVES))
def test_a_name_builds_its_corrected_rule(name: str) -> None:
    expected, batch = run(NEGATIVES[name])
    assert torch.equal(run(read(name).build())[0], expected)
    assert not torch.equal(expected, batch)


def test_the_default_variant_reaches_into_compositions_where_a_released_rule_exists() -> None:
    mixed = read({"mixture": {"cutout": 1}})
    assert torch.equal(run(mixed.build("released"))[0], run(read({"mixture": [
        {"of": {"name": "cutout", "variant": "released"}, "weight": 1}]}).build())[0])  # fmt: skip
    assert torch.equal(run(read("flip").build("released"))[0], run(NEGATIVES["flip"])[0])
    own = read({"name": "jigsaw", "variant": "corrected"})
    assert torch.equal(run(own.build("released"))[0], run(NEGATIVES["jigsaw"])[0])


CLIPS = (4, 3, 10, 8, 8)


@pytest.mark.parametrize("name", sorted(CLIP_NEGATIVES))
def test_a_name_builds_the_rule_for_clips(name: str) -> None:
    expected, batch = run(CLIP_NEGATIVES[name], shape=CLIPS)
    assert torch.equal(run(read(name).build("clips"), shape=CLIPS)[0], expected)
    assert not torch.equal(expected, batch)
    own = {"name": name, "variant": "corrected"}
    assert torch.equal(run(read(own).build("clips"), shape=CLIPS)[0], expected)


def test_parameters_for_clips_reach_into_compositions() -> None:
    each = {"name": "rotate", "per": "frame", "degrees": 45}
    blocks = {"name": "shuffle_blocks", "block": 2}
    chained = read({"chain": [{"mixture": [{"of": each, "weight": 2}]}, blocks]})
    generator = torch.Generator().manual_seed(0)
    output, batch = run(chained.build("clips"), shape=CLIPS)
    torch.rand(len(batch), generator=generator)  # what the mixture draws
    turned = CLIP_NEGATIVES["rotate"](batch, per="frame", degrees=45.0, generator=generator)
    assert torch.equal(output, CLIP_NEGATIVES["shuffle_blocks"](turned, block=2, generator=generator))
    assert resolve(chained, "clips") == chained


@pytest.mark.parametrize(
    ("value", "rule", "message"),
    [
        ("shuffle_frames", "corrected", "shuffle_frames: is for clips only (for images: cutmix, cutout, "),
        ({"mixture": {"jigsaw": 1, "splice": 1}}, "released", "splice: is for clips only (for images: "),
        (
            {"name": "jigsaw", "per": "frame"},
            "corrected",
            "jigsaw for images: unknown parameter 'per' (known: grid)",
        ),
        (
            {"chain": ["jigsaw", {"name": "flip", "per": "frame"}]},
            "released",
            "flip for images: unknown parameter 'per' (it has none)",
        ),
        (
            {"name": "jigsaw", "per": "frame", "grid": 3},
            "released",
            "jigsaw[released]: unknown parameter 'per' (known: grid)",
        ),
        (
            {"chain": ["reverse", {"name": "jigsaw", "variant": "released"}]},
            "clips",
            "jigsaw: the released code has no rules for clips; leave its variant out",
        ),
    ],
)
def test_a_rule_refuses_what_it_has_not(value: Any, rule: Rule, message: str) -> None:
    spec = read(value)
    with pytest.raises(UserError) as caught:
        spec.build(rule)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("jigsw", "unknown negative 'jigsw'; did you mean 'jigsaw'? (known: around, "),
        ({"name": ["jigsaw"]}, "unknown negative \"['jigsaw']\""),
        (
            {"name": "jigsaw", "gird": 4},
            "jigsaw: unknown parameter 'gird'; did you mean 'grid'? (known: per, grid)",
        ),
        ({"name": "flip", "std": 1}, "flip: unknown parameter 'std' (known: per)"),
        ({"name": "reverse", "per": "clip"}, "reverse: unknown parameter 'per' (it has none)"),
        (
            {"name": "jigsaw", "variant": "released", "per": "frame"},
            "jigsaw[released]: unknown parameter 'per' (known: grid)",
        ),
        ({"name": "jigsaw", "per": "image"}, "jigsaw: per must be clip or frame, got 'image'"),
        ({"name": "jigsaw", "per": None}, "jigsaw: per must be clip or frame, got None"),
        ({"name": "splice", "variant": "released"}, "splice: the released code has no such rule"),
        (
            {"name": "shuffle_frames", "block": 2.5},
            "shuffle_frames: block must be a whole number or null, got 2.5",
        ),
        ({"name": "shuffle_blocks", "block": None}, "shuffle_blocks: block must be a whole number, got None"),
        (
            {"name": "cutout", "variant": "released", "largest": 0.5},
            "cutout[released]: unknown parameter 'largest' (it has none)",
        ),
        ({"name": "jigsaw", "grid": 2.5}, "jigsaw: grid must be a whole number, got 2.5"),
        ({"name": "jigsaw", "grid": "2"}, "jigsaw: grid must be a whole number, got '2'"),
        ({"name": "gaussian_noise", "std": True}, "gaussian_noise: std must be a number, got True"),
        (
            {"name": "jigsaw", "variant": "fixed"},
            "jigsaw: variant must be corrected or released, got 'fixed'",
        ),
        (
            {"name": "flip", "variant": "released"},
            "flip: the released code has no such rule (it has: cutmix, ",
        ),
        ({"mixture": {"jigsaw": 0}}, "mixture: weights must be finite and above 0, got [0.0]"),
        ({"mixture": {"jigsaw": "half"}}, "mixture: a weight must be a number, got 'half'"),
        ({"mixture": {}}, "mixture: 0 augmentations"),
        (
            {"mixture": ["jigsaw"]},
            "a mixture is {name: weight, …} or [{of: …, weight: …}, …], got ['jigsaw']",
        ),
        ({"mixture": {"jigsw": 1}}, "unknown negative 'jigsw'"),
        ({"chain": []}, "a chain is a list of negatives, got []"),
        ({"chain": "jigsaw"}, "a chain is a list of negatives, got 'jigsaw'"),
        ({"mixture": {"jigsaw": 1}, "chain": ["flip"]}, "a negative is a name, {name: …} with parameters"),
        (3, "a negative is a name, {name: …} with parameters, {mixture: …} or {chain: …}, got 3"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(value: Any, message: str) -> None:
    with pytest.raises(UserError) as caught:
        read(value)
    assert str(caught.value).startswith(f"sweep.yaml: negative: {message}")
    assert "\n" not in str(caught.value)


def test_check_knows_the_images() -> None:
    check(read({"name": "jigsaw", "grid": 4}), (3, 32, 32))
    with pytest.raises(UserError, match="grid of 4 does not divide images of 30×32"):
        check(read({"chain": ["flip", {"name": "jigsaw", "grid": 4}]}), (3, 30, 32))


def test_check_knows_the_clips() -> None:
    blocks = read({"mixture": {"shuffle_blocks": 1, "jigsaw": 1}})
    check(blocks, (3, 40, 8, 8), "clips")
    with pytest.raises(UserError, match="clips of 12 frames are not two or more blocks of 5 frames"):
        check(blocks, (3, 12, 8, 8), "clips")
    with pytest.raises(UserError, match="grid of 2 does not divide images of 9×8"):
        check(blocks, (3, 40, 9, 8), "clips")
