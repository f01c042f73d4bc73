"""The theorem of negative data augmentation as an experiment: a GAN of points whose distributions are known.

One training step is `num_discriminator_steps` steps of the discriminator on

    L_D = E[real_cost(D(x))] + λ·E[fake_cost(D(G(z)))] + (1 − λ)·E[fake_cost(D(x̄))] + penalty

with negatives x̄ ~ P̄, and then one of the generator. `losses.adversarial` and `losses.f_divergences` define
the costs; `docs/theory.md` says what the optimum is.
"""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from ndabench.data.points.load import PointData
from ndabench.data.points.pictures import Film
from ndabench.data.sampling import shuffled_batches
from ndabench.losses.adversarial import (
    AdversarialLoss,
    hinge,
    non_saturating,
    saturating,
    wasserstein_gp,
)
from ndabench.losses.f_divergences import F_DIVERGENCES
from ndabench.losses.gradient_penalties import r1, wasserstein_penalty
from ndabench.metrics.points.subject import PointGeneratorSubject
from ndabench.models.ema import MovingAverage
from ndabench.models.perceptron import Critic, Perceptron
from ndabench.random_streams import stream_seed
from ndabench.tasks.curves import Curves
from ndabench.tasks.density_gan.config import DensityGanConfig
from ndabench.tasks.exports import Exported
from ndabench.tasks.setup import TrialSetup, check_batch
from ndabench.tasks.task import Stateful

STREAMS = ("noise", "negatives", "positives", "interpolation")

LOSSES: Mapping[str, AdversarialLoss] = {
    "non_saturating": non_saturating(),
    "saturating": saturating(),
    "hinge": hinge(),
    "wasserstein_gp": wasserstein_gp(gradient_penalty=0),  # `penalty_weight` of the configuration weighs it
    **{name: divergence.loss for name, divergence in F_DIVERGENCES.items()},
}


class DensityGanTask:
    """Networks, optimisers and random streams of a GAN of points; see `tasks.task.Task`."""

    evaluates_untrained = True

    def __init__(self, setup: TrialSetup) -> None:
        check_batch(setup, "points")
        config: DensityGanConfig = setup.config
        data: PointData = setup.data
        self.setup, self.config, self.data, self.workers = setup, config, data, setup.workers
        self.negative, self.lambda_ = setup.weighted_negative, setup.lambda_
        self.loss = LOSSES[config.losses]
        sizes: dict[str, int] = {"width": config.width, "depth": config.depth}
        generator = Perceptron(config.latent_dim, 2, **sizes, generator=setup.stream("generator"))
        discriminator = Critic(2, scale=config.input_scale, **sizes, generator=setup.stream("discriminator"))
        self.generator, self.discriminator = (
            network.to(self.workers.device) for network in (generator, discriminator)
        )
        self.average = MovingAverage(self.generator, **config.average)
        self.generator_optimizer, self.discriminator_optimizer = (
            torch.optim.Adam(network.parameters(), lr=config.learning_rate, betas=config.betas, fused=True)
            for network in (self.generator, self.discriminator)
        )
        self.streams = {name: setup.stream(name, self.workers.device) for name in STREAMS}
        self.curves = Curves(self.workers)
        self.picture_every = config.picture_every
        self.film = Film()

    def batches(self, start: int) -> Iterator[list[Tensor]]:
        """The global batches of real points of each step: one for every step of the discriminator."""
        train, count = self.data.train, self.config.num_discriminator_steps
        order = stream_seed(self.setup.seed, "order")
        indices = shuffled_batches(len(train), self.config.batch_size, seed=order, start=start * count)
        real = (points for points, _ in train.batches(indices))
        while True:
            yield [next(real) for _ in range(count)]

    def training_step(self, batch: list[Tensor], step: int) -> None:
        """The discriminator's steps, then one of the generator, which its moving average follows."""
        for optimizer in (self.generator_optimizer, self.discriminator_optimizer):
            optimizer.param_groups[0]["lr"] = self._learning_rate(step)
        for real in batch:
            self._train_discriminator(real)
        self._train_generator()
        self.average.update(self.generator, step + 1)

    def _learning_rate(self, step: int) -> float:
        left = 1 - step / self.config.num_steps
        return self.config.learning_rate * min(1.0, left / max(1 - self.config.decay_from, 1e-9))

    def _train_discriminator(self, real: Tensor) -> None:
        """One optimiser step on L_D, with a global batch of real points `[N, 2]`."""
        shard = self.workers.shard
        if self.setup.positive is not None:
            real = self.setup.positive(real, generator=self.streams["positives"])
        with torch.no_grad():
            fake = torch.cat([self._fakes() for _ in range(self.config.fakes_per_real)])
        parts = {"logit_real": shard(real), "logit_fake": fake}
        if self.negative is not None:
            negative = self.negative(real, generator=self.streams["negatives"])
            parts["logit_negative"] = shard(negative)
        logits = self.discriminator(torch.cat(list(parts.values()))).split([*map(len, parts.values())])
        loss = self.loss.discriminator(logits[0], logits[1], logits[2] if logits[2:] else None, self.lambda_)
        if self.config.penalty_weight:
            loss = loss + self.config.penalty_weight * self._penalty(*parts.values())
        self._descend(loss, self.discriminator_optimizer, self.discriminator)
        self.curves.add({"loss_discriminator": loss, **dict(zip(parts, logits, strict=True))})

    def _penalty(self, real: Tensor, fake: Tensor, negative: Tensor | None = None) -> Tensor:
        if self.config.losses != "wasserstein_gp":
            return r1(self.discriminator, real)
        uniform = torch.rand(
            2, self.config.batch_size, 1, generator=self.streams["interpolation"], device=real.device
        )
        place, kind = (self.workers.shard(one) for one in uniform)
        fake = fake[: len(real)]
        if negative is not None:
            fake = torch.where(kind < self.lambda_, fake, negative)
        return wasserstein_penalty(self.discriminator, torch.lerp(fake, real, place))

    def _train_generator(self) -> None:
        """One optimiser step on L_G = E[generator_cost(D(G(z)))]."""
        self.discriminator.requires_grad_(False)
        loss = self.loss.generator(self.discriminator(self._fakes()))
        self._descend(loss, self.generator_optimizer, self.generator)
        self.discriminator.requires_grad_(True)
        self.curves.add({"loss_generator": loss})

    def _fakes(self) -> Tensor:
        """This worker's share of a batch from the generator."""
        stream = self.streams["noise"]
        size = (self.config.batch_size, self.config.latent_dim)
        points: Tensor = self.generator(
            self.workers.shard(torch.randn(size, generator=stream, device=stream.device))
        )
        return points

    def _descend(self, loss: Tensor, optimizer: torch.optim.Optimizer, network: nn.Module) -> None:
        optimizer.zero_grad()
        loss.backward()
        self.workers.average_gradients(network.parameters())
        optimizer.step()

    def compile(self) -> str:
        return "the perceptrons of density_gan are too small to gain by it"

    def synchronise(self) -> None:
        """The workers' states never differ."""

    def exports(self, step: int) -> dict[str, Exported]:
        """The averaged generator, which evaluations sample, and the discriminator."""
        points = "points float32 [N, 2]"
        return {
            "generator": Exported(
                self.average.network,
                (torch.zeros(2, self.config.latent_dim),),
                takes=f"noise float32 [N, {self.config.latent_dim}] from N(0, 1)",
                gives=points,
            ),
            "discriminator": Exported(
                self.discriminator, (torch.zeros(2, 2),), takes=points, gives="logits float32 [N]"
            ),
        }

    def subject(self, step: int) -> PointGeneratorSubject:
        """The averaged generator and the discriminator; every worker measures all of it."""
        return PointGeneratorSubject(
            self.average.network,
            self.discriminator,
            self.data,
            latent_dim=self.config.latent_dim,
            negative=self.negative,
            lambda_=self.lambda_,
            ratio=self.loss.ratio,
            stream_of=lambda name: self.setup.stream(f"evaluation/{step}/{name}", self.workers.device),
        )

    def artifacts(self, step: int, *, last: bool) -> dict[str, bytes]:
        """A PNG strip of the discriminator's contours with points, a panel for each time it was drawn."""
        subject = self.subject(step)
        negatives = subject.negatives(400, "picture") if self.negative is not None else None
        real, fake = self.data.test.points[:400], subject.sample(400, "picture")
        self.film.add(step, subject.logits, real, fake, negatives)
        return {"contours.png": self.film.png()}

    def networks(self) -> dict[str, nn.Module]:
        return {"generator": self.generator, "discriminator": self.discriminator}

    def parts(self) -> Mapping[str, Stateful]:
        return {
            "generator": self.generator,
            "discriminator": self.discriminator,
            "average": self.average,
            "generator_optimizer": self.generator_optimizer,
            "discriminator_optimizer": self.discriminator_optimizer,
            "film": self.film,
        }
