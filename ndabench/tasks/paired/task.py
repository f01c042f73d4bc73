"""Training a translator with negative pairs: pix2pix (Isola et al., CVPR 2017, arXiv 1611.07004), to which
Sinha et al. (ICLR 2021, arXiv 2102.05113, Section 5.2) add negatives.

With pairs (A, B), the translator G and a discriminator D of patches, one training step is one of D on

    L_D = ½·(E[real_cost(D(A, B))] + λ·E[fake_cost(D(A, G(A)))]
             + (1 − λ)·E[fake_cost(D(A, T(B)))])

and one of G, on the same G(A), on

    L_G = E[generator_cost(D(A, G(A)))] + l1_weight·E|G(A) − B|

with the costs of cross-entropy (`losses.adversarial`). The negative leaves A as it is: only then does the
pair not fit together. The noise of G is its dropout, which stays on when it is measured.
"""

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping

import torch
from torch import Tensor, nn

from ndabench.augmentations.compose import Augmentation
from ndabench.data.feeding import global_batches
from ndabench.data.images import to_float, to_uint8
from ndabench.data.pairs.pairs import PairedData, halves
from ndabench.data.sampling import shuffled_batches
from ndabench.data.sheets import COLUMNS, comparison_sheet
from ndabench.losses.adversarial import non_saturating
from ndabench.metrics.translators.subject import TranslatorSubject
from ndabench.models.pix2pix import DROPOUT, Keep, PatchDiscriminator, UNet
from ndabench.random_streams import random_stream, stream_seed
from ndabench.tasks.acceleration import compiled_if_possible
from ndabench.tasks.curves import Curves
from ndabench.tasks.exports import Exported
from ndabench.tasks.gan.real_images import flip_half
from ndabench.tasks.paired.config import PairedGanConfig
from ndabench.tasks.setup import TrialSetup, check_batch
from ndabench.tasks.task import Stateful

STREAMS = ("crops", "flips", "negatives", "positives", "dropout")


class PairedGanTask:
    """Networks, optimisers and random streams of a translator; see `tasks.task.Task`."""

    evaluates_untrained = False

    def __init__(self, setup: TrialSetup) -> None:
        """`UserError` for pictures, batches and networks that do not fit together."""
        config: PairedGanConfig = setup.config
        data: PairedData = setup.data
        check_batch(setup, "pairs")
        self.config, self.data, self.workers, self.seed = config, data, setup.workers, setup.seed
        self.negative, self.positive, self.lambda_ = setup.weighted_negative, setup.positive, setup.lambda_
        self.horizontal_flip, self.loss = setup.horizontal_flip, non_saturating()
        channels, size, _ = data.image_shape
        both, device = 2 * channels, self.workers.device
        translator = UNet(
            size=size,
            in_channels=channels,
            out_channels=channels,
            width=config.width,
            generator=setup.stream("translator"),
        )
        discriminator = PatchDiscriminator(
            size=size,
            in_channels=both,
            width=config.width,
            num_layers=config.patch_layers,
            generator=setup.stream("discriminator"),
        )
        self.translator, self.discriminator = translator.to(device), discriminator.to(device)
        self.discriminate: Callable[..., Tensor] = self.discriminator
        adam = functools.partial(torch.optim.Adam, lr=config.learning_rate, betas=config.betas)
        self.translator_optimizer = adam(self.translator.parameters())
        self.discriminator_optimizer = adam(self.discriminator.parameters())
        self.streams = {name: setup.stream(name, device) for name in STREAMS}
        self.curves = Curves(self.workers)
        self.picture_every = config.sample_every

    def batches(self, start: int) -> Iterator[Tensor]:
        """Global batches of real pairs, float `[N, 2·C, S, S]` in [-1, 1], the input's channels first."""
        order = stream_seed(self.seed, "order")
        indices = shuffled_batches(len(self.data.train), self.config.batch_size, seed=order, start=start)
        for joined, _ in global_batches(self.data.training_pairs, indices, self.workers):
            yield self._prepared(to_float(joined))

    def _prepared(self, joined: Tensor) -> Tensor:
        """Pairs `[N, C, L, 2·L]` as `batches` gives them: cropped and mirrored, both pictures together."""
        pairs = random_crop(
            torch.cat(halves(joined), dim=1), self.data.image_shape[1], generator=self.streams["crops"]
        )
        if self.horizontal_flip:
            pairs = flip_half(pairs, generator=self.streams["flips"])
        if self.positive is not None:
            pairs = self.positive(pairs, generator=self.streams["positives"])
        return pairs

    def training_step(self, batch: Tensor, step: int) -> None:
        """One step of the discriminator, then one of the translator, on the same translations."""
        for optimizer in (self.translator_optimizer, self.discriminator_optimizer):
            for group in optimizer.param_groups:
                group["lr"] = self.config.rate(step)
        real = self.workers.shard(batch)
        inputs, targets = real.chunk(2, dim=1)
        translated = self._translate(inputs, len(batch))
        with torch.no_grad():
            more = [self._translate(inputs, len(batch)) for _ in range(self.config.fakes_per_real - 1)]
        fakes = [torch.cat([inputs, fake], dim=1) for fake in (translated.detach(), *more)]
        self._train_discriminator(batch, torch.cat(fakes))
        self._train_translator(inputs, translated, targets)

    def _train_discriminator(self, batch: Tensor, fake: Tensor) -> None:
        """One optimiser step on L_D; `batch` is the global one, `fake` this worker's share."""
        pairs = {"logit_real": self.workers.shard(batch), "logit_fake": fake}
        if self.negative is not None:
            negative = negative_pairs(
                self.negative, batch, self.config.negative_pair, generator=self.streams["negatives"]
            )
            pairs["logit_negative"] = self.workers.shard(negative)
        judged = self.discriminate(torch.cat(list(pairs.values()))).flatten(1)
        logits = judged.split([*map(len, pairs.values())])
        parts = dict(zip(pairs, (logit.flatten() for logit in logits), strict=True))
        loss = 0.5 * self.loss.discriminator(
            parts["logit_real"], parts["logit_fake"], parts.get("logit_negative"), self.lambda_
        )
        self._descend(loss, self.discriminator_optimizer, self.discriminator)
        self.curves.add({"loss_discriminator": loss, **parts})

    def _translate(self, inputs: Tensor, num_pairs: int) -> Tensor:
        """Translations of this worker's `inputs` from a global batch of `num_pairs`, with dropout."""
        return translate(self.translator, inputs, self._keep(num_pairs, self.streams["dropout"]))

    def _train_translator(self, inputs: Tensor, translated: Tensor, targets: Tensor) -> None:
        """One optimiser step on L_G; the discriminator's weights need no gradient for it."""
        self.discriminator.requires_grad_(False)
        adversarial = self.loss.generator(self.discriminate(torch.cat([inputs, translated], dim=1)).flatten())
        difference = (translated - targets).abs().mean()
        loss = adversarial + self.config.l1_weight * difference
        self._descend(loss, self.translator_optimizer, self.translator)
        self.discriminator.requires_grad_(True)
        self.curves.add({"loss_translator": adversarial, "l1_training": difference})

    def _descend(self, loss: Tensor, optimizer: torch.optim.Optimizer, network: nn.Module) -> None:
        optimizer.zero_grad()
        loss.backward()
        self.workers.average_gradients(network.parameters())
        optimizer.step()

    def _keep(self, num_pairs: int, stream: torch.Generator) -> Keep:
        """Masks for this worker's share of a global batch of `num_pairs`."""

        def keep(shape: torch.Size) -> Tensor:
            mask = torch.rand(num_pairs, *shape[1:], generator=stream, device=stream.device) >= DROPOUT
            return self.workers.shard(mask)

        return keep

    def compile(self) -> str:
        """Compiles the discriminator; why that failed, or an empty string."""
        channels, height, width = self.data.image_shape
        count = (
            self.config.batch_size
            // self.workers.world_size
            * (1 + self.config.fakes_per_real + (self.negative is not None))
        )
        example = torch.zeros(count, 2 * channels, height, width, device=self.workers.device)
        self.discriminate, why_not = compiled_if_possible(self.discriminator, example)
        return why_not

    def synchronise(self) -> None:
        """The workers' states never differ."""

    def exports(self, step: int) -> dict[str, Exported]:
        """The translator, without its dropout, and the discriminator of pairs."""
        channels, size, _ = self.data.image_shape
        pictures = f"pictures float32 [N, {channels}, {size}, {size}] in [-1, 1]"
        return {
            "translator": Exported(
                self.translator,
                (torch.zeros(2, channels, size, size),),
                takes=pictures,
                gives=f"{pictures} before tanh, without the dropout that evaluations leave on",
            ),
            "discriminator": Exported(
                self.discriminator,
                (torch.zeros(2, 2 * channels, size, size),),
                takes=f"an input and its translation, float32 [N, {2 * channels}, {size}, {size}] in [-1, 1]",
                gives="logits float32 [N, 1, h, w], one for each patch, higher for real",
            ),
        }

    def subject(self, step: int) -> TranslatorSubject:
        """The translator, to be measured on the inputs of either split."""
        return TranslatorSubject(
            self._translated, self.data, seed=self.seed, stream=f"evaluation/{step}", workers=self.workers
        )

    @torch.no_grad()
    def _translated(self, batches: Iterable[Tensor], stream: str) -> Tensor:
        """The translations of uint8 batches `[n, C, S, S]`, uint8 `[N, C, S, S]`, on every worker that calls
        it; `stream` names the random stream of the dropout."""
        masks = functools.partial(_mask, stream=random_stream(self.seed, stream, self.workers.device))
        return torch.cat([to_uint8(translate(self.translator, to_float(batch), masks)) for batch in batches])

    def artifacts(self, step: int, *, last: bool) -> dict[str, bytes]:
        """PNG files: inputs, targets and translations of validation, and at step 0 the negative pairs."""
        rows = torch.arange(min(self.config.num_sheet_rows * COLUMNS, len(self.data.validation)))
        inputs, _ = next(iter(self.data.inputs["validation"].batches([rows])))
        targets, _ = next(iter(self.data.validation.batches([rows])))
        sheets = {"samples.png": comparison_sheet(inputs, targets, self._translated([inputs], "sheet"))}
        if step == 0 and self.negative is not None:
            pairs = to_float(torch.cat([inputs, targets], dim=1))
            stream = random_stream(self.seed, "augmentation sheet", self.workers.device)
            negatives = negative_pairs(self.negative, pairs, self.config.negative_pair, generator=stream)
            sheets["negatives.png"] = comparison_sheet(inputs, targets, *to_uint8(negatives).chunk(2, dim=1))
        return sheets

    def networks(self) -> dict[str, nn.Module]:
        return {"translator": self.translator, "discriminator": self.discriminator}

    def parts(self) -> Mapping[str, Stateful]:
        return {
            "translator": self.translator,
            "discriminator": self.discriminator,
            "translator_optimizer": self.translator_optimizer,
            "discriminator_optimizer": self.discriminator_optimizer,
        }


def translate(translator: UNet, inputs: Tensor, keep: Keep) -> Tensor:
    """Translations in [-1, 1] of inputs `[N, C, S, S]` in [-1, 1]."""
    return torch.tanh(translator(inputs, keep))


def _mask(shape: torch.Size, stream: torch.Generator) -> Tensor:
    return torch.rand(shape, generator=stream, device=stream.device) >= DROPOUT


def negative_pairs(
    negative: Augmentation, pairs: Tensor, changes: str, *, generator: torch.Generator
) -> Tensor:
    """The negatives of pairs `[N, 2·C, S, S]`: of their targets, or of both pictures in the same way."""
    if changes == "both":
        return negative(pairs, generator=generator)
    inputs, targets = pairs.chunk(2, dim=1)
    return torch.cat([inputs, negative(targets, generator=generator)], dim=1)


def random_crop(images: Tensor, size: int, *, generator: torch.Generator) -> Tensor:
    """A square of `size` pixels at a random place of each image, `[N, C, H, W] -> [N, C, size, size]`."""
    count, _, height, width = images.shape
    if (height, width) == (size, size):
        return images
    device = images.device
    top = torch.randint(height - size + 1, (count, 1, 1), generator=generator, device=device)
    left = torch.randint(width - size + 1, (count, 1, 1), generator=generator, device=device)
    along = torch.arange(size, device=device)
    which = torch.arange(count, device=device).view(-1, 1, 1)
    cropped = images[which, :, top + along.view(1, -1, 1), left + along.view(1, 1, -1)]
    return cropped.permute(0, 3, 1, 2).contiguous()
