"""Sampling a generator to measure it and to look at it, without leaving a trace in its training."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ndabench.data.images import ImageData, to_uint8
from ndabench.distributed import Workers
from ndabench.measurement import Measurement, displayed_name
from ndabench.metrics import GenerativeEvaluation, evaluate_generator
from ndabench.metrics.extractor import full_precision
from ndabench.tasks.random_streams import random_stream


@dataclass(frozen=True)
class LatentSpace:
    """What a generator is fed with: N(0, I) noise and classes drawn uniformly."""

    latent_dim: int
    num_classes: int

    def draw(self, count: int, *, noise: torch.Generator, labels: torch.Generator) -> tuple[Tensor, Tensor]:
        """Noise `[count, latent_dim]` and labels `[count]`, on the generators' devices."""
        return (
            torch.randn(count, self.latent_dim, generator=noise, device=noise.device),
            torch.randint(self.num_classes, (count,), generator=labels, device=labels.device),
        )


@dataclass(frozen=True)
class Sampler:
    """Draws images, in float32, from a generator in evaluation mode."""

    generator: nn.Module
    latents: LatentSpace
    batch_size: int
    """Images a forward, over all workers."""
    batch_statistics: bool
    """Normalise by each batch's own moments, as the released code samples, or by the running ones."""
    seed: int
    workers: Workers

    @property
    def protocol(self) -> Mapping[str, Any]:
        """How the images came about, for the record of a measurement."""
        if self.batch_statistics:
            return {"weights": "ema", "batch_norm": "batch", "batch_size": self.batch_size}
        return {"weights": "ema", "batch_norm": "running"}

    @torch.no_grad()
    def sample(self, num_images: int, *, stream: str) -> Tensor:
        """This worker's share of `num_images` images, uint8 `[num_images / world_size, C, H, W]`.

        `num_images` is a multiple of the world size. The images are a function of the weights, the trial's
        seed and `stream`.
        """
        share = num_images // self.workers.world_size
        noise = random_stream(self.seed, f"{stream}/noise", self.workers.device)
        labels = random_stream(self.seed, f"{stream}/labels", self.workers.device)
        parts: list[Tensor] = []
        while sum(map(len, parts)) < share:  # whole batches only: a smaller one has other statistics
            batch = self.latents.draw(self.batch_size, noise=noise, labels=labels)
            parts.append(self._images(*(self.workers.shard(tensor) for tensor in batch)))
        return torch.cat(parts)[:share]

    @torch.no_grad()
    def fixed(self, num_images: int) -> Tensor:
        """The same `num_images` latents at every call, one class after the other; alike on every worker."""
        stream = random_stream(self.seed, "sheet", self.workers.device)
        noise, _ = self.latents.draw(num_images, noise=stream, labels=stream)
        labels = torch.arange(num_images, device=noise.device) % self.latents.num_classes
        return self._images(noise, labels)

    def _images(self, noise: Tensor, labels: Tensor) -> Tensor:
        with full_precision():  # whatever training does, all arms are judged by float32 images
            return to_uint8(self.generator(noise, labels, batch_statistics=self.batch_statistics))


def measure(
    sampler: Sampler, evaluations: Sequence[GenerativeEvaluation], data: ImageData, *, step: int, last: bool
) -> dict[str, Measurement]:
    """The evaluations by name: `val_<name>` against the validation split and, at the `last` step, `<name>`
    against the test split, both of the same samples."""
    if not evaluations:
        return {}
    sample = functools.cache(functools.partial(sampler.sample, stream=f"evaluation/{step}"))
    evaluate = functools.partial(
        evaluate_generator, evaluations, sample, data, workers=sampler.workers, sampling=sampler.protocol
    )
    validated = evaluate("validation")
    measurements = {displayed_name(name, "validation"): one for name, one in validated.items()}
    return measurements | evaluate("test") if last else measurements
