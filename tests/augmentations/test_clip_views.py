"""Views of clips against the views of their frames, and what one draw a clip keeps alike."""

import pytest
import torch

from ndabench.augmentations.clip_views import ClipViews
from ndabench.augmentations.views import Views
from ndabench.errors import UserError

ALL = {"flip": 0.5, "jitter": (0.4, 0.4, 0.4, 0.1), "grey": 0.3, "blur": 0.5}
NONE = {"crop_scale": (1.0, 1.0), "flip": 0.0, "jitter": (0.0, 0.0, 0.0, 0.0), "grey": 0.0, "blur": 0.0}


def seeded(seed=0, device="cpu"):
    return torch.Generator(device).manual_seed(seed)


def clips(n=6, c=3, t=4, h=20, w=26, device="cpu"):
    """uint8, smooth with noise on top."""
    coarse = torch.rand(n * t, c, 4, 4, generator=seeded(1))
    smooth = torch.nn.functional.interpolate(coarse, (h, w), mode="bilinear")
    values = (smooth + 0.1 * torch.randn(n * t, c, h, w, generator=seeded(2))).clamp(0, 1)
    return (values * 255).round().byte().view(n, t, c, h, w).transpose(1, 2).contiguous().to(device)


@pytest.mark.parametrize("c", [1, 3])
@pytest.mark.parametrize("size", [None, 16, 32])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32], ids=str)
def test_every_frame_is_the_view_of_an_image_with_its_clips_draws(c, size, dtype):
    views = Views(size=size, **ALL)
    batch = clips(c=c) if dtype == torch.uint8 else clips(c=c) / 127.5 - 1
    before = batch.clone()
    draws = ClipViews(views).draw(6, (c, 4, 20, 26), generator=seeded())
    output = ClipViews(views).apply(batch, draws)
    assert output.shape == (6, c, 4, size or 20, size or 26)
    assert output.dtype == torch.float32
    assert torch.equal(batch, before)
    for t in range(4):
        torch.testing.assert_close(output[:, :, t], views.apply(batch[:, :, t], draws), rtol=0, atol=2e-5)


def test_colours_of_each_frame_keep_crop_and_flip_of_the_clip():
    views = Views(size=16, **ALL)
    framewise = ClipViews(views, colours="frame")
    draws = framewise.draw(6, (3, 4, 20, 26), generator=seeded())
    assert {name for name, drawn in draws.items() if drawn.shape == (6, 4)} == {
        "brightness",
        "contrast",
        "saturation",
        "hue",
        "grey",
        "sigma",
    }
    assert all(drawn.shape in {(6,), (6, 4)} for drawn in draws.values())
    output = framewise.apply(clips(), draws)
    for t in range(4):
        own = {name: drawn[:, t] if drawn.dim() == 2 else drawn for name, drawn in draws.items()}
        torch.testing.assert_close(output[:, :, t], views.apply(clips()[:, :, t], own), rtol=0, atol=2e-5)
    assert len(draws["brightness"].unique()) > 6


@pytest.mark.parametrize("colours", ["clip", "frame"])
def test_a_still_clip_stays_still_where_its_colours_are_drawn_once(colours):
    still = clips(t=1).expand(-1, -1, 5, -1, -1)
    views = ClipViews(Views(jitter_probability=1.0), colours=colours)
    output = views.apply(still, views.draw(6, (3, 5, 20, 26), generator=seeded()))
    spread = (output - output[:, :, :1]).abs().amax((1, 2, 3, 4))
    assert (spread < 1e-5).all() if colours == "clip" else (spread > 0.01).all()


def test_a_grey_clip_is_grey_in_its_own_frames():
    views = ClipViews(Views(grey=1.0, jitter=(0.0, 0.0, 0.0, 0.0)))
    output = views.apply(clips(), views.draw(6, (3, 4, 20, 26), generator=seeded()))
    torch.testing.assert_close(output, output[:, :1].expand_as(output))
    assert not torch.allclose(output[:, :, 0], output[:, :, 1], atol=0.01)


def test_a_view_that_changes_nothing_is_the_clip():
    views = ClipViews(Views(**NONE))
    output = views.apply(clips(), views.draw(6, (3, 4, 20, 26), generator=seeded()))
    torch.testing.assert_close(output, clips() / 127.5 - 1, rtol=0, atol=1e-6)


@pytest.mark.parametrize("colours", ["clip", "frame"])
def test_a_row_depends_on_its_own_clip_and_draws_alone(colours):
    views = ClipViews(Views(size=16, **ALL), colours=colours)
    draws = views.draw(6, (3, 4, 20, 26), generator=seeded())
    rows = torch.tensor([5, 2, 2])
    some = views.apply(clips()[rows], {name: drawn[rows] for name, drawn in draws.items()})
    torch.testing.assert_close(some, views.apply(clips(), draws)[rows], rtol=0, atol=1e-6)


@pytest.mark.parametrize("colours", ["clip", "frame"])
def test_draws_are_seeded_and_leave_global_randomness_alone(colours):
    views = ClipViews(Views(**ALL), colours=colours)
    state = torch.get_rng_state()
    first, same = (views.draw(16, (3, 4, 20, 26), generator=seeded(3)) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(first[name], same[name]) for name in first)


def test_autocast_does_not_touch_it():
    views = ClipViews(Views(**ALL))
    draws = views.draw(6, (3, 4, 20, 26), generator=seeded())
    expected = views.apply(clips(), draws)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = views.apply(clips(), draws)
    assert output.dtype == torch.float32
    assert torch.equal(output, expected)


def test_an_unknown_word_is_refused():
    with pytest.raises(UserError, match="drawn per clip or frame, got 'block'"):
        ClipViews(Views(), colours="block")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
@pytest.mark.parametrize("colours", ["clip", "frame"])
def test_on_a_gpu_nothing_waits_for_views(colours):
    views, generator = ClipViews(Views(size=16, **ALL), colours=colours), seeded(device="cuda")
    batch, shape = clips(device="cuda"), (3, 4, 20, 26)
    views.apply(batch, views.draw(6, shape, generator=generator))
    torch.cuda.set_sync_debug_mode("error")
    try:
        draws = views.draw(6, shape, generator=generator)
        output = views.apply(batch, draws)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    on_cpu = views.apply(batch.cpu(), {name: drawn.cpu() for name, drawn in draws.items()})
    torch.testing.assert_close(output.cpu(), on_cpu, rtol=0, atol=5e-3)  # TF32 may be on
