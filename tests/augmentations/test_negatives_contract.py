"""The contract of every negative, and the released rules compared with the corrected ones; one suite for
all."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from ndabench.augmentations.compose import chain, mixture
from ndabench.augmentations.registry import implementations
from ndabench.errors import UserError

NEGATIVES = implementations("corrected")
RELEASED = implementations("released")

CORRECTED = {
    **NEGATIVES,
    "mixture": mixture([NEGATIVES["jigsaw"], NEGATIVES["cutout"], NEGATIVES["flip"]], [1, 2, 3]),
    "chain": chain([NEGATIVES["jigsaw"], NEGATIVES["gaussian_noise"]]),
}
EVERY = {**CORRECTED, **{f"{name}[released]": function for name, function in RELEASED.items()}}
NOTHING_TO_DRAW = {"flip", "rotate[released]"}
PAIRING = {"stitch", "mixup", "cutmix"}
NEED_A_GRID = {"jigsaw", "jigsaw[released]", "mixture", "chain"}
SIZES = [(32, 32), (16, 16), (28, 20), (64, 48)]
ODD_SIZES = [(33, 17), (9, 31)]
DTYPES = [torch.uint8, torch.float32, torch.bfloat16]


def images(
    n: int = 6,
    c: int = 3,
    h: int = 32,
    w: int = 32,
    dtype: torch.dtype = torch.float32,
    device: str = "cpu",
    seed: int = 7,
) -> Tensor:
    values = torch.randint(0, 256, (n, c, h, w), generator=torch.Generator().manual_seed(seed))
    values = values.to(torch.uint8) if dtype == torch.uint8 else (values / 127.5 - 1).to(dtype)
    return values.to(device)


def seeded(seed: int = 0, device: str = "cpu") -> torch.Generator:
    return torch.Generator(device).manual_seed(seed)


@pytest.fixture(params=EVERY, ids=str)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("h", "w"), SIZES + ODD_SIZES)
def test_shape_dtype_range_and_input_are_kept(name: str, h: int, w: int, dtype: torch.dtype) -> None:
    batch = images(h=h, w=w, dtype=dtype)
    if name in NEED_A_GRID and (h, w) in ODD_SIZES:
        with pytest.raises(UserError, match=f"does not divide images of {h}×{w}"):
            EVERY[name](batch, generator=seeded())
        return
    before = batch.clone()
    output = EVERY[name](batch, generator=seeded())
    assert (output.shape, output.dtype) == (batch.shape, batch.dtype)
    assert output.data_ptr() != batch.data_ptr()
    assert torch.equal(batch, before)
    assert output.isfinite().all()
    if dtype != torch.uint8:
        assert output.abs().max() <= 1


@pytest.mark.parametrize("c", [1, 12])
def test_any_number_of_channels(name: str, c: int) -> None:
    assert EVERY[name](images(c=c), generator=seeded()).shape == (6, c, 32, 32)


def test_a_seed_fixes_the_output_and_global_randomness_is_left_alone(name: str) -> None:
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first, second = (EVERY[name](images(), generator=seeded(3)) for _ in range(2))
    assert torch.equal(first, second)
    assert torch.equal(torch.get_rng_state(), state)


def test_seeds_and_calls_differ(name: str) -> None:
    generator = seeded(0)
    outputs = [EVERY[name](images(n=16), generator=generator) for _ in range(4)]
    assert all(torch.equal(outputs[0], later) for later in outputs[1:]) == (name in NOTHING_TO_DRAW)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32], ids=str)
@pytest.mark.parametrize("corrected", CORRECTED)
def test_every_output_differs_from_its_input(corrected: str, dtype: torch.dtype) -> None:
    generator = seeded(0)
    batch = images(n=8, h=8, w=12, dtype=dtype)
    for _ in range(40):
        output = CORRECTED[corrected](batch, generator=generator)
        assert (output != batch).flatten(1).any(1).all()


@pytest.mark.parametrize("corrected", sorted(set(NEGATIVES) - {"flip"}))
def test_draws_are_made_per_image(corrected: str) -> None:
    """Equal images in one batch come out different (a pairing negative meets two kinds of partner)."""
    one, other = images(n=2)
    batch = torch.stack([one] * 12 + [other] * 12) if corrected in PAIRING else torch.stack([one] * 24)
    output = NEGATIVES[corrected](batch, generator=seeded(0))[:12]
    assert len({image.numpy().tobytes() for image in output}) > 1


def test_non_contiguous_input_gives_the_same_output(name: str) -> None:
    batch = images()
    channels_last = batch.contiguous(memory_format=torch.channels_last)
    expected = EVERY[name](batch, generator=seeded())
    # channels_last sums in another order
    torch.testing.assert_close(EVERY[name](channels_last, generator=seeded()), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("pairing", sorted(PAIRING))
@pytest.mark.parametrize("registry", [NEGATIVES, RELEASED], ids=["corrected", "released"])
def test_pairing_needs_two_images(registry: dict[str, Callable[..., Tensor]], pairing: str) -> None:
    with pytest.raises(UserError, match=f"{pairing}: pairs each image with another.*at least 2, got 1"):
        registry[pairing](images(n=1), generator=seeded())


@pytest.mark.parametrize(
    ("case", "size", "parameters", "message"),
    [
        ("jigsaw", (32, 30), {"grid": 4}, r"grid of 4 does not divide images of 32×30.*multiples of 4"),
        ("jigsaw", (32, 32), {"grid": 1}, "grid must be at least 2, got 1"),
        ("stitch", (1, 8), {}, "images of 1×8 cannot be halved"),
        ("mixup", (8, 8), {"alpha": 0.0}, "alpha must be finite and above 0, got 0.0"),
        ("cutout", (2, 8), {}, "a side of 2 pixels is too small"),
        ("cutout", (8, 8), {"smallest": 0.7}, "needs 0 < smallest <= largest <= 1, got 0.7 and 0.6"),
        ("cutmix", (1, 8), {}, "images of 1×8 are too small for a box"),
        ("rotate", (8, 8), {"degrees": 360.0}, "360.0 degrees moves no pixel of images of 8×8"),
        ("shift", (1, 8), {}, "a side of 1 pixels is too small"),
        ("gaussian_noise", (8, 8), {"std": 0.0}, "std must be finite and above 0"),
        ("random_crop", (8, 8), {"padding": 0.0}, r"padding must lie in \(0, 1\], got 0.0"),
        ("patches", (6, 8), {}, "patches: a side of 6 pixels is too small"),
        ("patches", (8, 8), {"smallest": 0.5}, "needs 0 < smallest <= largest <= 1, got 0.5 and"),
    ],
)
def test_what_does_not_fit_is_said_in_one_line(
    case: str, size: tuple[int, int], parameters: dict[str, float], message: str
) -> None:
    with pytest.raises(UserError, match=message) as caught:
        NEGATIVES[case](images(h=size[0], w=size[1]), generator=seeded(), **parameters)
    assert "\n" not in str(caught.value)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32], ids=str)
def test_on_a_gpu_nothing_waits_for_it(name: str, dtype: torch.dtype) -> None:
    batch, generator = images(dtype=dtype, device="cuda"), seeded(device="cuda")
    before = batch.clone()
    EVERY[name](batch, generator=generator)  # fills the tables that live on the device
    torch.cuda.set_sync_debug_mode("error")
    try:
        output = EVERY[name](batch, generator=generator)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert (output.shape, output.dtype, output.device) == (batch.shape, batch.dtype, batch.device)
    assert torch.equal(batch, before)
    if name in CORRECTED:
        assert (output != batch).flatten(1).any(1).all()
