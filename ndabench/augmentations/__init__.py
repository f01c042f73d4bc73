"""Negative data augmentation on batches: `fn(images or clips, *, generator, **parameters) -> the same`.

`NEGATIVES` holds the corrected rules for images, `RELEASED` those of the published code, faults included, and
`CLIP_NEGATIVES` those for clips; `mixture` and `chain` make one augmentation out of several. What every entry
keeps to is written in `images.py` and `clips.py`.
"""

from ndabench.augmentations.clips import CLIP_NEGATIVES
from ndabench.augmentations.compose import Augmentation, chain, check_weights, mixture
from ndabench.augmentations.images import NEGATIVES
from ndabench.augmentations.released import RELEASED

__all__ = ["CLIP_NEGATIVES", "NEGATIVES", "RELEASED", "Augmentation", "chain", "check_weights", "mixture"]
