"""A generator of points to be measured, with its discriminator and the distribution that it is to learn."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor, nn

from ndabench.augmentations.compose import Augmentation
from ndabench.data.points.load import PointData
from ndabench.metrics.evaluation import Evaluation
from ndabench.metrics.features import frozen
from ndabench.metrics.subjects import POINT_GENERATOR, SharedWork

CHUNK = 2**16
"""Points in one forward pass."""


@dataclass
class PointGeneratorSubject:
    """The networks are small: each worker measures all of it, with equal results."""

    kind: ClassVar[str] = POINT_GENERATOR

    generator: nn.Module
    """Noise `[N, latent_dim]` to points `[N, 2]`: the moving average of the weights."""
    discriminator: nn.Module
    """Points `[N, 2]` to logits `[N]`."""
    data: PointData
    latent_dim: int
    negative: Augmentation | None
    lambda_: float
    ratio: Callable[[Tensor], Tensor] | None
    """p/(λ·p_G + (1 − λ)·P̄) as the logit of an optimal discriminator gives it; see `AdversarialLoss`."""
    stream_of: Callable[[str], torch.Generator]
    """The beginning of a random stream of this round, by its name, on the device of the data."""
    shared: SharedWork = field(default_factory=SharedWork)

    def plan(self, evaluations: Sequence[Evaluation]) -> None:
        """Samples are drawn when they are asked for."""

    def sample(self, count: int, stream: str) -> Tensor:
        """Generated points `[count, 2]`, a function of the weights and the stream."""
        generator = self.stream_of(stream)
        noise = torch.randn(count, self.latent_dim, generator=generator, device=generator.device)
        with frozen(self.generator):
            return torch.cat([self.generator(part) for part in noise.split(CHUNK)])

    def generated(self, count: int, split: str) -> Tensor:
        """The points that all evaluations of this round look at; those of the test share none with those of
        the validation."""
        return self.shared.get("samples", (count, split), lambda: self.sample(count, f"generated/{split}"))

    def real(self, count: int, split: str) -> Tensor:
        """New points `[count, 2]` of the data's distribution, however few the split has."""
        return self.data.distribution.sample(count, self.stream_of(f"real/{split}"))

    def negatives(self, count: int, stream: str) -> Tensor:
        """Negatives `[count, 2]`; there must be some."""
        assert self.negative is not None, "a trial without negatives"
        real = self.data.train.points
        rows = torch.arange(count, device=real.device) % len(real)
        return self.negative(real[rows], generator=self.stream_of(stream))

    def logits(self, points: Tensor) -> Tensor:
        """The discriminator's logits `[N]` of points `[N, 2]`."""
        with frozen(self.discriminator):
            return torch.cat([self.discriminator(part.float()) for part in points.split(CHUNK)])
