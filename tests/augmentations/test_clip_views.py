"""Views of clips against the views of their frames, and what one draw per clip keeps equal."""

from typing import Any

import pytest
import torch
from torch import Tensor

from ndabench.augmentations.registry import Per
from ndabench.augmentations.views import apply_views, draw_views
from ndabench.augmentations.views_config import ClipViewsConfig, ViewsConfig
from ndabench.config import parse
from ndabench.errors import UserError

ALL: dict[str, Any] = {"flip": 0.5, "jitter": (0.4, 0.4, 0.4, 0.1), "grayscale": 0.3, "blur": 0.5}
NONE: dict[str, Any] = {
    "crop_scale": (1.0, 1.0),
    "flip": 0.0,
    "jitter": (0.0, 0.0, 0.0, 0.0),
    "grayscale": 0.0,
    "blur": 0.0,
}


def seeded(seed: int = 0, device: str = "cpu") -> torch.Generator:
    return torch.Generator(device).manual_seed(seed)


def clips(n: int = 6, c: int = 3, t: int = 4, h: int = 20, w: int = 26, device: str = "cpu") -> Tensor:
    """uint8, smooth with noise on top."""
    coarse = torch.rand(n * t, c, 4, 4, generator=seeded(1))
    smooth = torch.nn.functional.interpolate(coarse, (h, w), mode="bilinear")
    values = (smooth + 0.1 * torch.randn(n * t, c, h, w, generator=seeded(2))).clamp(0, 1)
    return (values * 255).round().byte().view(n, t, c, h, w).transpose(1, 2).contiguous().to(device)


@pytest.mark.parametrize("c", [1, 3])
@pytest.mark.parametrize("size", [None, 16, 32])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32], ids=str)
def test_every_frame_is_the_view_of_an_image_with_its_clips_draws(
    c: int, size: int | None, dtype: torch.dtype
) -> None:
    views = ViewsConfig(size=size, **ALL)
    batch = clips(c=c) if dtype == torch.uint8 else clips(c=c) / 127.5 - 1
    before = batch.clone()
    draws = draw_views(ClipViewsConfig(size=size, **ALL), 6, (c, 4, 20, 26), generator=seeded())
    output = apply_views(ClipViewsConfig(size=size, **ALL), batch, draws)
    assert output.shape == (6, c, 4, size or 20, size or 26)
    assert output.dtype == torch.float32
    assert torch.equal(batch, before)
    for t in range(4):
        torch.testing.assert_close(
            output[:, :, t], apply_views(views, batch[:, :, t], draws), rtol=0, atol=2e-5
        )


def test_colours_of_each_frame_keep_crop_and_flip_of_the_clip() -> None:
    views = ViewsConfig(size=16, **ALL)
    framewise = ClipViewsConfig(size=16, **ALL, color_jitter_per="frame")
    draws = draw_views(framewise, 6, (3, 4, 20, 26), generator=seeded())
    assert {name for name, drawn in draws.items() if drawn.shape == (6, 4)} == {
        "brightness",
        "contrast",
        "saturation",
        "hue",
        "grayscale",
        "sigma",
    }
    assert all(drawn.shape in {(6,), (6, 4)} for drawn in draws.values())
    output = apply_views(framewise, clips(), draws)
    for t in range(4):
        own = {name: drawn[:, t] if drawn.dim() == 2 else drawn for name, drawn in draws.items()}
        torch.testing.assert_close(
            output[:, :, t], apply_views(views, clips()[:, :, t], own), rtol=0, atol=2e-5
        )
    assert len(draws["brightness"].unique()) > 6


@pytest.mark.parametrize("colours", ["clip", "frame"])
def test_a_still_clip_stays_still_where_its_colours_are_drawn_once(colours: Per) -> None:
    still = clips(t=1).expand(-1, -1, 5, -1, -1)
    views = ClipViewsConfig(jitter_probability=1.0, color_jitter_per=colours)
    output = apply_views(views, still, draw_views(views, 6, (3, 5, 20, 26), generator=seeded()))
    spread = (output - output[:, :, :1]).abs().amax((1, 2, 3, 4))
    assert (spread < 1e-5).all() if colours == "clip" else (spread > 0.01).all()


def test_a_grey_clip_is_grey_in_its_own_frames() -> None:
    views = ClipViewsConfig(grayscale=1.0, jitter=(0.0, 0.0, 0.0, 0.0))
    output = apply_views(views, clips(), draw_views(views, 6, (3, 4, 20, 26), generator=seeded()))
    torch.testing.assert_close(output, output[:, :1].expand_as(output))
    assert not torch.allclose(output[:, :, 0], output[:, :, 1], atol=0.01)


def test_a_view_that_changes_nothing_is_the_clip() -> None:
    views = ClipViewsConfig(**NONE)
    output = apply_views(views, clips(), draw_views(views, 6, (3, 4, 20, 26), generator=seeded()))
    torch.testing.assert_close(output, clips() / 127.5 - 1, rtol=0, atol=1e-6)


@pytest.mark.parametrize("colours", ["clip", "frame"])
def test_a_row_depends_on_its_own_clip_and_draws_alone(colours: Per) -> None:
    views = ClipViewsConfig(size=16, **ALL, color_jitter_per=colours)
    draws = draw_views(views, 6, (3, 4, 20, 26), generator=seeded())
    rows = torch.tensor([5, 2, 2])
    some = apply_views(views, clips()[rows], {name: drawn[rows] for name, drawn in draws.items()})
    torch.testing.assert_close(some, apply_views(views, clips(), draws)[rows], rtol=0, atol=1e-6)


@pytest.mark.parametrize("colours", ["clip", "frame"])
def test_draws_are_seeded_and_leave_global_randomness_alone(colours: Per) -> None:
    views = ClipViewsConfig(**ALL, color_jitter_per=colours)
    state = torch.get_rng_state()
    first, same = (draw_views(views, 16, (3, 4, 20, 26), generator=seeded(3)) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(first[name], same[name]) for name in first)


def test_autocast_does_not_touch_it() -> None:
    views = ClipViewsConfig(**ALL)
    draws = draw_views(views, 6, (3, 4, 20, 26), generator=seeded())
    expected = apply_views(views, clips(), draws)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = apply_views(views, clips(), draws)
    assert output.dtype == torch.float32
    assert torch.equal(output, expected)


def test_an_unknown_word_is_refused() -> None:
    with pytest.raises(UserError, match="color_jitter_per: input should be 'clip' or 'frame', got 'block'"):
        parse(ClipViewsConfig, {"color_jitter_per": "block"}, "views")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
@pytest.mark.parametrize("colours", ["clip", "frame"])
def test_on_a_gpu_nothing_waits_for_views(colours: Per) -> None:
    views, generator = ClipViewsConfig(size=16, **ALL, color_jitter_per=colours), seeded(device="cuda")
    batch, shape = clips(device="cuda"), (3, 4, 20, 26)
    apply_views(views, batch, draw_views(views, 6, shape, generator=generator))
    torch.cuda.set_sync_debug_mode("error")
    try:
        draws = draw_views(views, 6, shape, generator=generator)
        output = apply_views(views, batch, draws)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    on_cpu = apply_views(views, batch.cpu(), {name: drawn.cpu() for name, drawn in draws.items()})
    torch.testing.assert_close(output.cpu(), on_cpu, rtol=0, atol=5e-3)  # TF32 may be on
