"""Sampling a generator to measure it and to look at it, without leaving a trace in its training."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ndabench.data.images import ImageData, to_uint8
from ndabench.distributed import Workers
from ndabench.metrics.features import frozen
from ndabench.metrics.generators.subject import BatchNormMode, GeneratorSubject, Weights
from ndabench.random_streams import random_stream


def evaluation_stream(step: int) -> str:
    """Names the random stream of what evaluations draw after `step` training steps."""
    return f"evaluation/{step}"


@dataclass(frozen=True)
class LatentSpace:
    """The inputs of a generator: N(0, I) noise and classes drawn uniformly."""

    latent_dim: int
    num_classes: int

    def draw(self, count: int, *, noise: torch.Generator, labels: torch.Generator) -> tuple[Tensor, Tensor]:
        """Noise `[count, latent_dim]` and labels `[count]`, on the generators' devices."""
        return (
            torch.randn(count, self.latent_dim, generator=noise, device=noise.device),
            self.draw_labels(count, labels),
        )

    def draw_labels(self, count: int, generator: torch.Generator) -> Tensor:
        """Labels `[count]` alone; they need no noise."""
        return torch.randint(self.num_classes, (count,), generator=generator, device=generator.device)


@dataclass(frozen=True)
class Sampler:
    """Draws images, in float32, from a generator in evaluation mode; see `GeneratorSampler`."""

    generator: nn.Module
    """The moving average of the generator's weights."""
    latents: LatentSpace
    batch_size: int
    """Images in a forward pass, over all workers."""
    batch_statistics: bool
    """Whether images are by default normalised by each batch's moments, as the released code samples, or by
    the running ones."""
    seed: int
    workers: Workers
    live: nn.Module | None = None
    """The generator in training; None where it may not be sampled."""

    def subject(
        self,
        data: ImageData,
        *,
        step: int,
        discriminator: nn.Module | None = None,
        averaged: bool = False,
    ) -> GeneratorSubject:
        """The subject that evaluations measure after `step` training steps on `data`.

        `averaged`: whether the average differs from the weights in training, which then are measured, too.
        """
        return GeneratorSubject(
            self,
            discriminator,
            data,
            seed=self.seed,
            stream=evaluation_stream(step),
            batch_norm="batch" if self.batch_statistics else "running",
            num_classes=self.latents.num_classes,
            workers=self.workers,
            averaged=averaged,
        )

    def facts(self, step: int) -> Mapping[str, Any]:
        """What draws the images of the evaluations after `step` steps again, as plain data."""
        return {
            "latent_dim": self.latents.latent_dim,
            "num_classes": self.latents.num_classes,
            "batch_size": self.batch_size,
            "batch_norm": "batch" if self.batch_statistics else "running",
            "seed": self.seed,
            "stream": evaluation_stream(step),
        }

    def protocol(self, *, weights: Weights, batch_norm: BatchNormMode) -> Mapping[str, Any]:
        """How the images were drawn, for the record of a measurement."""
        if batch_norm == "batch":
            return {"weights": weights, "batch_norm": "batch", "batch_size": self.batch_size}
        return {"weights": weights, "batch_norm": "running"}

    @torch.no_grad()
    def sample(
        self,
        num_images: int,
        *,
        stream: str,
        weights: Weights = "ema",
        batch_norm: BatchNormMode | None = None,
    ) -> Tensor:
        """This worker's share of `num_images` images, uint8 `[num_images / world_size, C, H, W]`.

        `num_images` is a multiple of the world size. The images are a function of the weights, the trial's
        seed and `stream`.
        """
        share = num_images // self.workers.world_size
        noise = random_stream(self.seed, f"{stream}/noise", self.workers.device)
        labels = random_stream(self.seed, f"{stream}/labels", self.workers.device)
        batch_statistics = self.batch_statistics if batch_norm is None else batch_norm == "batch"
        parts: list[Tensor] = []
        while sum(map(len, parts)) < share:  # whole batches only: a smaller one has other statistics
            batch = self.latents.draw(self.batch_size, noise=noise, labels=labels)
            own = (self.workers.shard(tensor) for tensor in batch)
            parts.append(self._images(*own, weights=weights, batch_statistics=batch_statistics))
        return torch.cat(parts)[:share]

    def labels(self, num_images: int, *, stream: str) -> Tensor:
        """The classes of this worker's share of the images that `sample` gives for `stream`, int64."""
        share = num_images // self.workers.world_size
        drawn = random_stream(self.seed, f"{stream}/labels", self.workers.device)
        parts: list[Tensor] = []
        while sum(map(len, parts)) < share:
            parts.append(self.workers.shard(self.latents.draw_labels(self.batch_size, drawn)))
        return torch.cat(parts)[:share]

    @torch.no_grad()
    def fixed(self, num_images: int) -> Tensor:
        """Images of the same `num_images` latents at every call, on every worker and in every trial,
        whatever its seed; one class after the other."""
        stream = random_stream(0, "sheet", self.workers.device)
        noise, _ = self.latents.draw(num_images, noise=stream, labels=stream)
        labels = torch.arange(num_images, device=noise.device) % self.latents.num_classes
        return self._images(noise, labels, weights="ema", batch_statistics=self.batch_statistics)

    def _images(self, noise: Tensor, labels: Tensor, *, weights: Weights, batch_statistics: bool) -> Tensor:
        network = self.generator if weights == "ema" else self.live
        if network is None:
            raise ValueError("the generator in training is not available; sample the moving average")
        with frozen(network):  # all arms are measured on float32 images, in whatever precision they train
            return to_uint8(network(noise, labels, batch_statistics=batch_statistics))
