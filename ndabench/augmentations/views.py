"""Random views for contrastive learning: crop, flip, colour jitter, grayscale, blur (SimCLR, MoCo-v2). Views
are made of whole batches of images or clips on their device, with separate draws for every image or clip.
`draw_views` makes the draws and `apply_views` the pixels, so that workers can share one set of draws while
each makes only its own rows:

    config = ViewsConfig(size=24, flip=0.0)
    draws = draw_views(config, len(images), images.shape[1:], generator=generator)
    views = apply_views(config, images, draws)

With the same parameters each part gives what torchvision's v2 functional gives for one float image
(`resized_crop` with antialias, `adjust_*`, `rgb_to_grayscale`, `gaussian_blur`). The crop is a product with
one matrix per image and axis: unlike a warp it is antialiased and sees nothing outside the box. An image that
an operation skips has that operation's neutral parameter: no shape depends on a draw.

A clip gets one set of draws, as an image does, so that a view moves as its clip does: crop and flip are equal
on all frames, and so are the colours where they are drawn once per clip. Contrast changes about each frame's
own mean, as in torchvision.
"""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from ndabench.augmentations import draws as drawing
from ndabench.augmentations.views_config import ClipViewsConfig, ViewsConfig
from ndabench.errors import UserError

_SIGMA = (0.1, 2.0)
_CROP_ATTEMPTS = 10
_PLACES = frozenset({"top", "left", "height", "width", "flip"})
"""The draws that say where a view lies in its image or clip."""


def draw_views(
    config: ViewsConfig, count: int, shape: Sequence[int], *, generator: torch.Generator
) -> dict[str, Tensor]:
    """Every draw for `count` images of `shape` (C, H, W) or clips of `shape` (C, T, H, W).

    Tensors `[count]` on the generator's device, or `[count, T]` for what is drawn for each frame. Raises
    `UserError` for images that are neither greyscale nor RGB.
    """
    channels, *frames, height, width = shape
    if channels not in (1, 3):
        raise UserError(f"views: images need 1 or 3 channels, got {channels}")
    drawn = _draw(config, count, height, width, generator)
    if not frames or not isinstance(config, ClipViewsConfig) or config.color_jitter_per == "clip":
        return drawn
    each = _draw(config, count * frames[0], height, width, generator)
    return {
        name: drawn[name] if name in _PLACES else value.view(count, frames[0]) for name, value in each.items()
    }


def _draw(
    config: ViewsConfig, count: int, height: int, width: int, generator: torch.Generator
) -> dict[str, Tensor]:
    def chosen(probability: float) -> Tensor:
        return torch.rand(count, generator=generator, device=generator.device) < probability

    drawn = _crop_boxes(count, (height, width), config.crop_scale, config.crop_ratio, generator)
    drawn["flip"] = chosen(config.flip)
    jittered = chosen(config.jitter_probability)
    for name, strength in zip(("brightness", "contrast", "saturation", "hue"), config.jitter, strict=True):
        neutral = 0.0 if name == "hue" else 1.0
        change = _uniform(-strength, strength, (count,), generator)
        drawn[name] = neutral + jittered * change
    drawn["grayscale"] = chosen(config.grayscale)
    if config.blur:
        drawn["sigma"] = chosen(config.blur) * _uniform(*_SIGMA, (count,), generator)
    return drawn


def apply_views(config: ViewsConfig, images: Tensor, draws: Mapping[str, Tensor]) -> Tensor:
    """The views, float32 in [-1, 1], of `images`, uint8 or float in [-1, 1].

    Images `[N, C, H, W]` become `[N, C, size, size]`, clips `[N, C, T, H, W]` become `[N, C, T, size, size]`.
    View i depends on image i and on row i of `draws` alone. Autocast has no effect on it.
    """
    height, width = (config.size, config.size) if config.size else images.shape[-2:]
    with torch.autocast(images.device.type, enabled=False):
        if images.dim() == 5:
            return _views_of_clips(config, images, draws, height, width)
        view = images.float()
        view = (view + 1) / 2 if images.is_floating_point() else view / 255
        view = _change_colours(config, crop(view, draws, height, width), draws)
        return view.mul_(2).sub_(1).clamp_(-1, 1)


def _views_of_clips(
    config: ViewsConfig, clips: Tensor, draws: Mapping[str, Tensor], height: int, width: int
) -> Tensor:
    """A clip's frames lie one after the other in memory, so that the result is not contiguous."""
    n, c, t, h, w = clips.shape
    # Time among the channels: one resampling matrix serves all frames of a clip.
    frames = clips.transpose(1, 2).reshape(n, t * c, h, w).float()
    view = crop(frames, draws, height, width).view(n * t, c, height, width)
    view = view.add_(1).div_(2) if clips.is_floating_point() else view.div_(255)
    of_frames = {
        name: (drawn if drawn.dim() == 2 else drawn[:, None].expand(n, t)).flatten()
        for name, drawn in draws.items()
        if name not in _PLACES
    }
    view = _change_colours(config, view, of_frames).mul_(2).sub_(1).clamp_(-1, 1)
    return view.view(n, t, c, height, width).transpose(1, 2)


def _change_colours(config: ViewsConfig, images: Tensor, draws: Mapping[str, Tensor]) -> Tensor:
    """Applies all but crop and flip to float32 images in [0, 1], which may be overwritten."""
    if config.jitter_probability and any(config.jitter):
        images = jitter(images, draws)
    if config.grayscale:
        images = grayscale(images, draws)
    return blur(images, draws) if config.blur else images


def _uniform(low: float, high: float, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    return low + (high - low) * torch.rand(shape, generator=generator, device=generator.device)


def _crop_boxes(
    count: int,
    sides: tuple[int, int],
    scale: tuple[float, float],
    ratios: tuple[float, float],
    generator: torch.Generator,
) -> dict[str, Tensor]:
    """int64 top, left, height and width of crops, distributed as torchvision's `RandomResizedCrop`.

    Area and log-ratio are uniform, and the first of ten attempts that fits is taken; where none does, it is
    the largest middle crop of a ratio in range.
    """
    (height, width), (narrowest, widest) = sides, ratios
    attempts = (count, _CROP_ATTEMPTS)
    area = height * width * _uniform(*scale, attempts, generator)
    ratio = _uniform(math.log(narrowest), math.log(widest), attempts, generator).exp()
    high, wide = (area / ratio).sqrt().round().long(), (area * ratio).sqrt().round().long()
    fits = (high > 0) & (high <= height) & (wide > 0) & (wide <= width)
    fallback_h = min(height, round(width / narrowest))
    fallback_w = min(width, round(height * widest))
    take = fits.int().argmax(1, keepdim=True)
    any_fits = fits.any(1)
    high = torch.where(any_fits, high.gather(1, take)[:, 0], fallback_h)
    wide = torch.where(any_fits, wide.gather(1, take)[:, 0], fallback_w)
    top = drawing.below(height + 1 - high, generator=generator)
    left = drawing.below(width + 1 - wide, generator=generator)
    top = torch.where(any_fits, top, (height - fallback_h) // 2)
    left = torch.where(any_fits, left, (width - fallback_w) // 2)
    return {"top": top, "left": left, "height": high, "width": wide}


def crop(images: Tensor, draws: Mapping[str, Tensor], height: int, width: int) -> Tensor:
    """Boxes top, left, height, width resampled to `height` × `width`, mirrored where `flip`.

    Exact to float32, or to 11 bits where the caller lets GPUs multiply in TF32.
    """
    n, c, h, w = images.shape
    rows = _resampling(draws["top"], draws["height"], h, height)
    columns = _resampling(draws["left"], draws["width"], w, width, mirrored=draws["flip"])
    wide = images.reshape(n, c * h, w) @ columns.mT
    return rows[:, None] @ wide.view(n, c, h, width)


def _resampling(
    start: Tensor, length: Tensor, side: int, size: int, mirrored: Tensor | None = None
) -> Tensor:
    """`[N, size, side]`: weights that make `size` pixels of the `length` pixels from `start` on.

    A triangle over the pixel centres, as wide as the larger of the two pixels (bilinear, antialiased), that
    ends with the crop.
    """
    start, length = start[:, None], length[:, None]
    target = torch.arange(size, device=start.device).expand(len(start), size)
    if mirrored is not None:
        target = torch.where(mirrored[:, None], size - 1 - target, target)
    scale = length / size
    centre = (start + scale * (target + 0.5))[..., None]
    pixel = torch.arange(side, device=start.device)
    distance = (pixel + 0.5 - centre).abs_().div_(scale.clamp(min=1)[..., None])
    inside = (pixel >= start) & (pixel < start + length)
    weights = distance.neg_().add_(1).clamp_(min=0).mul_(inside[:, None])
    return weights.div_(weights.sum(-1, keepdim=True))


def jitter(images: Tensor, draws: Mapping[str, Tensor]) -> Tensor:
    """Brightness, contrast, saturation and hue of images in [0, 1], in this order.

    torchvision draws an order per image, which in a batch would cost each operation four times over.
    """
    factor = {name: draws[name].view(-1, 1, 1, 1) for name in ("brightness", "contrast", "saturation", "hue")}
    images = images.mul(factor["brightness"]).clamp_(max=1)
    mean = _luma(images).mean((2, 3), keepdim=True)
    images = torch.lerp(mean, images, factor["contrast"]).clamp_(0, 1)
    if images.shape[1] == 1:
        return images
    images = torch.lerp(_luma(images), images, factor["saturation"]).clamp_(0, 1)
    return _turn_hue(images, factor["hue"])


def _luma(images: Tensor) -> Tensor:
    """Grey levels `[N, 1, H, W]` by the weights of ITU-R 601, as Pillow and torchvision round them."""
    if images.shape[1] == 1:
        return images
    red, green, blue = images.split(1, 1)
    return red.mul(0.2989).add_(green, alpha=0.587).add_(blue, alpha=0.114)


def _turn_hue(images: Tensor, turns: Tensor) -> Tensor:
    """The hue of HSV moved on by `turns` of the circle; value and saturation stay.

    Hue counts sextants: where channel c is the largest, 2c + (next channel − next but one) / chroma. The
    largest is found by arithmetic, since `argmax` over channels takes many times as long as all the rest
    on CPUs (torch 2.15).
    """
    red, green, blue = images.split(1, 1)
    value = images.amax(1, keepdim=True)
    chroma = value - images.amin(1, keepdim=True)
    sextants = torch.cat([green - blue, blue - red, red - green], 1).div_(chroma.clamp(min=1e-8))
    sextants += torch.arange(0, 6, 2, device=images.device).view(3, 1, 1)
    # Out of the running for the maximum; of two largest channels both give the same hue.
    sextants.sub_((images < value).to(images.dtype), alpha=9)
    hue = sextants.amax(1, keepdim=True).add_(6 * turns)
    # A channel is at the value for a third of the circle, at value − chroma for another, linear between.
    position = (hue + torch.arange(11, 5, -2, device=images.device).view(3, 1, 1)).div_(6).frac_().mul_(6)
    return position.sub_(2).abs_().sub_(2).clamp_(-1, 0).mul_(chroma).add_(value)


def grayscale(images: Tensor, draws: Mapping[str, Tensor]) -> Tensor:
    """The grey levels in all channels where `grayscale`."""
    return torch.lerp(images, _luma(images), draws["grayscale"].view(-1, 1, 1, 1).to(images.dtype))


def blur(images: Tensor, draws: Mapping[str, Tensor]) -> Tensor:
    """Gaussian of `sigma` pixels where that is above 0, reflected at the borders."""
    n, c, h, w = images.shape
    radius = max(min(h, w) // 20, 1)
    offset = torch.arange(-radius, radius + 1, device=images.device)
    # At the least σ only the middle is left: the identity.
    kernel = (-0.5 * (offset / draws["sigma"].clamp(min=0.01)[:, None]).square()).exp()
    kernel = (kernel / kernel.sum(1, keepdim=True)).repeat_interleave(c, 0)
    planes = functional.pad(images, (radius,) * 4, mode="reflect").flatten(0, 1)[None]
    planes = functional.conv2d(planes, kernel[:, None, None, :], groups=n * c)
    return functional.conv2d(planes, kernel[:, None, :, None], groups=n * c).view(n, c, h, w)
