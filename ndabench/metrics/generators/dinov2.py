"""DINOv2 ViT-L/14 (Oquab et al., arXiv 2304.07193): `fd_dinov2` is the FD-DINOv2 of Stein et al.

The protocol is that of dgm-eval (Stein et al., NeurIPS 2023, arXiv 2306.04675): bicubic to 224×224 by PIL,
ImageNet's mean and spread, the class token after the last norm. timm's network computes it; positions are
interpolated from 37×37 to 16×16 as the published code does, which differs from timm's own way.
"""

from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ndabench.metrics.generators.extraction import Extractor
from ndabench.metrics.generators.preprocessing import Preprocessing
from ndabench.metrics.generators.pretrained import no_logits, pretrained_extractor
from ndabench.metrics.generators.timm_network import import_timm
from ndabench.metrics.generators.weights_file import find_weights, load_fully, read_weights

PUBLISHED = "https://dl.fbaipublicfiles.com/dinov2/dinov2_vitl14/dinov2_vitl14_pretrain.pth"
PREPROCESSING = Preprocessing(224, interpolation="bicubic")
OFFSET = 0.1
"""The published code adds it to the number of patches before it divides, against rounding."""


def open_dinov2(*, weights: Path | None, device: torch.device) -> Extractor:
    """The extractor with the published weights, or those that timm made of them."""
    hub = ("timm/vit_large_patch14_dinov2.lvd142m", "model.safetensors")
    return _load(find_weights("dinov2", weights, published=PUBLISHED, in_hub=hub), device)


@lru_cache(maxsize=1)
def _load(path: Path, device: torch.device) -> Extractor:
    network = build_network()
    weights = read_weights(path)
    weights["pos_embed"] = resized_positions(weights["pos_embed"], network.patch_embed.grid_size[0])
    load_fully(network, weights, path, ignore=("mask_token",))

    def forward(images: Tensor) -> tuple[Tensor, Tensor]:
        return no_logits(network.forward_features(images)[:, 0])

    return pretrained_extractor("dinov2", network, forward, PREPROCESSING, path, device)


def build_network(**sizes: Any) -> Any:
    """timm's ViT-L/14 for 224×224 pixels; `sizes` replace its depth or width."""
    size = PREPROCESSING.size
    return import_timm("dinov2").create_model(
        "vit_large_patch14_dinov2", img_size=size, num_classes=0, **sizes
    )


def resized_positions(positions: Tensor, side: int) -> Tensor:
    """The class token's position and those of a square of patches, `[1, 1 + m², d]`, for `side` × `side`."""
    old = round((positions.shape[1] - 1) ** 0.5)
    if old == side:
        return positions
    grid = positions[:, 1:].unflatten(1, (old, old)).permute(0, 3, 1, 2).float()
    scale = (side + OFFSET) / old
    resized = F.interpolate(grid, scale_factor=scale, mode="bicubic", recompute_scale_factor=False)
    return torch.cat([positions[:, :1], resized.flatten(2).transpose(1, 2)], 1)
