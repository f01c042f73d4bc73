"""The toy task: it follows `ndabench.tasks.task.Task`; the loop is ndabench's."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ndabench.data.feeding import global_batches
from ndabench.data.images import to_float, to_uint8
from ndabench.data.sampling import shuffled_batches
from ndabench.metrics.generators.subject import GeneratorSubject
from ndabench.random_streams import stream_seed
from ndabench.tasks.curves import Curves
from ndabench.tasks.setup import TrialSetup, check_batch
from ndabench.tasks.task import Stateful


class PixelGaussian(nn.Module):
    """G(z) = μ + e^s · z for every pixel."""

    def __init__(self, shape: tuple[int, ...], generator: torch.Generator) -> None:
        super().__init__()
        self.mean = nn.Parameter(0.1 * torch.randn(shape, generator=generator))
        self.log_scale = nn.Parameter(torch.zeros(shape))

    def forward(self, noise: Tensor) -> Tensor:
        return self.mean + self.log_scale.exp() * noise

    def negative_log_likelihood(self, images: Tensor) -> Tensor:
        """The mean over `[N, C, H, W]`, up to a constant."""
        return (0.5 * ((images - self.mean) / self.log_scale.exp()) ** 2 + self.log_scale).mean()


class GaussianTask:
    """Minimises NLL(x) + λ · relu(2 − NLL(T(x)))."""

    picture_every = None
    evaluates_untrained = True

    def __init__(self, setup: TrialSetup) -> None:
        check_batch(setup, "images")
        self.setup, self.workers, self.negative = setup, setup.workers, setup.weighted_negative
        network = PixelGaussian(setup.data.image_shape, setup.stream("weights"))
        self.network = network.to(setup.workers.device)
        self.optimizer = torch.optim.SGD(self.network.parameters(), setup.config.learning_rate, momentum=0.9)
        self.streams = {"negatives": setup.stream("negatives", setup.workers.device)}
        self.curves = Curves(setup.workers)

    def batches(self, start: int) -> Iterator[Tensor]:
        order, size = stream_seed(self.setup.seed, "order"), self.setup.config.batch_size
        train = self.setup.data.train
        indices = shuffled_batches(len(train), size, seed=order, start=start)
        return (images for images, _ in global_batches(train, indices, self.workers))

    def training_step(self, batch: Tensor, step: int) -> None:
        images = to_float(batch)
        loss = self.network.negative_log_likelihood(self.workers.shard(images))
        if self.negative is not None:
            negatives = self.workers.shard(self.negative(images, generator=self.streams["negatives"]))
            loss = loss + self.setup.lambda_ * F.relu(2 - self.network.negative_log_likelihood(negatives))
        self.optimizer.zero_grad()
        loss.backward()
        self.workers.average_gradients(self.network.parameters())
        self.optimizer.step()
        self.curves.add({"loss": loss})

    def networks(self) -> dict[str, nn.Module]:
        return {"network": self.network}

    def compile(self) -> str:
        return ""

    def synchronise(self) -> None:
        """The workers' states never differ."""

    def subject(self, step: int) -> GeneratorSubject:
        return GeneratorSubject(
            sampler=self,
            discriminator=None,
            data=self.setup.data,
            seed=self.setup.seed,
            stream=f"evaluation/{step}",
            workers=self.workers,
        )

    @torch.no_grad()
    def sample(self, num_images: int, *, stream: str, weights: str, batch_norm: str) -> Tensor:
        noise_stream = self.setup.stream(stream, self.workers.device)
        shape = (num_images, *self.setup.data.image_shape)
        noise = torch.randn(shape, generator=noise_stream, device=self.workers.device)
        return to_uint8(self.network(self.workers.shard(noise)))

    def protocol(self, *, weights: str, batch_norm: str) -> Mapping[str, Any]:
        return {"weights": "live"}

    def artifacts(self, step: int, *, last: bool) -> dict[str, bytes]:
        return {}

    def parts(self) -> Mapping[str, Stateful]:
        return {"network": self.network, "optimizer": self.optimizer}
