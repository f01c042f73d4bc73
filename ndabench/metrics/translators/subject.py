"""A translator to be measured: what it makes of the inputs of a split, next to the targets."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor

from ndabench.data.pairs.pairs import PairedData
from ndabench.data.sampling import in_order
from ndabench.distributed import Workers
from ndabench.measurement import MeasuredSplit
from ndabench.metrics.evaluation import Evaluation
from ndabench.metrics.features import full_precision
from ndabench.metrics.generators.subject import BatchNormMode, GeneratorSubject, Weights
from ndabench.metrics.subjects import TRANSLATOR, SharedWork
from ndabench.metrics.translators.config import TRANSLATIONS

BATCH_SIZE = 16

Translate = Callable[[Iterable[Tensor], str], Tensor]
"""Batches of inputs, uint8 `[n, C, S, S]`, and the name of the stream of its noise, to the translations of
all inputs, uint8 `[N, C, S, S]`."""


@dataclass
class TranslatorSubject:
    """A translator, and the pairs that it was trained on. Each worker translates all inputs of a split."""

    kind: ClassVar[str] = TRANSLATOR

    translate: Translate
    data: PairedData
    seed: int
    stream: str
    """Names the random streams of this round."""
    workers: Workers = field(default_factory=Workers)
    shared: SharedWork = field(default_factory=SharedWork)

    def plan(self, evaluations: Sequence[Evaluation]) -> None:
        """Nothing to plan."""

    def translations(self, split: MeasuredSplit) -> Tensor:
        """The translation of each input of the split, in order: uint8 `[len(split), C, S, S]`."""
        return self.shared.get(TRANSLATIONS, split, lambda: self._translations(split))

    def of_split(self, split: MeasuredSplit) -> GeneratorSubject:
        """The translations of a split as the images of a generator, for measures of these."""
        return GeneratorSubject(
            _Drawn(self, split),
            None,
            self.data,
            seed=self.seed,
            stream=f"{self.stream}/{split}",
            workers=self.workers,
            shared=self.shared,
            num_samples=len(getattr(self.data, split)),
        )

    def pairs(self, split: MeasuredSplit) -> tuple[Tensor, Tensor, Tensor]:
        """Inputs, targets and translations of a split, uint8 `[N, C, S, S]` each."""
        rows = [torch.arange(len(getattr(self.data, split)))]
        inputs, _ = next(iter(self.data.inputs[split or "validation"].batches(rows)))
        targets, _ = next(iter(getattr(self.data, split).batches(rows)))
        return inputs, targets, self.translations(split)

    def _translations(self, split: MeasuredSplit) -> Tensor:
        inputs = self.data.inputs[split or "validation"]
        batches = (images for images, _ in inputs.batches(in_order(len(inputs), BATCH_SIZE)))
        with torch.no_grad(), full_precision():
            return self.translate(batches, f"{self.stream}/{split}/dropout")


@dataclass(frozen=True)
class _Drawn:
    """The translations of a split as a `GeneratorSampler`."""

    subject: TranslatorSubject
    split: MeasuredSplit

    def sample(self, num_images: int, *, stream: str, weights: Weights, batch_norm: BatchNormMode) -> Tensor:
        images, workers = self.subject.translations(self.split), self.subject.workers
        return images[workers.shard(torch.arange(num_images).clamp(max=len(images) - 1)).to(images.device)]

    def protocol(self, *, weights: Weights, batch_norm: BatchNormMode) -> Mapping[str, Any]:
        return {"weights": "live", "inputs": f"each of the {self.split} split once", "dropout": "on"}
