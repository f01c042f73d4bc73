"""Training a classifier of clips that starts from a copy of a features module, on one worker or several, and
measuring it (see `dpc_finetune.py`)."""

import copy
from collections.abc import Iterator
from itertools import islice
from time import perf_counter

import numpy as np
import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from ndabench.data.videos.clips import ClipSplit, ConcatClips
from ndabench.data.videos.sampling import random_clips
from ndabench.distributed import Workers
from ndabench.metrics.clip_features import ClipSampling, EncodedVideos, window_values
from ndabench.metrics.dpc_finetune import DpcFinetuneConfig
from ndabench.metrics.probing import TESTING, VALIDATING, Evaluated, Scoring, together
from ndabench.metrics.video_scores import classified, mean_softmax
from ndabench.models.split_batch_norm import SplitBatchNorm, take_whole_batches

VALIDATED = Scoring("", VALIDATING.fitted, "test")
"""Testing what was validated, without a training of its own."""


class ClipClassifier(nn.Module):
    """Features, batch norm, dropout and a linear layer: float clips `[N, C, T, S, S]` to logits `[N, k]`."""

    def __init__(
        self, network: nn.Module, num_classes: int, *, dropout: float, generator: Generator, workers: Workers
    ) -> None:
        """`network` is a features module, which becomes a part of it."""
        super().__init__()
        dimension = int(network.dimension)  # type: ignore[arg-type]
        self.network, self.dropout, self.workers = network, dropout, workers
        self.norm = SplitBatchNorm(dimension, workers=workers)
        self.linear = nn.utils.skip_init(nn.Linear, dimension, num_classes)
        nn.init.orthogonal_(self.linear.weight, generator=generator)
        nn.init.zeros_(self.linear.bias)

    def forward(self, clips: Tensor, *, generator: Generator | None = None) -> Tensor:
        """`generator` is for dropout in training, which draws for the batch of all workers."""
        features = self.network(clips, generator=generator).float()
        features = self.norm(features[..., None, None]).flatten(1)
        if self.training and self.dropout > 0:
            shape = (len(features) * self.workers.world_size, features.shape[1])
            kept = torch.rand(shape, generator=generator, device=features.device) >= self.dropout
            features = features * (self.workers.shard(kept) / (1 - self.dropout))
        return self.linear(features)


def finetune(
    config: DpcFinetuneConfig,
    network: nn.Module,
    split: ClipSplit,
    sampling: ClipSampling,
    *,
    num_classes: int,
    seed: int,
    workers: Workers,
) -> ClipClassifier:
    """A classifier over a copy of `network`, trained on `split` by Adam with steps down.

    Batches, views and dropout are drawn for the batch of all workers; each makes its own rows of it. No step
    waits for the device. Where the training leaves the finite numbers, so do the classifier's logits.
    """
    words = [int(word) for word in np.random.SeedSequence(seed).generate_state(4, np.uint64)]
    head, dropout, views, order = words
    classifier = ClipClassifier(
        take_whole_batches(copy.deepcopy(network)),
        num_classes,
        dropout=config.dropout,
        generator=Generator().manual_seed(head),
        workers=workers,
    ).to(workers.device)
    classifier.train().requires_grad_(True)
    optimiser = _optimiser(config, classifier)
    dropped = Generator(workers.device).manual_seed(dropout)
    drawn = Generator(workers.device).manual_seed(views)
    for epoch, clips, labels in _own_views(config, split, sampling, order, drawn, workers):
        for group in optimiser.param_groups:
            group["lr"] = group["initial_lr"] * config.rate_factor(epoch)
        with torch.autocast(workers.device.type, torch.bfloat16, enabled=config.precision == "bf16"):
            logits = classifier(clips, generator=dropped)
        loss = F.cross_entropy(logits.float(), labels)
        optimiser.zero_grad()
        loss.backward()
        workers.average_gradients(classifier.parameters())
        optimiser.step()
    return classifier


def _optimiser(config: DpcFinetuneConfig, classifier: ClipClassifier) -> torch.optim.Adam:
    """Adam whose groups know their rate before it falls; decay is a term of the loss, as published."""
    new = [*classifier.norm.parameters(), *classifier.linear.parameters()]
    rates = (
        (new, config.learning_rate),
        (list(classifier.network.parameters()), config.learning_rate * config.backbone_rate),
    )
    groups = [{"params": params, "lr": rate, "initial_lr": rate} for params, rate in rates]
    return torch.optim.Adam(groups, weight_decay=config.weight_decay)


def _own_views(
    config: DpcFinetuneConfig,
    split: ClipSplit,
    sampling: ClipSampling,
    order: int,
    generator: Generator,
    workers: Workers,
) -> Iterator[tuple[int, Tensor, Tensor]]:
    """This worker's rows of every batch, whose `order` is a seed: the epoch's number, views
    `[m, C, T, S, S]`, drawn for the whole batch, and labels."""
    views, batch_size = config.views(sampling.size), config.batch_size
    steps_per_epoch = len(split) // batch_size
    batches = random_clips(split, batch_size, frames=sampling.frames, stride=sampling.stride, seed=order)
    rows = workers.shard(torch.arange(batch_size))
    own = slice(int(rows[0]), int(rows[-1]) + 1)
    wanted = (requests[own] for requests in islice(batches, config.num_epochs * steps_per_epoch))
    for step, (clips, labels) in enumerate(split.clips(wanted)):
        _, channels, frames, height, width = clips.shape
        draws = views.draw(batch_size, (channels, frames, height, width), generator=generator)
        shown = views.apply(clips, {name: drawn[own] for name, drawn in draws.items()})
        yield step // steps_per_epoch, shown, labels


def measure_dpc_finetune(
    config: DpcFinetuneConfig, encoded: EncodedVideos, *, test: bool, seed: int
) -> Evaluated:
    """`val_dpc_finetune`, with `test` also `dpc_finetune`; top-5 and confusion. `seed` gives its draws."""
    data, sampling, workers = encoded.data, encoded.sampling, encoded.workers
    settings = {
        **config.settings(),
        "features": "of the last layer, meant over the clip",
        "encoder": "a copy, fine-tuned with a new layer, then eval mode, float32",
    }

    def train(split: ClipSplit) -> ClipClassifier:
        num_classes = len(data.class_names)
        return finetune(
            config, encoded.network, split, sampling, num_classes=num_classes, seed=seed, workers=workers
        )

    def score(classifier: ClipClassifier, scoring: Scoring, start: float) -> Evaluated:
        scores = mean_softmax(window_values(classifier, getattr(data, scoring.scored), sampling, workers))
        return classified(config, scores, scoring, encoded, settings, seconds=perf_counter() - start)

    start = perf_counter()
    classifier = train(data.train)
    parts = [score(classifier, VALIDATING, start)]
    start = perf_counter()
    if test and config.refit:
        parts.append(score(train(ConcatClips(data.train, data.validation)), TESTING, start))
    elif test:
        parts.append(score(classifier, VALIDATED, start))
    return together(parts)
