"""Negatives that are images of another data set; `negatives_config.py` has their keys.

The images stay in the memory of the device where they are used, once for each process. All draws come from
the generator that is passed in, so that every worker draws the same and a resumed training goes on as it
would have. Nothing waits for the device.
"""

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from ndabench.data.feeding import ResidentSplit
from ndabench.data.images import ImageData, to_float
from ndabench.data.negatives_config import DatasetNegativeConfig
from ndabench.data.registry import load_data
from ndabench.data.source import ImageConfig
from ndabench.errors import UserError, first_of


@dataclass(frozen=True)
class DatasetNegative:
    """T(x) is a random image of another data set, whatever x is."""

    config: DatasetNegativeConfig

    def __call__(self, images: Tensor, *, generator: torch.Generator) -> Tensor:
        """As many negatives as there are `images` `[N, C, H, W]`, of their shape and dtype.

        Raises `UserError` for negatives of another size or number of channels.
        """
        data = kept(self.config.data, images.device)
        draws = torch.rand(len(images), generator=generator, device=images.device)
        return _taken(data, (draws * len(data.train)).long(), images)

    def by_class(self, class_names: tuple[str, ...], device: torch.device) -> "DrawnByClass":
        """The same, where each negative is of the class of a given label, which numbers `class_names`.

        Raises `UserError` for a class that the data set does not have.
        """
        data = kept(self.config.data, device)
        missing = [name for name in class_names if name not in data.class_names]
        if missing:
            raise UserError(
                f"negative dataset: labels: same_class needs every class of the training data, but "
                f"{data.name} does not have {first_of(missing)}"
            )
        classes = torch.tensor([data.class_names.index(name) for name in class_names])
        counts = data.train.labels.bincount(minlength=len(data.class_names))
        starts = counts.cumsum(0) - counts
        rows = data.train.labels.argsort(stable=True)
        return DrawnByClass(data, rows.to(device), starts[classes].to(device), counts[classes].to(device))


@dataclass(frozen=True)
class DrawnByClass:
    """Draws negatives for labels."""

    data: ImageData
    rows: Tensor
    """int64 `[M]`: the rows of the data set, class by class."""
    starts: Tensor
    """int64: for each label the place in `rows` where its class begins."""
    counts: Tensor
    """int64: for each label the number of images in its class."""

    def __call__(self, images: Tensor, labels: Tensor, *, generator: torch.Generator) -> Tensor:
        """Negatives of the classes `labels` `[N]`, of the shape and dtype of `images` `[N, C, H, W]`."""
        draws = torch.rand(len(images), generator=generator, device=images.device, dtype=torch.float64)
        return _taken(
            self.data, self.rows[self.starts[labels] + (draws * self.counts[labels]).long()], images
        )


@lru_cache(maxsize=4)
def kept(config: ImageConfig, device: torch.device) -> ImageData:
    """The data set in the device's memory; `UserError` for one that would be streamed."""
    data = load_data(config, device)
    if not isinstance(data.train, ResidentSplit):
        raise UserError(
            f"negative dataset: {data.name} would be streamed, but negatives are kept in memory; "
            "take fewer or smaller images, or set stream: false where they fit"
        )
    return data


def _taken(data: ImageData, rows: Tensor, images: Tensor) -> Tensor:
    """The training images in these rows, in the dtype of `images`, whose shape they must have."""
    if data.image_shape != images.shape[1:]:
        have, need = ("×".join(map(str, shape)) for shape in (data.image_shape, images.shape[1:]))
        raise UserError(
            f"negative dataset: images of {data.name} are {have} (channels×height×width), the training "
            f"images {need}; set channels and image_size of the negative's data"
        )
    [(taken, _)] = data.train.batches([rows])
    return taken if images.dtype == torch.uint8 else to_float(taken).to(images.dtype)
