"""What every negative for clips keeps to; one suite for all."""

import inspect
import typing
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from ndabench.augmentations.compose import chain, mixture
from ndabench.augmentations.registry import implementations
from ndabench.errors import UserError

CLIP_NEGATIVES = implementations("clips")
NEGATIVES = implementations("corrected")

TEMPORAL = {"shuffle_frames", "shuffle_blocks", "splice", "reverse"}
EVERY: dict[str, Callable[..., Tensor]] = {
    **{name: CLIP_NEGATIVES[name] for name in sorted(TEMPORAL)},
    **{
        f"{name}[{per}]": lambda clips, name=name, per=per, **rest: CLIP_NEGATIVES[name](
            clips, per=per, **rest
        )
        for name in NEGATIVES
        for per in ("clip", "frame")
    },
    "shuffle_frames[block=5]": lambda clips, **rest: CLIP_NEGATIVES["shuffle_frames"](clips, block=5, **rest),
    "mixture": mixture([CLIP_NEGATIVES[name] for name in ("jigsaw", "splice", "reverse")], [1, 2, 3]),
    "chain": chain([CLIP_NEGATIVES["jigsaw"], CLIP_NEGATIVES["shuffle_blocks"]]),
}
NOTHING_TO_DRAW = {"flip[clip]", "flip[frame]", "reverse"}
PAIRING = ("stitch", "mixup", "cutmix", "splice")
DTYPES = [torch.uint8, torch.float32, torch.bfloat16]


def clips(
    n: int = 4,
    c: int = 3,
    t: int = 15,
    h: int = 16,
    w: int = 20,
    dtype: torch.dtype = torch.uint8,
    device: str = "cpu",
    seed: int = 7,
) -> Tensor:
    values = torch.randint(0, 256, (n, c, t, h, w), generator=torch.Generator().manual_seed(seed))
    values = values.to(torch.uint8) if dtype == torch.uint8 else (values / 127.5 - 1).to(dtype)
    return values.to(device)


def seeded(seed: int = 0, device: str = "cpu") -> torch.Generator:
    return torch.Generator(device).manual_seed(seed)


@pytest.fixture(params=EVERY, ids=str)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


def test_every_negative_for_images_is_there_and_four_for_time() -> None:
    assert set(CLIP_NEGATIVES) == set(NEGATIVES) | TEMPORAL


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("c", [1, 3])
def test_shape_dtype_range_and_input_are_kept(name: str, dtype: torch.dtype, c: int) -> None:
    batch = clips(c=c, dtype=dtype)
    before = batch.clone()
    output = EVERY[name](batch, generator=seeded())
    assert (output.shape, output.dtype) == (batch.shape, batch.dtype)
    assert output.is_contiguous()
    assert output.data_ptr() != batch.data_ptr()
    assert torch.equal(batch, before)
    if dtype != torch.uint8:
        assert output.abs().max() <= 1


def test_a_seed_fixes_the_output_and_global_randomness_is_left_alone(name: str) -> None:
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first, second = (EVERY[name](clips(), generator=seeded(3)) for _ in range(2))
    assert torch.equal(first, second)
    assert torch.equal(torch.get_rng_state(), state)


def test_seeds_and_calls_differ(name: str) -> None:
    generator = seeded(0)
    outputs = [EVERY[name](clips(n=8, h=8, w=8), generator=generator) for _ in range(4)]
    assert all(torch.equal(outputs[0], later) for later in outputs[1:]) == (name in NOTHING_TO_DRAW)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32], ids=str)
def test_every_clip_differs_from_its_input(name: str, dtype: torch.dtype) -> None:
    generator = seeded(0)
    batch = clips(n=5, h=8, w=12, dtype=dtype)
    for _ in range(20):
        assert (EVERY[name](batch, generator=generator) != batch).flatten(1).any(1).all()


@pytest.mark.parametrize("negative", NEGATIVES)
def test_drawn_per_frame_every_frame_differs_from_its_input(negative: str) -> None:
    batch = clips(n=5, h=8, w=12)
    for seed in range(20):
        output = CLIP_NEGATIVES[negative](batch, per="frame", generator=seeded(seed))
        assert (output != batch).any(4).any(3).any(1).all()


@pytest.mark.parametrize("drawing", sorted(set(EVERY) - NOTHING_TO_DRAW - {"mixture"}))
def test_draws_are_made_per_clip(drawing: str) -> None:
    """Equal clips in one batch come out different (a pairing negative meets two kinds of partner)."""
    one, other = clips(n=2, h=8, w=8)
    pairing = drawing.startswith(PAIRING)
    batch = torch.stack([one] * 8 + [other] * 8) if pairing else torch.stack([one] * 16)
    output = EVERY[drawing](batch, generator=seeded(0))[:8]
    assert len({clip.numpy().tobytes() for clip in output}) > 1


@pytest.mark.parametrize("negative", sorted(set(NEGATIVES)))
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32], ids=str)
def test_still_clips_stay_still_where_one_draw_serves_a_clip(negative: str, dtype: torch.dtype) -> None:
    still = clips(n=6, t=1, dtype=dtype).expand(-1, -1, 15, -1, -1).clone()
    once = CLIP_NEGATIVES[negative](still, per="clip", generator=seeded())
    assert torch.equal(once, once[:, :, :1].expand_as(once))
    each = CLIP_NEGATIVES[negative](still, per="frame", generator=seeded())
    moves = (each != each[:, :, :1]).flatten(1).any(1).all()
    assert moves == (negative != "flip")


@pytest.mark.parametrize("temporal", sorted(TEMPORAL))
def test_still_clips_are_blind_to_the_order_of_time_but_not_to_a_splice(temporal: str) -> None:
    still = clips(n=6, t=1).expand(-1, -1, 15, -1, -1)
    output = CLIP_NEGATIVES[temporal](still, generator=seeded())
    assert torch.equal(output, still) == (temporal != "splice")


def test_non_contiguous_input_gives_the_same_output(name: str) -> None:
    batch = clips()
    strided = batch.transpose(1, 2).contiguous().transpose(1, 2)
    assert torch.equal(EVERY[name](strided, generator=seeded()), EVERY[name](batch, generator=seeded()))


@pytest.mark.parametrize("negative", sorted(NEGATIVES))
def test_parameters_are_the_images_and_per(negative: str) -> None:
    parameters = inspect.signature(CLIP_NEGATIVES[negative]).parameters
    theirs = inspect.signature(NEGATIVES[negative]).parameters
    assert list(parameters) == ["clips", "generator", "per", *list(theirs)[2:]]
    assert parameters["per"].default == "clip"
    assert typing.get_args(parameters["per"].annotation) == ("clip", "frame")
    for name in list(theirs)[2:]:
        assert parameters[name] == theirs[name]


@pytest.mark.parametrize(
    ("case", "shape", "parameters", "message"),
    [
        ("jigsaw", (4, 3, 4, 8, 8), {"per": "block"}, "jigsaw: per must be clip or frame, got 'block'"),
        ("gaussian_noise", (4, 3, 4, 8, 8), {"per": "image"}, "per must be clip or frame"),
        ("gaussian_noise", (4, 3, 4, 8, 8), {"std": 0.0}, "std must be finite and above 0, got 0.0"),
        ("jigsaw", (4, 3, 4, 8, 9), {}, "a grid of 2 does not divide images of 8×9"),
        ("shuffle_frames", (4, 3, 1, 8, 8), {}, "clips need at least 2 frames, got 1"),
        ("shuffle_frames", (4, 3, 12, 8, 8), {"block": 5}, "must be one of 2, 3, 4, 6, 12$"),
        ("shuffle_frames", (4, 3, 12, 8, 8), {"block": 1}, "not made up of blocks of 1 frames"),
        ("shuffle_blocks", (4, 3, 12, 8, 8), {}, "blocks of 5 frames; block must be one of 1, 2, 3, 4, 6$"),
        ("shuffle_blocks", (4, 3, 5, 8, 8), {}, "two or more blocks of 5 frames; block must be one of 1$"),
        ("shuffle_blocks", (4, 3, 8, 8, 8), {"block": 0}, "blocks of 0 frames"),
        ("splice", (4, 3, 1, 8, 8), {}, "splice: .* at least 2 frames, got 1"),
        ("reverse", (4, 3, 1, 8, 8), {}, "reverse: .* at least 2 frames, got 1"),
        *[
            (name, (1, 3, 4, 8, 8), {}, f"{name}: pairs each clip with another.*at least 2, got 1")
            for name in PAIRING
        ],
        ("mixup", (1, 3, 4, 8, 8), {"per": "frame"}, "mixup: pairs each clip with another"),
    ],
)
def test_what_does_not_fit_is_said_in_one_line(
    case: str, shape: tuple[int, ...], parameters: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message) as caught:
        CLIP_NEGATIVES[case](torch.zeros(shape), generator=seeded(), **parameters)
    assert "\n" not in str(caught.value)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32], ids=str)
def test_on_a_gpu_nothing_waits_for_it(name: str, dtype: torch.dtype) -> None:
    batch, generator = clips(dtype=dtype, device="cuda"), seeded(device="cuda")
    before = batch.clone()
    EVERY[name](batch, generator=generator)  # fills the tables that live on the device
    torch.cuda.set_sync_debug_mode("error")
    try:
        output = EVERY[name](batch, generator=generator)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert (output.shape, output.dtype, output.device) == (batch.shape, batch.dtype, batch.device)
    assert torch.equal(batch, before)
    assert (output != batch).flatten(1).any(1).all()
