"""The toy GAN architecture: two perceptrons, for images of any size."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ndabench.distributed import Workers
from ndabench.models.clip_encoders import drawn


class MlpGenerator(nn.Module):
    """Noise `[N, latent_dim]` and labels `[N]` to images `[N, C, H, W]` in [-1, 1]; it has no batch norm."""

    def __init__(
        self, image_shape: tuple[int, int, int], hidden: int, latent_dim: int, num_classes: int
    ) -> None:
        super().__init__()
        self.image_shape = image_shape
        self.classes = nn.Embedding(num_classes, hidden)
        self.inner = nn.Linear(latent_dim, hidden)
        self.outer = nn.Linear(hidden, math.prod(image_shape))

    def forward(self, noise: Tensor, labels: Tensor, batch_statistics: bool | None = None) -> Tensor:
        hidden = F.relu(self.inner(noise) + self.classes(labels))
        return torch.tanh(self.outer(hidden).float()).unflatten(1, self.image_shape)


class MlpDiscriminator(nn.Module):
    """Images and labels to logits `[N]`."""

    def __init__(self, image_shape: tuple[int, int, int], hidden: int, num_classes: int) -> None:
        super().__init__()
        self.classes = nn.Embedding(num_classes, hidden)
        self.inner = nn.Linear(math.prod(image_shape), hidden)
        self.outer = nn.Linear(hidden, 1)

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        hidden = F.relu(self.inner(images.flatten(1)) + self.classes(labels))
        return self.outer(hidden).squeeze(1).float()


def build(
    *,
    hidden: int,
    image_shape: tuple[int, int, int],
    width: int,
    latent_dim: int,
    num_classes: int,
    streams: tuple[torch.Generator, torch.Generator],
    workers: Workers | None,
    memory_format: torch.memory_format,
) -> tuple[nn.Module, nn.Module]:
    """Both networks; `hidden` is the key of `MlpConfig`, the rest is what every architecture is given."""
    units = hidden * width
    return (
        drawn(lambda: MlpGenerator(image_shape, units, latent_dim, num_classes), streams[0]),
        drawn(lambda: MlpDiscriminator(image_shape, units, num_classes), streams[1]),
    )
