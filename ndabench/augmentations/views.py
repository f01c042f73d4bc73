"""Random views of images for contrastive learning: crop, flip, colour jitter, grey, blur (SimCLR, MoCo-v2).

Whole batches on their device, with draws of its own for every image. `Views.draw` makes the draws and
`Views.apply` the pixels, so that workers can share one set of draws and each make its own rows.

With the same parameters each part gives what torchvision's v2 functional gives for one float image
(`resized_crop` with antialias, `adjust_*`, `rgb_to_grayscale`, `gaussian_blur`). The crop is a product with a
matrix an image and axis: unlike a warp it is antialiased and sees nothing outside the box. An image that an
operation passes over has that operation's neutral parameter: no shape depends on a draw.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from ndabench.augmentations import draws as drawing
from ndabench.errors import UserError

_SIGMA = (0.1, 2.0)
_CROP_ATTEMPTS = 10


@dataclass(frozen=True)
class Views:
    """What a view may change. `UserError` where a number is out of its range."""

    size: int | None = None
    """Side of the output; None: the input's sides."""
    crop_scale: tuple[float, float] = (0.2, 1.0)
    """Share of the image's area that a crop covers."""
    crop_ratio: tuple[float, float] = (3 / 4, 4 / 3)
    """Width over height of a crop, in pixels of the image."""
    flip: float = 0.5
    jitter: tuple[float, float, float, float] = (0.4, 0.4, 0.4, 0.1)
    """Strengths of brightness, contrast, saturation (factors 1 ± strength) and hue (± strength turns)."""
    jitter_probability: float = 0.8
    grey: float = 0.2
    blur: float = 0.0
    """Probability of a Gaussian blur, σ ~ U(0.1, 2) pixels, the kernel cut off at a tenth of the side."""

    def __post_init__(self) -> None:
        if self.size is not None and self.size < 2:
            raise UserError(f"views: size must be at least 2, got {self.size}")
        low, high = self.crop_scale
        if not 0 < low <= high <= 1:
            raise UserError(f"views: crop_scale needs 0 < low <= high <= 1, got {low} and {high}")
        narrow, wide = self.crop_ratio
        if not 0 < narrow <= wide:
            raise UserError(f"views: crop_ratio needs 0 < low <= high, got {narrow} and {wide}")
        for name in ("flip", "jitter_probability", "grey", "blur"):
            if not 0 <= getattr(self, name) <= 1:
                raise UserError(f"views: {name} is a probability, got {getattr(self, name)}")
        if not (all(0 <= strength <= 1 for strength in self.jitter) and self.jitter[3] <= 0.5):
            raise UserError(f"views: jitter must lie in [0, 1], its hue in [0, 0.5], got {list(self.jitter)}")

    def draw(
        self, count: int, shape: tuple[int, int, int], *, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Every draw for `count` images of `shape` (C, H, W): tensors `[count]` on the generator's device."""
        channels, height, width = shape
        if channels not in (1, 3):
            raise UserError(f"views: images need 1 or 3 channels, got {channels}")

        def chosen(probability: float) -> Tensor:
            return torch.rand(count, generator=generator, device=generator.device) < probability

        drawn = _crop_boxes(count, (height, width), self.crop_scale, self.crop_ratio, generator)
        drawn["flip"] = chosen(self.flip)
        jittered = chosen(self.jitter_probability)
        for name, strength in zip(("brightness", "contrast", "saturation", "hue"), self.jitter, strict=True):
            neutral = 0.0 if name == "hue" else 1.0
            change = _uniform(-strength, strength, (count,), generator)
            drawn[name] = neutral + jittered * change
        drawn["grey"] = chosen(self.grey)
        if self.blur:
            drawn["sigma"] = chosen(self.blur) * _uniform(*_SIGMA, (count,), generator)
        return drawn

    def apply(self, images: Tensor, draws: Mapping[str, Tensor]) -> Tensor:
        """The views, float32 `[N, C, size, size]` in [-1, 1], of `images`, uint8 or float in [-1, 1].

        View i depends on image i and on row i of `draws` alone. Autocast has no hold on it.
        """
        height, width = (self.size, self.size) if self.size else images.shape[-2:]
        with torch.autocast(images.device.type, enabled=False):
            view = images.float()
            view = (view + 1) / 2 if images.is_floating_point() else view / 255
            view = self.colour(crop(view, draws, height, width), draws)
            return view.mul_(2).sub_(1).clamp_(-1, 1)

    def colour(self, images: Tensor, draws: Mapping[str, Tensor]) -> Tensor:
        """All but crop and flip, on float32 images in [0, 1], which may be overwritten."""
        if self.jitter_probability and any(self.jitter):
            images = jitter(images, draws)
        if self.grey:
            images = grey(images, draws)
        return blur(images, draws) if self.blur else images


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


def grey(images: Tensor, draws: Mapping[str, Tensor]) -> Tensor:
    """The grey levels in all channels where `grey`."""
    return torch.lerp(images, _luma(images), draws["grey"].view(-1, 1, 1, 1).to(images.dtype))


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
