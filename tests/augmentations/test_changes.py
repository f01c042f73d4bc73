"""A negative changes its images: what equals its input is drawn again, and what remains is counted."""

import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor

from ndabench.augmentations.changes import REDRAWS, change_shares, largest_change, redrawn
from ndabench.augmentations.compose import Augmentation
from ndabench.augmentations.registry import implementations
from ndabench.augmentations.specification import NegativeSpec, build_redrawn, check
from ndabench.config import Config, parse
from ndabench.errors import UserError


class Arm(Config):
    negative: NegativeSpec


def spec(value: object) -> NegativeSpec:
    return parse(Arm, {"negative": value}, "s").negative


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def digits(count: int = 512) -> Tensor:
    """uint8 `[count, 1, 16, 16]`, each pixel twice as large: much of it is flat background."""
    images = torch.tensor(load_digits().images[:count] * 15.9).round().byte()
    return images.repeat_interleave(2, 1).repeat_interleave(2, 2)[:, None]


def equal(output: Tensor, images: Tensor) -> int:
    return int((output == images).flatten(1).all(1).sum())


@pytest.mark.parametrize(
    ("value", "before", "after"),
    [
        ("cutmix", 4, 0),
        ("cutout", 1, 0),
        ({"chain": ["jigsaw", "jigsaw"]}, 15, 1),
        ({"chain": ["shift", "shift"]}, 4, 0),
        ({"name": "mixup", "alpha": 0.1}, 60, 10),
    ],
)
@pytest.mark.parametrize("as_float", [False, True], ids=["uint8", "float"])
def test_outputs_that_equal_their_input_are_drawn_again(
    value: object, before: int, after: int, as_float: bool
) -> None:
    """Of 512, at least `before` equal their input in one draw, and at most `after` with redraws."""
    images = digits() / 127.5 - 1 if as_float else digits()
    least = 1 / 255 if as_float else 1
    plain = spec(value).build("corrected")(images, generator=seeded())
    output = build_redrawn(spec(value), "corrected")(images, generator=seeded())
    kept = largest_change(plain, images) >= least
    assert int((~kept).sum()) >= before
    assert int((largest_change(output, images) < least).sum()) <= after
    assert torch.equal(output[kept], plain[kept]), "what had changed is not drawn again"


def test_each_member_of_a_mixture_is_drawn_again() -> None:
    mixture = spec({"mixture": {"cutmix": 1, "cutout": 1}})
    assert equal(build_redrawn(mixture, "corrected")(digits(), generator=seeded()), digits()) == 0


def test_a_batch_that_changes_takes_no_further_draws() -> None:
    noise = torch.randint(0, 256, (16, 3, 8, 8), dtype=torch.uint8, generator=seeded())
    for name, negative in implementations("corrected").items():
        one, other = seeded(), seeded()
        assert torch.equal(redrawn(negative)(noise, generator=one), negative(noise, generator=other)), name
        assert torch.equal(one.get_state(), other.get_state()), name


def test_a_flat_image_stays_after_a_bounded_number_of_tries() -> None:
    calls = []

    def jigsaw(images: Tensor, *, generator: torch.Generator) -> Tensor:
        calls.append(len(images))
        made: Tensor = implementations("corrected")["jigsaw"](images, generator=generator)
        return made

    flat = torch.full((2, 3, 8, 8), 7, dtype=torch.uint8)
    assert torch.equal(redrawn(jigsaw)(flat, generator=seeded()), flat)
    assert len(calls) == 1 + REDRAWS


def test_released_rules_are_not_drawn_again() -> None:
    """1 of 23 draws of the released jigsaw gives the true image, and that is part of what is compared."""
    images = torch.randint(0, 256, (512, 1, 8, 8), dtype=torch.uint8, generator=seeded())
    for value in (
        {"name": "jigsaw", "variant": "released"},
        {"chain": [{"name": "jigsaw", "variant": "released"}]},
    ):
        assert equal(build_redrawn(spec(value), "corrected")(images, generator=seeded()), images) > 5
    assert equal(build_redrawn(spec("jigsaw"), "released")(images, generator=seeded()), images) > 5


@pytest.mark.parametrize(
    ("value", "pair"),
    [
        ({"chain": ["flip", "flip"]}, "flip, then flip"),
        ({"chain": ["jigsaw", {"chain": ["flip"]}, "flip"]}, "flip, then flip"),
        ({"chain": ["reverse", "reverse"]}, "reverse, then reverse"),
        ({"chain": [{"name": "rotate", "degrees": 180}] * 2}, r"rotate\(degrees=180\), then rotate"),
        (
            {"chain": [{"name": "rotate", "degrees": d} for d in (90, -270)]},
            r"rotate\(degrees=90\), then rotate",
        ),
    ],
)
def test_a_chain_that_undoes_itself_is_refused_when_it_is_read(value: object, pair: str) -> None:
    with pytest.raises(UserError, match=f"chain: {pair}.* can undo it; leave both out"):
        spec(value)
    assert spec({"chain": ["flip", "jigsaw", "flip"]}).label == "flip>jigsaw>flip"
    assert spec({"chain": ["rotate", "rotate"]}).label == "rotate>rotate"


def test_a_negative_that_leaves_every_image_is_refused_where_it_is_tried() -> None:
    half_turn = {"name": "rotate", "degrees": 180}
    with pytest.raises(
        UserError, match=r"flip>rotate\(degrees=180\)>flip>rotate.* leaves every image as it is"
    ):
        check(spec({"chain": ["flip", half_turn, "flip", half_turn]}), (3, 8, 8))


def test_shares_are_counted_by_images_and_pixels() -> None:
    images = torch.zeros(4, 3, 10, 10)

    def some(images: Tensor, *, generator: torch.Generator) -> Tensor:
        output = images.clone()
        output[1, 0, 0, 0] = 1 / 300  # below half a grey level: no change
        output[2, 0, 0, :3] = 0.5  # 3 of 100 pixels: nearly no change
        output[3, :, 0, :4] = 0.5
        return output

    negative: Augmentation = some
    shares = change_shares(negative, images, generator=seeded())
    assert (shares.count, shares.equal, shares.nearly_equal) == (4, 0.5, 0.75)
    assert str(shares) == "50.0% of 4 outputs equal their input, 75.0% change less than 4% of the pixels"
    clips = torch.zeros(2, 3, 4, 5, 5)
    assert change_shares(lambda clips, *, generator: clips + 1, clips, generator=seeded()).nearly_equal == 0


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_a_gpu_draws_again_without_waiting() -> None:
    device = torch.device("cuda")
    images = digits().to(device) / 127.5 - 1
    for value in ("cutmix", {"chain": ["jigsaw", "jigsaw"]}):
        negative, stream = build_redrawn(spec(value), "corrected"), torch.Generator(device).manual_seed(0)
        negative(images, generator=stream)
        torch.cuda.set_sync_debug_mode("error")
        try:
            output = negative(images, generator=stream)
        finally:
            torch.cuda.set_sync_debug_mode("default")
        assert int((largest_change(output, images) < 1 / 255).sum()) <= 1
