"""The keys of negatives that come from a data set instead of from a change of the training images.

    {name: dataset, data: {name: dots, count: [4, 5, 7]}}
    {name: dataset, data: {name: image_folder, path: ~/near_misses}, labels: same_class}

Nothing here imports torch; `negatives.py` draws.
"""

from typing import Literal

from ndabench.augmentations.registry import ConfiguredNegative
from ndabench.data.registry import ImageDataConfig


class DatasetNegativeConfig(ConfiguredNegative):
    """Images that are drawn at random, with replacement, from the training split of another data set."""

    name: Literal["dataset"] = "dataset"
    data: ImageDataConfig
    labels: Literal["kept", "same_class"] = "kept"
    """What a conditional discriminator is told. `kept`: a negative takes the place of a training image and
    its label, as every other negative does. `same_class`: it also comes from the class of that name in its
    own set."""

    @property
    def label(self) -> str:
        rule = "" if self.labels == "kept" else ", same class"
        return f"{self.name}({self.data.title}{rule})"

    @property
    def needs_labels(self) -> bool:
        return self.labels == "same_class"
