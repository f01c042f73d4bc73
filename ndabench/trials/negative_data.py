"""The data sets that a trial's negatives are drawn from: what they hold, and that it is no training data."""

import torch

from ndabench.augmentations.specification import configurations
from ndabench.data.images import ImageData, digests
from ndabench.data.negatives import kept
from ndabench.data.negatives_config import DatasetNegativeConfig
from ndabench.errors import UserError
from ndabench.trials.config import TrialConfig


def negative_data(trial: TrialConfig, device: torch.device) -> list[ImageData]:
    """The data sets, in the order of the negative's parts; `UserError` where one cannot be opened."""
    configs = [one for one in configurations(trial.negative) if isinstance(one, DatasetNegativeConfig)]
    return [kept(config.data, device) for config in configs]


def require_apart(negatives: ImageData, data: ImageData) -> None:
    """`UserError` where an image of `data` is among the negatives: it would be real and fake at once."""
    known = set(digests(data))
    shared = sum(digest in known for digest in digests(negatives))
    if shared:
        raise UserError(
            f"negative dataset: {shared} images of {negatives.name} are also in {data.name}, which the task "
            "learns from; negatives must be other images"
        )
