"""Negative data augmentation on batches of images: `fn(images, *, generator, **parameters) -> images`.

`NEGATIVES` holds the corrected rules, `RELEASED` those of the published code, faults included; `mixture` and
`chain` make one augmentation out of several. What every entry keeps to is written in `images.py`.
"""

from ndabench.augmentations.compose import Augmentation, chain, mixture
from ndabench.augmentations.images import NEGATIVES
from ndabench.augmentations.released import RELEASED

__all__ = ["NEGATIVES", "RELEASED", "Augmentation", "chain", "mixture"]
