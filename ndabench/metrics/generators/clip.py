"""CLIP ViT-L/14 at 336 pixels (Radford et al., ICML 2021, arXiv 2103.00020): `cmmd` is measured with it.

As in the code of CMMD (Jayasumana et al., CVPR 2024, arXiv 2401.09603): bicubic to 336×336 without
antialiasing, OpenAI's mean and spread, and image embeddings of unit length, d = 768. timm's network computes
them, from weights named as OpenAI or as Hugging Face names them.
"""

from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ndabench.errors import UserError
from ndabench.metrics.generators.extraction import Extractor
from ndabench.metrics.generators.preprocessing import Preprocessing
from ndabench.metrics.generators.pretrained import no_logits, pretrained_extractor
from ndabench.metrics.generators.timm_network import import_timm
from ndabench.metrics.generators.weights_file import find_weights, load_fully, read_weights

IN_HUB = ("openai/clip-vit-large-patch14-336", "model.safetensors")
PREPROCESSING = Preprocessing(
    336,
    mean=(0.48145466, 0.4578275, 0.40821073),
    std=(0.26862954, 0.26130258, 0.27577711),
    interpolation="bicubic",
    like_pil=False,
)
DIMENSION = 768
LAYERS = "vision_model.encoder.layers."
RENAMED = {
    "vision_model.embeddings.patch_embedding.": "patch_embed.proj.",
    "vision_model.pre_layrnorm.": "norm_pre.",
    "vision_model.post_layernorm.": "norm.",
    "visual_projection.": "head.",
    LAYERS: "blocks.",
    ".layer_norm": ".norm",
    ".self_attn.out_proj.": ".attn.proj.",
}
"""Parts of Hugging Face's names, and timm's."""


def open_clip(*, weights: Path | None, device: torch.device) -> Extractor:
    """The extractor with the weights in the file, else in the hub cache."""
    return _load(find_weights("clip", weights, published="", in_hub=IN_HUB), device)


@lru_cache(maxsize=1)
def _load(path: Path, device: torch.device) -> Extractor:
    network = build_network()
    load_fully(network, timm_names(read_weights(path), network, path), path)

    def forward(images: Tensor) -> tuple[Tensor, Tensor]:
        return no_logits(F.normalize(network(images), dim=1))

    return pretrained_extractor(
        "clip", network, forward, PREPROCESSING, path, device, features="image embeddings of unit length"
    )


def build_network(**sizes: Any) -> Any:
    """timm's ViT-L/14 with OpenAI's activation, and the projection as its head; `sizes` replace its depth."""
    timm = import_timm("clip")
    return timm.create_model("vit_large_patch14_clip_quickgelu_336", num_classes=DIMENSION, **sizes)


def timm_names(weights: dict[str, Tensor], network: Any, path: Path) -> dict[str, Tensor]:
    """The image tower of OpenAI's or Hugging Face's weights, named as timm names them."""
    if "visual.class_embedding" in weights:
        # late: an optional package
        from timm.models.vision_transformer import checkpoint_filter_fn

        named: dict[str, Tensor] = checkpoint_filter_fn(weights, network)
        return named
    if "vision_model.embeddings.class_embedding" not in weights:
        raise UserError(
            f"{path}: has neither OpenAI's `visual.class_embedding` nor Hugging Face's "
            "`vision_model.embeddings.class_embedding`, so it is no CLIP image tower"
        )
    positions = weights["vision_model.embeddings.position_embedding.weight"]
    named = {
        "cls_token": weights["vision_model.embeddings.class_embedding"].reshape(1, 1, -1),
        "pos_embed": positions[None],
        "head.bias": torch.zeros(DIMENSION),
    }
    for name, tensor in weights.items():
        if name.startswith("vision_model.embeddings.p") and "position" in name:
            continue
        if not name.startswith(tuple(RENAMED)):
            continue
        if ".self_attn.q_proj." in name:
            parts = [weights[name.replace("q_proj", f"{part}_proj")] for part in "qkv"]
            name, tensor = name.replace("self_attn.q_proj", "attn.qkv"), torch.cat(parts)
        elif ".self_attn.k_proj." in name or ".self_attn.v_proj." in name:
            continue
        for theirs, ours in RENAMED.items():
            name = name.replace(theirs, ours)
        named[name] = tensor
    return named
