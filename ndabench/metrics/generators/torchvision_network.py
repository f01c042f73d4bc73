"""Any classifier of torchvision, from a file of its weights or from torch's hub cache.

`{name: fd, extractor: torchvision, model: resnet50}` gives `fd_torchvision_resnet50`. Features are what the
last linear layer sees. Size, mean and spread are those of the default weights' transforms; the whole image is
resized, where torchvision would crop its middle.
"""

from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ndabench.errors import UserError, unknown
from ndabench.metrics.generators.extraction import Extractor
from ndabench.metrics.generators.preprocessing import Preprocessing
from ndabench.metrics.generators.pretrained import pretrained_extractor
from ndabench.metrics.generators.weights_file import find_weights, load_fully, read_weights


def open_torchvision(*, model: str, weights: Path | None, device: torch.device) -> Extractor:
    """The extractor with the weights in the file, else in the cache; `UserError` for an unknown model."""
    # late: only if it is asked for
    import torchvision.models as models

    known = models.list_models(module=models)
    if model not in known:
        raise unknown("torchvision classifier", model, known)
    published = models.get_model_weights(model).DEFAULT
    return _load(model, find_weights("torchvision", weights, published=published.url), device)


@lru_cache(maxsize=2)
def _load(model: str, path: Path, device: torch.device) -> Extractor:
    # late: only if it is asked for
    import torchvision.models as models

    weights = read_weights(path)
    transforms: Any = models.get_model_weights(model).DEFAULT.transforms()
    network = models.get_model(model, weights=None)
    load_fully(network, weights, path)
    preprocessing = Preprocessing(
        transforms.crop_size[0],
        tuple(transforms.mean),
        tuple(transforms.std),
        interpolation="bicubic" if transforms.interpolation.value == "bicubic" else "bilinear",
    )
    forward = Penultimate(network, model)
    return pretrained_extractor(
        "torchvision",
        network,
        forward,
        preprocessing,
        path,
        device,
        model=model,
        feature_dimension=forward.dimension,
    )


class Penultimate:
    """Images to what the network's last linear layer sees, `[B, d]`, and to its logits."""

    def __init__(self, network: nn.Module, model: str) -> None:
        linear = [module for module in network.modules() if isinstance(module, nn.Linear)]
        if not linear:
            raise UserError(f"torchvision's {model} has no linear layer at its end, so it cannot extract")
        self.network, self.dimension, self._seen = network, linear[-1].in_features, [Tensor()]
        linear[-1].register_forward_pre_hook(lambda _, inputs: self._seen.__setitem__(0, inputs[0]))

    def __call__(self, images: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.network(images)
        return self._seen[0], logits
