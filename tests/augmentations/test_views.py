"""Views against torchvision's functions called image by image with the same parameters."""

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as oracle

from ndabench.augmentations.views import apply_views, draw_views
from ndabench.augmentations.views_config import ViewsConfig
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
PARTS: dict[str, dict[str, Any]] = {
    "crop": {"crop_scale": (0.2, 1.0)},
    "flip": {"flip": 0.5},
    "jitter": {"jitter": (0.4, 0.4, 0.4, 0.1)},
    "strong jitter": {"jitter": (0.9, 0.9, 0.9, 0.5), "jitter_probability": 1.0},
    "grayscale": {"grayscale": 0.5},
    "blur": {"blur": 0.7},
}


def seeded(seed: int = 0, device: str = "cpu") -> torch.Generator:
    return torch.Generator(device).manual_seed(seed)


def pictures(n: int = 12, c: int = 3, h: int = 32, w: int = 32, device: str = "cpu") -> Tensor:
    """uint8, smooth with noise on top, some pixels grey or black."""
    coarse = torch.rand(n, c, 4, 4, generator=seeded(1))
    smooth = torch.nn.functional.interpolate(coarse, (h, w), mode="bilinear")
    values = (smooth + 0.2 * torch.randn(n, c, h, w, generator=seeded(2))).clamp(0, 1)
    values[:, :, : h // 4, : w // 4] = values[:, :1, : h // 4, : w // 4]
    values[:, :, -2:] = 0
    return (values * 255).round().byte().to(device)


def by_torchvision(
    image: Tensor, draws: Mapping[str, Tensor], i: int, size: tuple[int, int], *, blur: bool
) -> Tensor:
    """The view of one image in [0, 1], by torchvision, in the order of the class."""
    value = {name: drawn[i].item() for name, drawn in draws.items()}
    box = [value[name] for name in ("top", "left", "height", "width")]
    view = oracle.resized_crop(image, *box, list(size), antialias=True)
    if value["flip"]:
        view = oracle.horizontal_flip(view)
    view = oracle.adjust_brightness(view, value["brightness"])
    view = oracle.adjust_contrast(view, value["contrast"])
    view = oracle.adjust_saturation(view, value["saturation"])
    view = oracle.adjust_hue(view, value["hue"])
    if value["grayscale"]:
        view = oracle.rgb_to_grayscale(view, num_output_channels=len(view))
    if blur and value["sigma"]:
        kernel = 2 * (min(size) // 20) + 1
        view = oracle.gaussian_blur(view, [max(kernel, 3)] * 2, [value["sigma"]] * 2)
    return view


@pytest.mark.parametrize("part", [*PARTS, "all"])
@pytest.mark.parametrize(
    ("h", "w", "size"), [(32, 32, None), (40, 56, 24), (28, 20, None), (20, 26, 44)], ids=str
)
@pytest.mark.parametrize("c", [3, 1])
def test_every_part_is_torchvisions(part: str, h: int, w: int, size: int | None, c: int) -> None:
    views = ViewsConfig(size=size, **(ALL if part == "all" else {**NONE, **PARTS[part]}))
    images = pictures(c=c, h=h, w=w)
    draws = draw_views(views, len(images), (c, h, w), generator=seeded())
    output = apply_views(views, images, draws)
    side = (size, size) if size else (h, w)
    assert output.shape == (len(images), c, *side)
    for i, image in enumerate(images):
        expected = by_torchvision(image / 255, draws, i, side, blur=views.blur > 0)
        torch.testing.assert_close((output[i] + 1) / 2, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.bfloat16], ids=str)
def test_a_view_that_changes_nothing_is_the_image(dtype: torch.dtype) -> None:
    images = pictures()
    floats = images / 127.5 - 1
    images = images if dtype == torch.uint8 else floats.to(dtype)
    before = images.clone()
    views = ViewsConfig(**NONE)
    output = apply_views(views, images, draw_views(views, len(images), (3, 32, 32), generator=seeded()))
    assert output.dtype == torch.float32
    expected = floats if dtype == torch.uint8 else images.float()
    torch.testing.assert_close(output, expected, rtol=0, atol=1e-6)
    assert torch.equal(images, before)


def test_neutral_draws_pass_an_image_over() -> None:
    views = ViewsConfig(**ALL)
    draws = draw_views(views, 12, (3, 32, 32), generator=seeded())
    neutral = {"height": 32, "width": 32, "brightness": 1, "contrast": 1, "saturation": 1}
    draws = {name: torch.full_like(drawn, neutral.get(name, 0)) for name, drawn in draws.items()}
    torch.testing.assert_close(
        apply_views(views, pictures(), draws), pictures() / 127.5 - 1, rtol=0, atol=1e-5
    )


def test_a_row_depends_on_its_own_image_and_draws_alone() -> None:
    views, images = ViewsConfig(**ALL), pictures(n=9)
    draws = draw_views(views, 9, (3, 32, 32), generator=seeded())
    rows = torch.tensor([7, 2, 2])
    some = apply_views(views, images[rows], {name: drawn[rows] for name, drawn in draws.items()})
    torch.testing.assert_close(some, apply_views(views, images, draws)[rows], rtol=0, atol=1e-6)


def test_draws_are_per_image_seeded_and_leave_global_randomness_alone() -> None:
    views = ViewsConfig(**ALL)
    state = torch.get_rng_state()
    generator = seeded(3)
    first, later = (draw_views(views, 64, (3, 32, 32), generator=generator) for _ in range(2))
    again = draw_views(views, 64, (3, 32, 32), generator=seeded(3))
    assert torch.equal(torch.get_rng_state(), state)
    for name, drawn in first.items():
        assert drawn.shape == (64,)
        assert torch.equal(drawn, again[name])
        assert not torch.equal(drawn, later[name])
        assert len(drawn.unique()) > 1


@pytest.mark.parametrize(
    ("h", "w", "scale"),
    [(32, 32, (0.2, 1.0)), (40, 56, (0.5, 1.0)), (8, 64, (0.08, 1.0)), (64, 8, (1.0, 1.0))],
)
def test_crops_are_distributed_as_torchvisions(h: int, w: int, scale: tuple[float, float]) -> None:
    count = 4000
    ours = draw_views(ViewsConfig(crop_scale=scale), count, (3, h, w), generator=seeded())
    with torch.random.fork_rng():
        torch.manual_seed(0)
        transform = v2.RandomResizedCrop(8, scale=scale)
        theirs = [transform.make_params([torch.empty(3, h, w)]) for _ in range(count)]
    assert ((ours["top"] >= 0) & (ours["top"] + ours["height"] <= h)).all()
    assert ((ours["left"] >= 0) & (ours["left"] + ours["width"] <= w)).all()
    for name in ("top", "left", "height", "width"):
        drawn, expected = ours[name].double(), torch.tensor([box[name] for box in theirs]).double()
        error = (drawn.var() + expected.var()).div(count).sqrt()
        assert abs(drawn.mean() - expected.mean()) <= 4 * error
        assert drawn.std() == pytest.approx(expected.std().item(), rel=0.1)


def test_probabilities_and_ranges() -> None:
    views = ViewsConfig(flip=0.3, grayscale=0.2, blur=0.6, jitter_probability=0.7)
    draws = draw_views(views, 4000, (3, 8, 8), generator=seeded())
    share = {name: drawn.float().mean().item() for name, drawn in draws.items()}
    assert share["flip"] == pytest.approx(0.3, abs=0.03)
    assert share["grayscale"] == pytest.approx(0.2, abs=0.03)
    for name, neutral, low, high in [("brightness", 1, 0.6, 1.4), ("hue", 0, -0.1, 0.1)]:
        jittered = draws[name][draws[name] != neutral]
        assert len(jittered) / 4000 == pytest.approx(0.7, abs=0.03)
        assert low <= jittered.min() < low + 0.01 * (high - low)
        assert high - 0.01 * (high - low) < jittered.max() <= high
    blurred = draws["sigma"][draws["sigma"] > 0]
    assert len(blurred) / 4000 == pytest.approx(0.6, abs=0.03)
    assert 0.1 <= blurred.min() < blurred.max() <= 2
    # one image is jittered in all four or in none
    assert torch.equal(draws["brightness"] == 1, draws["hue"] == 0)


def test_autocast_does_not_touch_it() -> None:
    views, images = ViewsConfig(**ALL), pictures()
    draws = draw_views(views, len(images), (3, 32, 32), generator=seeded())
    expected = apply_views(views, images, draws)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = apply_views(views, images, draws)
    assert output.dtype == torch.float32
    assert torch.equal(output, expected)
    assert output.abs().max() <= 1


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"size": 1}, "size: input should be greater than or equal to 4, got 1"),
        ({"crop_scale": (0.0, 1.0)}, "0 < low <= high <= 1, got 0.0 and 1.0"),
        ({"crop_scale": (0.5, 0.2)}, "got 0.5 and 0.2"),
        ({"flip": 1.5}, "flip: input should be less than or equal to 1, got 1.5"),
        ({"blur": -0.1}, "blur: input should be greater than or equal to 0, got -0.1"),
        ({"jitter": (0.4, 0.4, 0.4, 0.6)}, r"its hue in \[0, 0.5\], got \[0.4, 0.4, 0.4, 0.6\]"),
    ],
)
def test_wrong_numbers_are_named(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        parse(ViewsConfig, parameters, "views")


def test_other_channels_are_refused() -> None:
    with pytest.raises(UserError, match="1 or 3 channels, got 4"):
        draw_views(ViewsConfig(), 2, (4, 8, 8), generator=seeded())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_on_a_gpu_nothing_waits_for_it() -> None:
    views, images, generator = ViewsConfig(**ALL), pictures(device="cuda"), seeded(device="cuda")
    apply_views(views, images, draw_views(views, len(images), (3, 32, 32), generator=generator))
    torch.cuda.set_sync_debug_mode("error")
    try:
        draws = draw_views(views, len(images), (3, 32, 32), generator=generator)
        output = apply_views(views, images, draws)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    on_cpu = apply_views(views, images.cpu(), {name: drawn.cpu() for name, drawn in draws.items()})
    torch.testing.assert_close(output.cpu(), on_cpu, rtol=0, atol=5e-3)  # TF32 may be on
