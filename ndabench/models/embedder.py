"""The network that contrastive learning trains: an encoder with a projection head."""

import torch
from torch import Tensor, nn

from ndabench.models.heads import ProjectionHead


class Embedder(nn.Module):
    """Images to embeddings of length 1: `[N, C, H, W]` float in [-1, 1] -> `[N, d]` float32.

    With `bf16` the encoder and the head compute in bfloat16; weights, moments and lengths stay float32.
    """

    def __init__(self, encoder: nn.Module, head: ProjectionHead, *, bf16: bool = False) -> None:
        super().__init__()
        self.encoder, self.head, self.bf16 = encoder, head, bf16

    def forward(self, images: Tensor) -> Tensor:
        with torch.autocast(images.device.type, dtype=torch.bfloat16, enabled=self.bf16):
            return self.head(self.encoder(images))
