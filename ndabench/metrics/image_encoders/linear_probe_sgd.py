"""`linear_probe_sgd`: MoCo's linear classification (He et al., CVPR 2020, arXiv 1911.05722, main_lincls.py).

A linear layer (weights N(0, 0.01), bias 0) on the features of a frozen encoder in eval mode. Every epoch
sees the training images in a new order and in new random crops and flips. SGD with momentum 0.9, without
weight decay, batches of 256, 100 epochs, the learning rate 30 divided by ten after 60 and 80 of them. It is
scored on plain images after the last epoch: no epoch is chosen.
"""

from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ndabench.augmentations.views import apply_views, draw_views
from ndabench.augmentations.views_config import ViewsConfig
from ndabench.data.images import ConcatImages, ImageSplit
from ndabench.data.sampling import shuffled_batches
from ndabench.distributed import Workers
from ndabench.metrics.features import backbone_features, frozen, own_rows
from ndabench.metrics.image_encoders.config import LinearProbeSgdConfig
from ndabench.metrics.image_encoders.subject import ImageEncoderSubject
from ndabench.metrics.probing import (
    TESTING,
    Scoring,
    Stage,
    accuracy,
    probe_file,
    probe_measurement,
    scorings,
    train_in_stages,
    units_between_pauses,
)
from ndabench.metrics.results import Evaluated, EvaluationProgress, by_name
from ndabench.random_streams import continue_stream


@dataclass(frozen=True)
class LinearLayer:
    """W `[k, d]` and b `[k]`."""

    weight: Tensor
    bias: Tensor

    def __call__(self, features: Tensor) -> Tensor:
        """Logits `[n, k]` of features `[n, d]`."""
        return F.linear(features, self.weight, self.bias)


class LinearProbeTraining:
    """The training of a linear layer on a frozen encoder, which pauses at the end of epochs.

    Workers share the encoder's work and gather its features: each of them trains the same layer.
    """

    def __init__(
        self,
        config: LinearProbeSgdConfig,
        encoder: nn.Module,
        split: ImageSplit,
        *,
        num_classes: int,
        seed: int,
        workers: Workers,
    ) -> None:
        words = np.random.SeedSequence(seed).generate_state(3, np.uint64)
        self.order, views, weights = (int(word) for word in words)
        self.config, self.encoder, self.split, self.workers = config, encoder, split, workers
        self.num_units, self.epoch = config.num_epochs, 0
        dimension = int(encoder.dimension)  # type: ignore[arg-type]  # encoders have one; see `features.py`
        self.layer = _initialised(num_classes, dimension, weights, workers.device)
        self.optimizer = torch.optim.SGD(
            [self.layer.weight, self.layer.bias],
            lr=config.learning_rate,
            momentum=config.momentum,
            weight_decay=config.weight_decay,
        )
        self.draws = torch.Generator(workers.device).manual_seed(views)
        self.batch_size = min(config.batch_size, len(split))
        self.steps_per_epoch = len(split) // self.batch_size
        self.pause_every = units_between_pauses(self.steps_per_epoch)

    def run(self) -> Iterator[int]:
        """See `ProbeTraining`."""
        start, end = self.epoch * self.steps_per_epoch, self.num_units * self.steps_per_epoch
        indices = shuffled_batches(len(self.split), self.batch_size, seed=self.order, start=start)
        batches = _own_views(
            self.config.views(),
            self.split,
            islice(indices, end - start),
            self.batch_size,
            self.draws,
            self.workers,
        )
        while self.epoch < self.num_units:
            self.optimizer.param_groups[0]["lr"] = self.config.learning_rate_in(self.epoch)
            with frozen(self.encoder):
                for images, labels in islice(batches, self.steps_per_epoch):
                    self._step(images, labels)
            self.epoch += 1
            if self.epoch % self.pause_every == 0 or self.epoch == self.num_units:
                yield self.epoch

    def _step(self, images: Tensor, labels: Tensor) -> None:
        """One step on this worker's rows of a batch."""
        features = self.workers.all_gather(self.encoder(images).float())[: self.batch_size]
        all_labels = self.workers.all_gather(labels)[: self.batch_size]
        with torch.enable_grad():
            loss = F.cross_entropy(self.layer(features), all_labels)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()

    def state_dict(self) -> dict[str, Any]:
        return {
            "epoch": self.epoch,
            "weight": self.layer.weight.detach(),
            "bias": self.layer.bias.detach(),
            "optimizer": self.optimizer.state_dict(),
            "draws": self.draws.get_state(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.epoch = state["epoch"]
        with torch.no_grad():
            self.layer.weight.copy_(state["weight"])
            self.layer.bias.copy_(state["bias"])
        self.optimizer.load_state_dict(state["optimizer"])
        continue_stream(self.draws, state["draws"])


def _own_views(
    views: ViewsConfig,
    split: ImageSplit,
    indices: Iterator[Tensor],
    batch_size: int,
    generator: torch.Generator,
    workers: Workers,
) -> Iterator[tuple[Tensor, Tensor]]:
    """This worker's rows of every batch: views `[m, C, H, W]`, drawn for the whole batch, and labels."""
    rows = own_rows(batch_size, workers)
    for images, labels in split.batches(index[rows] for index in indices):
        _, channels, height, width = images.shape
        draws = draw_views(views, batch_size, (channels, height, width), generator=generator)
        own = {name: drawn[rows.to(drawn.device)] for name, drawn in draws.items()}
        yield apply_views(views, images, own), labels


def _initialised(num_classes: int, dimension: int, seed: int, device: torch.device) -> LinearLayer:
    weight = torch.empty(num_classes, dimension).normal_(
        0, 0.01, generator=torch.Generator().manual_seed(seed)
    )
    bias = torch.zeros(num_classes)
    return LinearLayer(weight.to(device).requires_grad_(), bias.to(device).requires_grad_())


def measure_linear_probe_sgd(
    config: LinearProbeSgdConfig,
    subject: ImageEncoderSubject,
    *,
    test: bool,
    state: Mapping[str, Any] | None = None,
) -> Generator[EvaluationProgress, None, Evaluated]:
    """`val_linear_probe_sgd`, and with `test` also `linear_probe_sgd`; all randomness follows from the
    subject's seed. Yields its progress at the end of epochs."""
    stages = [_stage(config, subject, scoring) for scoring in scorings(test=test)]
    return (yield from train_in_stages(stages, clock=subject.shared.clock, state=state))


def _stage(
    config: LinearProbeSgdConfig, subject: ImageEncoderSubject, scoring: Scoring
) -> Stage[LinearProbeTraining]:
    data, encoder, workers = subject.data, subject.encoder, subject.workers
    split = data.train if scoring.fitted == ("train",) else ConcatImages(data.train, data.validation)
    scored: ImageSplit = getattr(data, scoring.scored)

    def build() -> LinearProbeTraining:
        return LinearProbeTraining(
            config, encoder, split, num_classes=len(data.class_names), seed=subject.seed, workers=workers
        )

    def score(training: LinearProbeTraining, start: float) -> Evaluated:
        logits = training.layer(backbone_features(encoder, scored, workers, size=config.size))
        percent = accuracy(logits.argmax(1), scored.labels.to(workers.device))
        settings = {
            **config.settings(),
            "batch_size": training.batch_size,
            "tested_on": "plain images" if config.size is None else "their middle",
        }
        seconds = subject.shared.clock() - start
        found = probe_measurement(config.name, percent, scoring, data, settings, seconds=seconds)
        files = {}
        if scoring == TESTING and workers.is_main:
            layer = {"weight": training.layer.weight, "bias": training.layer.bias}
            files = probe_file(config.name, layer, data.class_names)
        return Evaluated(by_name([found]), files)

    return Stage(build, score)
