"""Training a GAN with negative data augmentation (Sinha et al., ICLR 2021, arXiv 2102.05113).

One training step is `num_discriminator_steps` steps of the discriminator on

    L_D = E[real(D(x))] + λ·E[fake(D(G(z)))] + (1 − λ)·E[fake(D(T(x)))]

and then one of the generator, whose loss knows neither λ nor T. What is sampled and measured is the moving
average of the generator's weights.
"""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from ndabench.augmentations.compose import Augmentation
from ndabench.data.images import ImageData
from ndabench.data.sheets import COLUMNS, sheet
from ndabench.distributed import Workers
from ndabench.errors import UserError
from ndabench.losses.adversarial import ADVERSARIAL_LOSSES
from ndabench.measurement import Measurement
from ndabench.metrics import GenerativeEvaluation
from ndabench.models.biggan import Discriminator, Generator
from ndabench.models.ema import MovingAverage
from ndabench.tasks.curves import Curves
from ndabench.tasks.divergence import check_finite
from ndabench.tasks.gan_config import MAY_CHANGE, GanConfig
from ndabench.tasks.generator_sampling import LatentSpace, Sampler, measure
from ndabench.tasks.judging import Batch, judge_negatives_apart, judge_together
from ndabench.tasks.kernels import choose_kernels, compiled_if_possible
from ndabench.tasks.random_streams import random_stream
from ndabench.tasks.real_images import RealImages
from ndabench.tasks.resuming import restore, snapshot
from ndabench.tasks.task import Progress

STREAMS = ("noise", "labels", "negatives", "positives", "flips")


class GanTask:
    """A GAN in training: networks, optimisers, random streams, and how far it has come."""

    def __init__(
        self,
        config: GanConfig,
        data: ImageData,
        *,
        negative: Augmentation | None = None,
        positive: Augmentation | None = None,
        lambda_: float = 1.0,
        horizontal_flip: bool = False,
        seed: int = 0,
        evaluations: Sequence[GenerativeEvaluation] = (),
        workers: Workers | None = None,
    ) -> None:
        """`negative` is T, `positive` changes the real images themselves, `lambda_` is λ in (0, 1].

        At λ = 1 a negative has no weight and is not even drawn: the training is the plain GAN's, bit for
        bit. Raises `UserError` for what does not fit together.
        """
        self.workers = workers = workers or Workers()
        _validate(config, data, negative, lambda_, workers)
        self.config, self.data, self.seed, self.lambda_ = config, data, seed, lambda_
        self.evaluations = tuple(evaluations)
        self.negative = negative if lambda_ < 1 else None
        self.real = RealImages(
            data.train, config.batch_size, seed, positive, horizontal_flip, config.conditional, workers
        )
        self.loss = ADVERSARIAL_LOSSES[config.losses]
        self.judge = judge_negatives_apart if config.reference else judge_together
        num_classes = len(data.class_names) if config.conditional else 1
        self.generator, self.discriminator = _networks(config, data, num_classes, seed, workers)
        self.average = MovingAverage(self.generator, decay=config.ema_decay, start=config.ema_start)
        self.latents = LatentSpace(config.latent_dim, num_classes)
        self.sampler = Sampler(
            self.average.network,
            self.latents,
            batch_size=config.batch_size,
            batch_statistics=config.reference,
            seed=seed,
            workers=workers,
        )
        adam = functools.partial(
            torch.optim.Adam, lr=config.learning_rate, betas=config.betas, fused=config.fused
        )
        self.generator_optimizer = adam(self.generator.parameters())
        self.discriminator_optimizer = adam(self.discriminator.parameters())
        self.streams = {name: random_stream(seed, name, workers.device) for name in STREAMS}
        self.step = 0
        self.curves = Curves(workers)
        self.generate: Callable[..., Tensor] = self.generator
        self.discriminate: Callable[..., Tensor] = self.discriminator

    def run(self) -> Iterator[Progress]:
        """Trains from wherever the state stands to the last step; see `Task`.

        A fresh task first yields the measurements of the untrained generator, as step 0. The last step is
        yielded twice where it is evaluated: first to be saved, then with all that was measured, which may
        take long and is made up for where a run was stopped in it.
        """
        config = self.config
        real_batches = self.real.batches(self.streams, start=self.step * config.num_discriminator_steps)
        notes = choose_kernels(config, self.workers.device, self._compile)
        if self.step in (0, config.num_steps):
            yield from self._pause(notes)
        while self.step < config.num_steps:
            if self._due(config.log_every):
                self.curves.clear()
            for _ in range(config.num_discriminator_steps):
                self._train_discriminator(*next(real_batches))
            self._train_generator()
            self.step += 1
            self.average.update(self.generator, self.step)
            if self._pauses_here():
                yield from self._pause(notes)

    def _train_discriminator(self, real: Tensor, labels: Tensor) -> None:
        """One step down L_D, on a global batch of real images."""
        shard = self.workers.shard
        with self._autocast():
            with torch.no_grad():
                fake = self._fakes()
            batches = [(shard(real), shard(labels)), fake]
            if self.negative is not None:
                negative = self.negative(real, generator=self.streams["negatives"])
                batches.append((shard(negative), shard(labels)))
            logits = self.judge(self.discriminate, batches)
        parts = dict(zip(("logit_real", "logit_fake", "logit_negative"), logits, strict=False))
        loss = self.loss.discriminator(
            parts["logit_real"], parts["logit_fake"], parts.get("logit_negative"), self.lambda_
        )
        self._descend(loss, self.discriminator_optimizer, self.discriminator)
        self.curves.add({"loss_discriminator": loss, **parts})

    def _train_generator(self) -> None:
        """One step down L_G = E[not_fooled(D(G(z)))]; the discriminator's weights need no gradient for it."""
        self.discriminator.requires_grad_(False)
        with self._autocast():
            logits = self.discriminate(*self._fakes())
        loss = self.loss.generator(logits)
        self._descend(loss, self.generator_optimizer, self.generator)
        self.discriminator.requires_grad_(True)
        self.curves.add({"loss_generator": loss})

    def _fakes(self) -> Batch:
        """This worker's share of a batch from the generator, with the labels that it was made for."""
        noise, labels = self.latents.draw(
            self.config.batch_size, noise=self.streams["noise"], labels=self.streams["labels"]
        )
        noise, labels = self.workers.shard(noise), self.workers.shard(labels)
        return self.generate(noise, labels), labels

    def _descend(self, loss: Tensor, optimizer: torch.optim.Optimizer, network: nn.Module) -> None:
        optimizer.zero_grad()
        loss.backward()
        self.workers.average_gradients(network.parameters())
        optimizer.step()

    def _autocast(self) -> torch.autocast:
        enabled = self.config.precision == "bf16"
        return torch.autocast(self.workers.device.type, dtype=torch.bfloat16, enabled=enabled)

    def _compile(self) -> str:
        """Compiles both networks; why it could not, or an empty string."""
        device, size = self.workers.device, self.config.batch_size // self.workers.world_size
        noise = torch.zeros(size, self.config.latent_dim, device=device)
        images = torch.zeros(size, *self.data.image_shape, device=device)
        labels = torch.zeros(size, dtype=torch.long, device=device)
        with self._autocast():
            self.generate, why_not = compiled_if_possible(self.generator, noise, labels)
            self.discriminate, why_not_either = compiled_if_possible(self.discriminator, images, labels)
        return why_not or why_not_either

    def _due(self, every: int | None) -> bool:
        """Whether something done every so many steps is done now; all is done at the first and last step."""
        return self.step in (0, self.config.num_steps) or (every is not None and self.step % every == 0)

    def _pauses_here(self) -> bool:
        config = self.config
        intervals = [config.log_every, config.checkpoint_every, config.sample_every]
        return any(map(self._due, intervals + [evaluation.every for evaluation in self.evaluations]))

    def _pause(self, notes: Mapping[str, Measurement]) -> Iterator[Progress]:
        config, last = self.config, self.step == self.config.num_steps
        curves = self.curves.read()
        networks = {"generator": self.generator, "discriminator": self.discriminator}
        check_finite(curves, networks, step=self.step)
        here = Progress(
            step=self.step,
            num_steps=config.num_steps,
            num_images=self.step * config.num_discriminator_steps * config.batch_size,
            checkpoint_due=self.step > 0 and self._due(config.checkpoint_every),
            artifacts=self._sheets(),
        )
        evaluations = [evaluation for evaluation in self.evaluations if self._due(evaluation.every)]
        if evaluations and last:
            yield here
            here = replace(here, checkpoint_due=False)
        logged = {name: Measurement(value) for name, value in curves.items()}
        measured = measure(self.sampler, evaluations, self.data, step=self.step, last=last)
        metrics = {**notes, **(logged if self._due(config.log_every) else {}), **measured}
        yield replace(here, metrics=metrics)

    def _sheets(self) -> dict[str, bytes]:
        """PNG files on the main worker: samples, and at step 0 what the augmentations do to real images."""
        if not self._due(self.config.sample_every):
            return {}
        sheets = {"samples.png": sheet(self.sampler.fixed(self.config.num_sheet_rows * COLUMNS))}
        augmentations = {"negatives.png": self.negative, "positives.png": self.real.positive}
        for name, augmentation in augmentations.items():
            if self.step == 0 and augmentation is not None:
                sheets[name] = self.real.before_and_after(augmentation, self.workers.device)
        return sheets if self.workers.is_main else {}  # all workers take part in batch statistics

    def state_dict(self) -> dict[str, Any]:
        return snapshot(self._identity(), self.step, self.streams, self._parts())

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.step = restore(state, self._identity(), self.streams, self._parts())

    def _parts(self) -> dict[str, Any]:
        return {
            "generator": self.generator,
            "discriminator": self.discriminator,
            "average": self.average,
            "generator_optimizer": self.generator_optimizer,
            "discriminator_optimizer": self.discriminator_optimizer,
            "curves": self.curves,
        }

    def _identity(self) -> dict[str, Any]:
        return {
            **self.config.model_dump(mode="json", exclude=MAY_CHANGE),
            "lambda": self.lambda_,
            "negative": self.negative is not None,
            "positive": self.real.positive is not None,
            "horizontal_flip": self.real.horizontal_flip,
            "seed": self.seed,
            "data": self.data.content_hash,
        }


def _networks(
    config: GanConfig, data: ImageData, num_classes: int, seed: int, workers: Workers
) -> tuple[Generator, Discriminator]:
    """Both networks on the workers' device, initialised alike on every worker."""
    channels, resolution, _ = data.image_shape
    memory_format = torch.channels_last if config.channels_last else torch.contiguous_format
    generator = Generator(
        resolution=resolution,
        width=config.width,
        latent_dim=config.latent_dim,
        num_classes=num_classes,
        image_channels=channels,
        generator=random_stream(seed, "generator"),
        workers=workers if config.sync_batch_norm else None,
        memory_format=memory_format,
    )
    discriminator = Discriminator(
        resolution=resolution,
        width=config.width,
        num_classes=num_classes,
        image_channels=channels,
        generator=random_stream(seed, "discriminator"),
        memory_format=memory_format,
    )
    return generator.to(workers.device), discriminator.to(workers.device)


def _validate(
    config: GanConfig, data: ImageData, negative: Augmentation | None, lambda_: float, workers: Workers
) -> None:
    _, height, width = data.image_shape
    if height != width:
        raise UserError(f"{data.name}: a GAN needs square images, not {height}×{width}; set image_size")
    config.LAMBDA.check(lambda_)
    if negative is None and lambda_ != 1:
        raise UserError(f"lambda {lambda_} shares the fakes' weight with a negative, but there is none")
    if config.batch_size % workers.world_size:
        raise UserError(
            f"batch_size {config.batch_size} cannot be shared equally by {workers.world_size} workers"
        )
