"""Training a GAN with negative data augmentation (Sinha et al., ICLR 2021, arXiv 2102.05113).

One training step is `num_discriminator_steps` steps of the discriminator on

    L_D = E[real_cost(D(x))] + λ·E[fake_cost(D(G(z)))] + (1 − λ)·E[fake_cost(D(T(x)))]

and then one of the generator, whose loss knows neither λ nor T. `losses/adversarial.py` defines the losses
and the costs. Evaluations sample the moving average of the generator's weights. `wasserstein_gp` adds a
penalty on the gradient of D between real images and fakes; a fake is T(x) with probability 1 − λ, as in the
loss.
"""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from ndabench.augmentations.compose import Augmentation
from ndabench.data.images import ImageData
from ndabench.data.negatives import DatasetNegative
from ndabench.data.sheets import COLUMNS, sheet
from ndabench.errors import UserError
from ndabench.losses.adversarial import AdversarialLoss
from ndabench.losses.gradient_penalties import wasserstein_penalty
from ndabench.metrics.generators.subject import GeneratorSubject
from ndabench.models.ema import MovingAverage
from ndabench.registry import load
from ndabench.tasks.acceleration import compiled_if_possible
from ndabench.tasks.cuda_graph import CapturedStep
from ndabench.tasks.curves import Curves
from ndabench.tasks.exports import Exported
from ndabench.tasks.gan.config import GanConfig
from ndabench.tasks.gan.consistency import consistency, flip_and_shift
from ndabench.tasks.gan.losses import ADVERSARIAL_LOSSES
from ndabench.tasks.gan.networks import NETWORKS
from ndabench.tasks.gan.real_images import Batch, RealImages
from ndabench.tasks.gan.sampling import LatentSpace, Sampler
from ndabench.tasks.setup import TrialSetup, check_batch
from ndabench.tasks.task import Stateful

STREAMS = ("noise", "labels", "negatives", "positives", "flips")


class GanTask:
    """Networks, optimisers and random streams of a GAN, and its training step; see `tasks.task.Task`."""

    evaluates_untrained = True

    def __init__(self, setup: TrialSetup) -> None:
        """`UserError` for images, batches and networks that do not fit together."""
        config: GanConfig = setup.config
        data: ImageData = setup.data
        workers = setup.workers
        _, height, width = data.image_shape
        if height != width:
            raise UserError(f"{data.name}: a GAN needs square images, not {height}×{width}; set image_size")
        check_batch(setup, "images")
        suits_a_graph = workers.device.type == "cuda" and workers.world_size == 1 and config.fused
        if config.cuda_graph and not suits_a_graph:
            raise UserError("cuda_graph: needs a GPU, a trial of one worker and fused: true; remove the key")
        self.config, self.data, self.workers = config, data, workers
        self.negative, self.lambda_ = setup.weighted_negative, setup.lambda_
        self.negatives_of = labelled(self.negative, data.class_names, workers.device)
        self.real = RealImages(setup)
        build_loss = load(ADVERSARIAL_LOSSES[config.losses.name].build)
        self.loss: AdversarialLoss = build_loss(**config.losses.model_dump(exclude={"name"}))
        self.discriminator_forward = negatives_apart if config.reference else one_forward
        num_classes = len(data.class_names) if config.conditional else 1
        self.generator, self.discriminator = _networks(setup, num_classes)
        self.average = MovingAverage(self.generator, **config.average)
        self.latents = LatentSpace(config.latent_dim, num_classes)
        self.sampler = Sampler(
            self.average.network,
            self.latents,
            batch_size=config.batch_size,
            batch_statistics=config.reference,
            seed=setup.seed,
            workers=workers,
            live=self.generator,
        )
        adam = functools.partial(torch.optim.Adam, betas=config.betas, fused=config.fused)
        generator_rate = config.generator_learning_rate or config.learning_rate
        self.generator_optimizer: torch.optim.Optimizer = adam(self.generator.parameters(), lr=generator_rate)
        self.discriminator_optimizer: torch.optim.Optimizer = adam(
            self.discriminator.parameters(), lr=config.learning_rate
        )
        self.penalised = self.loss.gradient_penalty > 0
        optional = {"consistency": config.consistency_weight, "interpolation": self.penalised}
        streams = (*STREAMS, *(name for name, used in optional.items() if used))
        self.streams = {name: setup.stream(name, workers.device) for name in streams}
        self.curves = Curves(workers)
        self.picture_every = config.sample_every
        self.generate: Callable[..., Tensor] = self.generator
        self.discriminate: Callable[..., Tensor] = self.discriminator
        self._captured: CapturedStep | None = None

    def batches(self, start: int) -> Iterator[list[Batch]]:
        """The global batches of real images of each step: one for every step of the discriminator."""
        count = self.config.num_discriminator_steps
        real = self.real.batches(self.streams, start=start * count)
        while True:
            yield [next(real) for _ in range(count)]

    def training_step(self, batch: list[Batch], step: int) -> None:
        """The discriminator's steps, then one of the generator, which its moving average follows."""
        tensors = [tensor for pair in batch for tensor in pair]
        if self.config.cuda_graph and self._captured is None:
            self._captured = self.captured(tensors)
        for values in (self._captured or self._descents)(tensors):
            self.curves.add(values)
        self.average.update(self.generator, step + 1)

    def captured(self, example: Sequence[Tensor]) -> CapturedStep:
        """`_descents` as one CUDA graph, for batches such as `example`."""
        return CapturedStep(
            self._descents,
            example,
            networks=[self.generator, self.discriminator],
            optimizers=[self.generator_optimizer, self.discriminator_optimizer],
            streams=list(self.streams.values()),
        )

    def _descents(self, batches: Sequence[Tensor]) -> list[dict[str, Tensor]]:
        """All of a step's descents, on images and labels by turns; the values for the curves."""
        pairs = zip(batches[::2], batches[1::2], strict=True)
        values = [self._train_discriminator(real, labels) for real, labels in pairs]
        return [*values, self._train_generator()]

    def _train_discriminator(self, real: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """One optimiser step on L_D, with a global batch of real images."""
        shard = self.workers.shard
        with self._autocast():
            with torch.no_grad():
                fakes = [self._fakes() for _ in range(self.config.fakes_per_real)]
            batches = {"logit_real": (shard(real), shard(labels)), "logit_fake": together(fakes)}
            if self.negatives_of is not None:
                negative = self.negatives_of(real, labels, generator=self.streams["negatives"])
                batches["logit_negative"] = (shard(negative), shard(labels))
            if self.config.consistency_weight:
                changed = flip_and_shift(real, generator=self.streams["consistency"])
                batches["logit_changed"] = (shard(changed), shard(labels))
            logits = self.discriminator_forward(self.discriminate, list(batches.values()))
        parts = dict(zip(batches, logits, strict=True))
        loss = self.loss.discriminator(
            parts["logit_real"], parts["logit_fake"], parts.get("logit_negative"), self.lambda_
        )
        if "logit_changed" in parts:
            difference = consistency(parts["logit_real"], parts["logit_changed"])
            loss = loss + self.config.consistency_weight * difference
        if self.penalised:
            loss = loss + self.loss.gradient_penalty * self._gradient_penalty(batches)
        self._descend(loss, self.discriminator_optimizer, self.discriminator)
        return {"loss_discriminator": loss, **parts}

    def _gradient_penalty(self, batches: Mapping[str, Batch]) -> Tensor:
        """The penalty between each real image and a fake, which is a negative with probability 1 − λ.

        The critic is told the real image's label. It is not compiled here: compiled networks cannot be
        differentiated twice.
        """
        (real, labels), (fake, _) = batches["logit_real"], batches["logit_fake"]
        fake = fake[: len(real)]
        shape = (2, self.config.batch_size, 1, 1, 1)
        uniform = torch.rand(shape, generator=self.streams["interpolation"], device=real.device)
        place, kind = map(self.workers.shard, uniform)
        if "logit_negative" in batches:
            fake = torch.where(kind < self.lambda_, fake, batches["logit_negative"][0])
        mixed = torch.lerp(fake, real, place)
        with self._autocast():
            return wasserstein_penalty(lambda images: self.discriminator(images, labels), mixed)

    def _train_generator(self) -> dict[str, Tensor]:
        """One optimiser step on L_G = E[generator_cost(D(G(z)))], which needs no gradient of the
        discriminator's weights."""
        self.discriminator.requires_grad_(False)
        with self._autocast():
            logits = self.discriminate(*self._fakes())
        loss = self.loss.generator(logits)
        self._descend(loss, self.generator_optimizer, self.generator)
        self.discriminator.requires_grad_(True)
        return {"loss_generator": loss}

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

    def compile(self) -> str:
        """Compiles both networks; why that failed, or an empty string."""
        device, size = self.workers.device, self.config.batch_size // self.workers.world_size
        noise = torch.zeros(size, self.config.latent_dim, device=device)
        images = torch.zeros(size, *self.data.image_shape, device=device)
        labels = torch.zeros(size, dtype=torch.long, device=device)
        with self._autocast():
            self.generate, why_not = compiled_if_possible(self.generator, noise, labels)
            self.discriminate, why_not_either = compiled_if_possible(self.discriminator, images, labels)
        return why_not or why_not_either

    def synchronise(self) -> None:
        """The workers' states never differ."""

    def subject(self, step: int) -> GeneratorSubject:
        """The averaged generator, the generator in training, and the discriminator."""
        averaged = step >= self.average.start
        return self.sampler.subject(self.data, step=step, discriminator=self.discriminator, averaged=averaged)

    def artifacts(self, step: int, *, last: bool) -> dict[str, bytes]:
        """PNG files: samples, and at step 0 what the augmentations do to real images."""
        sheets = {"samples.png": sheet(self.sampler.fixed(self.config.num_sheet_rows * COLUMNS))}
        augmentations = {"negatives.png": self.negative, "positives.png": self.real.positive}
        for name, augmentation in augmentations.items():
            if step == 0 and augmentation is not None:
                sheets[name] = self.real.before_and_after(augmentation, self.workers.device)
        return sheets

    def networks(self) -> dict[str, nn.Module]:
        return {"generator": self.generator, "discriminator": self.discriminator}

    def exports(self, step: int) -> dict[str, Exported]:
        """The averaged generator, which evaluations sample, and the discriminator."""
        classes = torch.zeros(2, dtype=torch.int64)
        shape, latents = self.data.image_shape, self.latents
        images = f"images float32 [N, {', '.join(map(str, shape))}] in [-1, 1]"
        of_classes = f"classes int64 [N] below {latents.num_classes}"
        return {
            "generator": Exported(
                self.average.network,
                (torch.zeros(2, latents.latent_dim), classes),
                takes=f"noise float32 [N, {latents.latent_dim}] from N(0, 1) and {of_classes}",
                gives=images,
                keywords={"batch_statistics": self.config.reference},
                facts=self.sampler.facts(step),
            ),
            "discriminator": Exported(
                self.discriminator,
                (torch.zeros(2, *shape), classes),
                takes=f"{images} and {of_classes}",
                gives="logits float32 [N], higher for real",
                facts={"num_classes": latents.num_classes},
            ),
        }

    def parts(self) -> Mapping[str, Stateful]:
        return {
            "generator": self.generator,
            "discriminator": self.discriminator,
            "average": self.average,
            "generator_optimizer": self.generator_optimizer,
            "discriminator_optimizer": self.discriminator_optimizer,
        }


def labelled(
    negative: Augmentation | None, class_names: tuple[str, ...], device: torch.device
) -> Callable[..., Tensor] | None:
    """`negative` as a function `(images, labels, *, generator)`; most negatives do not look at the labels."""
    if negative is None:
        return None
    if isinstance(negative, DatasetNegative) and negative.config.needs_labels:
        return negative.by_class(class_names, device)
    return lambda images, labels, *, generator: negative(images, generator=generator)


def _networks(setup: TrialSetup, num_classes: int) -> tuple[nn.Module, nn.Module]:
    """Generator and discriminator on the workers' device, with the same weights on every worker."""
    config, workers = setup.config, setup.workers
    build = load(NETWORKS[config.network.name].build)
    generator, discriminator = build(
        **config.network.model_dump(exclude={"name"}),
        image_shape=setup.data.image_shape,
        width=config.width,
        latent_dim=config.latent_dim,
        num_classes=num_classes,
        streams=(setup.stream("generator"), setup.stream("discriminator")),
        workers=workers if config.sync_batch_norm else None,
        memory_format=torch.channels_last if config.channels_last else torch.contiguous_format,
    )
    return generator.to(workers.device), discriminator.to(workers.device)


def together(batches: Sequence[Batch]) -> Batch:
    """The images and the labels of all `batches`, each as one tensor."""
    images, labels = zip(*batches, strict=True)
    return torch.cat(images), torch.cat(labels)


def one_forward(discriminate: Callable[..., Tensor], batches: Sequence[Batch]) -> list[Tensor]:
    """The logits of every batch from one forward pass: one power iteration of the spectral norms for all."""
    logits = discriminate(*together(batches))
    return list(logits.split([len(labels) for _, labels in batches]))


def negatives_apart(discriminate: Callable[..., Tensor], batches: Sequence[Batch]) -> list[Tensor]:
    """As released: real and generated images in one forward pass, then the negatives in another."""
    first = one_forward(discriminate, batches[:2])
    return first + [discriminate(*negatives) for negatives in batches[2:]]
