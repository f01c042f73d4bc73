"""Negatives for anybody's own training loop: as plain functions, and as transforms of torchvision v2.

    >>> images = torch.arange(16.0).view(1, 1, 4, 4)
    >>> jigsaw(images, generator=torch.Generator().manual_seed(0), grid=2)[0, 0]
    tensor([[10., 11.,  2.,  3.],
            [14., 15.,  6.,  7.],
            [ 0.,  1.,  8.,  9.],
            [ 4.,  5., 12., 13.]])
    >>> batch, labels = torch.rand(8, 3, 32, 32), torch.arange(8)
    >>> negatives, labels = NegativeTransform({"mixture": {"jigsaw": 1, "cutmix": 1}})(batch, labels)
    >>> negatives.shape, labels.shape
    (torch.Size([8, 3, 32, 32]), torch.Size([8]))

The functions take images `[N, C, H, W]`, uint8 or float in [-1, 1], and draw from the generator that they are
given. `clips` has those for clips `[N, C, T, H, W]`. `ndabench list negatives` describes all, and
`ndabench explain NAME` the parameters.
"""

from typing import Any, cast

import PIL.Image
import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

from ndabench.augmentations import clips
from ndabench.augmentations.images import (
    cutmix,
    cutout,
    flip,
    gaussian_noise,
    jigsaw,
    mixup,
    patches,
    random_crop,
    rotate,
    shift,
    stitch,
)
from ndabench.augmentations.specification import NegativeSpec, Rule, build_redrawn, configurations
from ndabench.config import parse
from ndabench.errors import UserError

__all__ = [
    "NegativeTransform",
    "clips",
    "cutmix",
    "cutout",
    "flip",
    "gaussian_noise",
    "jigsaw",
    "mixup",
    "patches",
    "random_crop",
    "rotate",
    "shift",
    "stitch",
]


class NegativeTransform(v2.Transform):
    """A negative as a transform: of images `[..., C, H, W]` or, as `tv_tensors.Video`, of clips
    `[..., T, C, H, W]`.

    Like `v2.MixUp` it is best applied to a batch, and some negatives need one, since they pair images:
    `stitch`, `mixup`, `cutmix`. Labels and whatever else is in the sample pass through. Outputs that equal
    their inputs are drawn again, as in a sweep.
    """

    _transformed_types = (tv_tensors.Image, tv_tensors.Video, v2.functional.is_pure_tensor)

    def __init__(
        self,
        negative: Any,
        *,
        generator: torch.Generator | None = None,
        value_range: tuple[float, float] = (0.0, 1.0),
        **parameters: Any,
    ) -> None:
        """`negative` as in a sweep file: a name, whose `parameters` may follow, or a mapping.

        Draws come from `generator` or, as in other transforms, from PyTorch's own of the images' device.
        `value_range` is that of float images; uint8 images have 0 to 255. `UserError` for what would also be
        wrong in a sweep file.
        """
        super().__init__()
        spec = {"name": negative, **parameters} if isinstance(negative, str) else negative
        self.negative = parse(cast(Any, NegativeSpec), spec, "negative")
        if any(configurations(self.negative)):
            raise UserError(f"{self.negative.label}: draws from a data set, and is no change of an image")
        self.generator, self.value_range = generator, value_range

    def check_inputs(self, flat_inputs: list[Any]) -> None:
        """`UserError` for a sample of which this would change nothing, or only a part."""
        for one in flat_inputs:
            if isinstance(one, PIL.Image.Image):
                raise UserError("NegativeTransform: takes tensors; put v2.ToImage() before it")
            if isinstance(one, tv_tensors.BoundingBoxes | tv_tensors.Mask | tv_tensors.KeyPoints):
                raise UserError(f"NegativeTransform: cannot change a {type(one).__name__} with its image")

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """The negative of one image, of a batch of images, or of clips."""
        video = isinstance(inpt, tv_tensors.Video)
        rank = 4 if video else 3
        if inpt.ndim < rank:
            raise UserError(f"NegativeTransform: needs images [..., C, H, W], got shape {list(inpt.shape)}")
        batch = inpt.as_subclass(Tensor).reshape(-1, *inpt.shape[-rank:])
        batch = self._scaled(batch, *self.value_range, -1.0, 1.0)
        if video:
            changed = self._apply(batch.transpose(1, 2), "clips").transpose(1, 2)
        else:
            changed = self._apply(batch, "corrected")
        changed = self._scaled(changed, -1.0, 1.0, *self.value_range)
        return tv_tensors.wrap(changed.reshape(inpt.shape), like=inpt)

    def _apply(self, batch: Tensor, rule: Rule) -> Tensor:
        negative = build_redrawn(self.negative, rule)
        return negative(batch, generator=self.generator or _default_generator(batch.device))

    def _scaled(self, images: Tensor, low: float, high: float, new_low: float, new_high: float) -> Tensor:
        if not images.is_floating_point() or (low, high) == (new_low, new_high):
            return images
        return (images - low) * ((new_high - new_low) / (high - low)) + new_low

    def extra_repr(self) -> str:
        return self.negative.label


def _default_generator(device: torch.device) -> torch.Generator:
    if device.type == "cuda":
        index = torch.cuda.current_device() if device.index is None else device.index
        return torch.cuda.default_generators[index]
    return torch.default_generator
