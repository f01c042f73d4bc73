"""SwAV's ResNet-50 (Caron et al., NeurIPS 2020, arXiv 2006.09882): `fd_swav`, from self-supervised features.

As in dgm-eval: bicubic to 224×224 by PIL, ImageNet's mean and spread, the 2,048 pooled activations.
"""

from functools import lru_cache
from pathlib import Path

import torch
from torch import nn

from ndabench.metrics.generators.extraction import Extractor
from ndabench.metrics.generators.preprocessing import Preprocessing
from ndabench.metrics.generators.pretrained import no_logits, pretrained_extractor
from ndabench.metrics.generators.weights_file import find_weights, load_fully, read_weights

PUBLISHED = "https://dl.fbaipublicfiles.com/deepcluster/swav_800ep_pretrain.pth.tar"
PREPROCESSING = Preprocessing(224, interpolation="bicubic")


def open_swav(*, weights: Path | None, device: torch.device) -> Extractor:
    """The extractor with the published weights."""
    return _load(find_weights("swav", weights, published=PUBLISHED), device)


@lru_cache(maxsize=1)
def _load(path: Path, device: torch.device) -> Extractor:
    # late: only if it is asked for
    from torchvision.models import resnet50

    network = resnet50(weights=None)
    network.fc = nn.Identity()
    load_fully(network, read_weights(path), path, ignore=("projection_head.", "prototypes."))
    return pretrained_extractor(
        "swav", network, lambda images: no_logits(network(images)), PREPROCESSING, path, device
    )
