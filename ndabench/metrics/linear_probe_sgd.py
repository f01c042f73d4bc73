"""`linear_probe_sgd`: MoCo's linear classification (He et al., CVPR 2020, arXiv 1911.05722, main_lincls.py).

A linear layer (weights N(0, 0.01), bias 0) on the features of a frozen encoder in eval mode. Every epoch
sees the training images in a new order and in new random crops and flips. SGD with momentum 0.9, without
weight decay, batches of 256, 100 epochs, the learning rate 30 divided by ten after 60 and 80 of them. It is
scored on plain images after the last epoch: no epoch is chosen.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from time import perf_counter
from typing import Annotated, Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Generator, Tensor, nn

from ndabench.augmentations.views import Views
from ndabench.data.images import ConcatImages, ImageSplit
from ndabench.data.sampling import shuffled_batches
from ndabench.distributed import Workers
from ndabench.metrics.features import Encoded, backbone_features, frozen, own_rows
from ndabench.metrics.probing import Evaluated, ProbeConfig, Scoring, accuracy, probe_measurement, scorings


class LinearProbeSgdConfig(ProbeConfig):
    """`linear_probe_sgd`: as published, it costs 100 passes of the encoder over the training images."""

    name: Literal["linear_probe_sgd"] = "linear_probe_sgd"
    num_epochs: int = Field(100, ge=1)
    learning_rate: float = Field(30.0, gt=0)
    drops: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = (0.6, 0.8)
    """Shares of the epochs after which the learning rate is divided by ten."""
    momentum: float = Field(0.9, ge=0, lt=1)
    weight_decay: float = Field(0.0, ge=0)
    batch_size: int = Field(256, ge=1)
    """Over all workers; at most as many as there are images to learn from."""
    size: int | None = Field(None, ge=4, le=4096)
    """Side of the crops that it learns from, and of the middle that is tested (MoCo's 224 of 256 pixels);
    None: the images' own."""
    crop_scale: tuple[float, float] = (0.08, 1.0)
    """Share of an image's area that a crop covers."""
    flip: float = Field(0.5, ge=0, le=1)
    """Probability of a mirrored crop."""

    @model_validator(mode="after")
    def _crops_are_possible(self) -> "LinearProbeSgdConfig":
        low, high = self.crop_scale
        if not 0 < low <= high <= 1:
            raise ValueError(f"crop_scale needs 0 < low <= high <= 1, got {[low, high]}")
        return self

    def views(self) -> Views:
        return Views(
            size=self.size, crop_scale=self.crop_scale, flip=self.flip, jitter_probability=0.0, grey=0.0
        )

    def learning_rate_in(self, epoch: int) -> float:
        """That of the epoch with this number, from 0."""
        return self.learning_rate * 0.1 ** sum(
            epoch >= round(share * self.num_epochs) for share in self.drops
        )


@dataclass(frozen=True)
class LinearLayer:
    """W `[k, d]` and b `[k]`."""

    weight: Tensor
    bias: Tensor

    def __call__(self, features: Tensor) -> Tensor:
        """Logits `[n, k]` of features `[n, d]`."""
        return F.linear(features, self.weight, self.bias)


def train_linear_probe(
    config: LinearProbeSgdConfig,
    encoder: nn.Module,
    split: ImageSplit,
    *,
    num_classes: int,
    seed: int,
    workers: Workers,
) -> LinearLayer:
    """The trained layer. Workers share the encoder's work, and gather what it gives: each trains them all."""
    order, views, weights = (int(word) for word in np.random.SeedSequence(seed).generate_state(3, np.uint64))
    layer = _initialised(num_classes, int(encoder.dimension), weights, workers.device)  # type: ignore[arg-type]
    optimiser = torch.optim.SGD(
        [layer.weight, layer.bias],
        lr=config.learning_rate,
        momentum=config.momentum,
        weight_decay=config.weight_decay,
    )
    batch_size = min(config.batch_size, len(split))
    steps_per_epoch = len(split) // batch_size
    batches = shuffled_batches(len(split), batch_size, seed=order)
    indices = islice(batches, config.num_epochs * steps_per_epoch)
    generator = Generator(workers.device).manual_seed(views)
    with frozen(encoder):
        for step, (images, labels) in enumerate(
            _own_views(config.views(), split, indices, batch_size, generator, workers)
        ):
            features = workers.all_gather(encoder(images).float())[:batch_size]
            all_labels = workers.all_gather(labels)[:batch_size]
            optimiser.param_groups[0]["lr"] = config.learning_rate_in(step // steps_per_epoch)
            with torch.enable_grad():
                loss = F.cross_entropy(layer(features), all_labels)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    return layer


def _own_views(
    views: Views,
    split: ImageSplit,
    indices: Iterator[Tensor],
    batch_size: int,
    generator: Generator,
    workers: Workers,
) -> Iterator[tuple[Tensor, Tensor]]:
    """This worker's rows of every batch: views `[m, C, H, W]`, drawn for the whole batch, and labels."""
    rows = own_rows(batch_size, workers)
    for images, labels in split.batches(index[rows] for index in indices):
        _, channels, height, width = images.shape
        draws = views.draw(batch_size, (channels, height, width), generator=generator)
        own = {name: drawn[rows.to(drawn.device)] for name, drawn in draws.items()}
        yield views.apply(images, own), labels


def _initialised(num_classes: int, dimension: int, seed: int, device: torch.device) -> LinearLayer:
    weight = torch.empty(num_classes, dimension).normal_(0, 0.01, generator=Generator().manual_seed(seed))
    bias = torch.zeros(num_classes)
    return LinearLayer(weight.to(device).requires_grad_(), bias.to(device).requires_grad_())


def measure_linear_probe_sgd(
    config: LinearProbeSgdConfig, encoded: Encoded, *, test: bool, seed: int
) -> Evaluated:
    """`val_linear_probe_sgd`, and with `test` also `linear_probe_sgd`; `seed` is all the randomness."""
    measured = {}
    for scoring in scorings(test=test):
        start = perf_counter()
        percent, settings = _score(config, encoded, scoring, seed)
        measured[scoring.prefix + config.name] = probe_measurement(
            config.name, percent, scoring, encoded.data, settings, seconds=perf_counter() - start
        )
    return Evaluated(measured)


def _score(
    config: LinearProbeSgdConfig, encoded: Encoded, scoring: Scoring, seed: int
) -> tuple[float, dict[str, Any]]:
    data, encoder, workers = encoded.data, encoded.encoder, encoded.workers
    split = data.train if scoring.fitted == ("train",) else ConcatImages(data.train, data.validation)
    scored: ImageSplit = getattr(data, scoring.scored)
    layer = train_linear_probe(
        config, encoder, split, num_classes=len(data.class_names), seed=seed, workers=workers
    )
    logits = layer(backbone_features(encoder, scored, workers, size=config.size))
    predicted = logits.argmax(1)
    return accuracy(predicted, scored.labels.to(workers.device)), {
        **config.model_dump(mode="json", exclude={"name", "every", "as_"}),
        "batch_size": min(config.batch_size, len(split)),
        "tested_on": "plain images" if config.size is None else "their middle",
    }
