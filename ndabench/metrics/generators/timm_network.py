"""Any network of timm (the extra `timm`), from a file of its weights or from the hub caches.

`{name: fd, extractor: timm, model: convnext_tiny.fb_in1k}` gives `fd_timm_convnext_tiny_fb_in1k`. Features
are what timm calls pre-logits. Size, mean and spread are those of the model's configuration; the whole image
is resized, where timm would crop its middle.
"""

from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from ndabench.errors import UserError, unknown
from ndabench.metrics.generators.extraction import Extractor
from ndabench.metrics.generators.preprocessing import Preprocessing
from ndabench.metrics.generators.pretrained import pretrained_extractor
from ndabench.metrics.generators.weights_file import find_weights, load_fully, read_weights


def open_timm(*, model: str, weights: Path | None, device: torch.device) -> Extractor:
    """The extractor with the weights in the file, else in a cache; `UserError` for an unknown model."""
    timm = import_timm("timm")
    if not timm.is_model(model):
        raise unknown("timm model", model, timm.list_models())
    config = timm.get_pretrained_cfg(model)
    hub = (config.hf_hub_id, "model.safetensors") if config.hf_hub_id else None
    return _load(model, find_weights("timm", weights, published=config.url or "", in_hub=hub), device)


def import_timm(extractor: str) -> ModuleType:
    """The package; `UserError` where it is not installed."""
    try:
        # late: an optional package
        import timm
    except ImportError:
        raise UserError(f"the {extractor} extractor needs timm: pip install 'ndabench[timm]'") from None
    module: ModuleType = timm
    return module


@lru_cache(maxsize=2)
def _load(model: str, path: Path, device: torch.device) -> Extractor:
    network: Any = import_timm("timm").create_model(model, pretrained=False)
    load_fully(network, read_weights(path), path)
    config = network.pretrained_cfg
    preprocessing = Preprocessing(
        config["input_size"][-1],
        tuple(config["mean"]),
        tuple(config["std"]),
        interpolation="bicubic" if config["interpolation"] == "bicubic" else "bilinear",
    )

    def forward(images: Tensor) -> tuple[Tensor, Tensor]:
        activations = network.forward_features(images)
        features = network.forward_head(activations, pre_logits=True)
        return features, network.forward_head(activations)

    return pretrained_extractor(
        "timm",
        network,
        forward,
        preprocessing,
        path,
        device,
        model=model,
        feature_dimension=network.head_hidden_size,
    )
