"""The configurations of the evaluations of translators. Nothing here imports torch."""

from collections.abc import Hashable
from typing import ClassVar, Literal

from pydantic import model_validator

from ndabench.data.config import FullPath
from ndabench.measurement import Better
from ndabench.metrics.evaluation import Evaluation

TRANSLATIONS = "translations"
"""The piece of work that all evaluations of a translator share."""

Segmenter = Literal["unet", "fcn_resnet50", "deeplabv3_resnet50"]


class TranslatorEvaluation(Evaluation):
    """What all evaluations of a translator share."""

    @property
    def shares(self) -> tuple[Hashable, ...]:
        return (TRANSLATIONS,)


class L1Config(TranslatorEvaluation):
    """`l1`: the mean absolute difference between a translation and its target, images in [0, 1]."""

    name: Literal["l1"] = "l1"

    better: ClassVar[Better] = "lower"

    @property
    def measures(self) -> tuple[str, ...]:
        return ("l1",)


class LpipsConfig(TranslatorEvaluation):
    """`lpips_alex`: the mean perceptual distance between a translation and its target; see `lpips.py`."""

    name: Literal["lpips"] = "lpips"
    weights: FullPath
    """File with the state dict of torchvision's AlexNet."""
    heads: FullPath
    """File with the weights of its stages, `alex.pth` of the package lpips, version 0.1."""

    better: ClassVar[Better] = "lower"

    @property
    def measures(self) -> tuple[str, ...]:
        return ("lpips_alex",)


class SegmentationConfig(TranslatorEvaluation):
    """How well a segmenter finds the classes of the input, a label map, in the translation.

    `mean_iou_<segmenter>`, `pixel_accuracy_<segmenter>` and `class_accuracy_<segmenter>`, in percent; see
    `segmentation.py`.
    """

    name: Literal["segmentation"] = "segmentation"
    segmenter: Segmenter = "unet"
    """`unet` is trained here, on real training pairs; the others are torchvision's, and need `weights`."""
    weights: FullPath | None = None
    """File with the state dict of a torchvision segmenter for the classes of the data set, in their order."""

    better: ClassVar[Better] = "higher"

    @model_validator(mode="after")
    def _weights_go_with_the_segmenter(self) -> "SegmentationConfig":
        if (self.weights is None) != (self.segmenter == "unet"):
            raise ValueError("weights go with segmenter: fcn_resnet50 or deeplabv3_resnet50, which need them")
        return self

    @property
    def measures(self) -> tuple[str, ...]:
        return tuple(
            f"{score}_{self.segmenter}" for score in ("mean_iou", "pixel_accuracy", "class_accuracy")
        )
