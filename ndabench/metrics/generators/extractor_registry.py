"""The feature extractors that generated images can be compared with. Nothing here imports torch.

An extractor is a frozen network that maps images to feature vectors and class logits. The names of what is
measured with it follow from its own name: `{name: fd, extractor: toy}` gives `fd_toy`. The plain names
`fid`, `kid` and `inception_score` are reserved for the Inception-v3 of 2015-12-05.

An extractor from outside is one entry:

    EXTRACTORS.register(
        "toy", ExtractorEntry(open="my_package.toy:open_toy", dimension=8, resize="none", weights="none")
    )

where `open_toy(*, device)` gives an `Extractor` (see `ndabench.metrics.generators.extraction`).
"""

import re
from dataclasses import dataclass
from typing import Literal

from ndabench.registry import Registry

Argument = Literal["data", "weights", "download", "model"]


@dataclass(frozen=True)
class ExtractorEntry:
    """What is known of an extractor before it is opened."""

    open: str
    """The function that opens it: called with `device` and what `takes` lists, as keywords."""
    dimension: int | None
    """d, the length of a feature vector; None: the model's, which the opened extractor's details give as
    `feature_dimension`."""
    resize: str
    """How images are brought to the size that the network sees, for the protocol."""
    weights: str
    """Where its weights come from, in words."""
    takes: tuple[Argument, ...] = ()
    """`data`: the data set measured against; `weights`, `download`, `model`: the evaluation's keys."""
    input_size: int | None = None
    """Side in pixels of what the network sees; None: the images' own, or the model's."""
    input_range: tuple[float, float] = (-1.0, 1.0)
    """The values of black and white as the network sees them. The extractor itself is handed uint8 images."""
    sha256: str = ""
    """What the hash of the published weights begins with; empty where there are none."""
    has_logits: bool = True
    """Whether the network also classifies, which the Inception Score needs."""
    verified: bool = True
    """Whether its values were checked with the published weights, and not on random ones alone."""


INCEPTION, CLIP = "inception", "clip"
RESERVED = {
    INCEPTION: {
        "fd": "fid",
        "fd_infinity": "fid_infinity",
        "kid": "kid",
        "inception_score": "inception_score",
    },
    CLIP: {"cmmd": "cmmd"},
}
"""The names that are reserved for the values of one extractor."""


def metric_name(measure: str, extractor: str, model: str | None = None) -> str:
    """The name of a value: `fd` with the classifier is `fd_classifier`, with Inception-v3 it is `fid`.

    The model follows where there is one: `fd_timm_convnext_tiny_fb_in1k`.
    """
    reserved = RESERVED.get(extractor, {})
    if measure in reserved:
        return reserved[measure]
    of_model = "_" + re.sub(r"\W", "_", model) if model else ""
    return f"{measure}_{extractor}{of_model}"


EXTRACTORS: Registry[ExtractorEntry] = Registry(
    "extractor",
    "ndabench.extractors",
    {
        "classifier": ExtractorEntry(
            open="ndabench.metrics.generators.classifier:open_classifier",
            dimension=64,
            resize="none",
            weights="trained on the data set's training split and kept in the cache",
            takes=("data",),
        ),
        INCEPTION: ExtractorEntry(
            open="ndabench.metrics.generators.inception:open_inception",
            dimension=2048,
            resize="bilinear to 299×299 as in TensorFlow 1, no antialiasing",
            weights="the file in `weights` or in NDABENCH_INCEPTION_WEIGHTS, or downloaded",
            takes=("weights", "download"),
            input_size=299,
            input_range=(-1.0, 127 / 128),
            sha256="6726825d",
        ),
        "efficientnet_lite0": ExtractorEntry(
            open="ndabench.metrics.generators.efficientnet_lite0:open_efficientnet_lite0",
            dimension=1280,
            resize="bicubic to 160×160, as PIL does it",
            weights="in a package, the extra `imagenet`",
            input_size=160,
            input_range=(-127 / 128, 1.0),
            sha256="57934424",
        ),
        "torchvision": ExtractorEntry(
            open="ndabench.metrics.generators.torchvision_network:open_torchvision",
            dimension=None,
            resize="as the model's default weights are used, but the whole image",
            weights="the file in `weights`, or in torch's hub cache",
            takes=("weights", "model"),
            input_range=(-2.1179, 2.64),
            verified=False,
        ),
        "timm": ExtractorEntry(
            open="ndabench.metrics.generators.timm_network:open_timm",
            dimension=None,
            resize="as the model's configuration says, but the whole image",
            weights="the file in `weights`, or in a hub cache; needs the extra `timm`",
            takes=("weights", "model"),
            input_range=(-2.1179, 2.64),
            verified=False,
        ),
        "dinov2": ExtractorEntry(
            open="ndabench.metrics.generators.dinov2:open_dinov2",
            dimension=1024,
            resize="bicubic to 224×224, as PIL does it",
            weights="the file in `weights`, or in a hub cache; needs the extra `timm`",
            takes=("weights",),
            input_size=224,
            input_range=(-2.1179, 2.64),
            has_logits=False,
            verified=False,
        ),
        CLIP: ExtractorEntry(
            open="ndabench.metrics.generators.clip:open_clip",
            dimension=768,
            resize="bicubic to 336×336, no antialiasing",
            weights="the file in `weights`, or in the hub cache; needs the extra `timm`",
            takes=("weights",),
            input_size=336,
            input_range=(-1.7923, 2.1459),
            has_logits=False,
            verified=False,
        ),
        "swav": ExtractorEntry(
            open="ndabench.metrics.generators.swav:open_swav",
            dimension=2048,
            resize="bicubic to 224×224, as PIL does it",
            weights="the file in `weights`, or in torch's hub cache",
            takes=("weights",),
            input_size=224,
            input_range=(-2.1179, 2.64),
            has_logits=False,
            verified=False,
        ),
    },
)
