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

from dataclasses import dataclass
from typing import Literal

from ndabench.registry import Registry

Argument = Literal["data", "weights", "download"]


@dataclass(frozen=True)
class ExtractorEntry:
    """What is known of an extractor before it is opened."""

    open: str
    """The function that opens it: called with `device` and what `takes` lists, as keywords."""
    dimension: int
    """d, the length of a feature vector."""
    resize: str
    """How images are brought to the size that the network sees, for the protocol."""
    weights: str
    """Where its weights come from, in words."""
    takes: tuple[Argument, ...] = ()
    """`data`: the data set that is measured against; `weights` and `download`: the evaluation's keys."""
    input_size: int | None = None
    """Side in pixels of what the network sees; None: the images' own."""
    input_range: tuple[float, float] = (-1.0, 1.0)
    """The values of black and white as the network sees them. The extractor itself is handed uint8 images."""
    sha256: str = ""
    """What the hash of the published weights begins with; empty where there are none."""


INCEPTION = "inception"
INCEPTION_METRICS = {"fd": "fid", "kid": "kid", "inception_score": "inception_score"}
"""The names that are reserved for values of Inception-v3."""


def metric_name(measure: str, extractor: str) -> str:
    """The name of a value: `fd` with the classifier is `fd_classifier`, with Inception-v3 it is `fid`."""
    if extractor == INCEPTION and measure in INCEPTION_METRICS:
        return INCEPTION_METRICS[measure]
    return f"{measure}_{extractor}"


EXTRACTORS: Registry[ExtractorEntry] = Registry(
    "extractor",
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
    },
)
