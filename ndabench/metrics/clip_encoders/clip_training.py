"""Action recognition by a classifier that learns from clips step by step, by the recipe of a publication.

A copy of the features module goes through new layers, and learns by cross-entropy from one random clip of
each training video an epoch, cropped, mirrored and at times jittered. It is tested on windows that overlap
by half over the whole of every video, their softmax averaged.

| | `dpc_finetune` | `coclr_finetune` | `coclr_linear_probe` |
|---|---|---|---|
| layers that learn | all | all, the pre-trained ones at a tenth of the rate | the new ones |
| new layers | batch norm, dropout, linear | dropout, linear | unit length, batch norm, linear |
| weights of the linear layer | orthogonal | normal, 0.01 | normal, 0.01 |
| optimizer | Adam, 1e-3 | Adam, 1e-3 | SGD, 0.1, momentum 0.9 |
| L2 decay | 1e-3 | 1e-3 | 1e-3 |
| clips in a step | 128 | 64 | 64 |
| epochs; the rate falls to a tenth after | 100; 60, 80 | 500; 400, 450 | 100; 60, 80 |
| crop's share of the frame | 0.5 to 1 | 0.2 to 1 | 0.2 to 1 |
| tested on | the centre | ten crops | ten crops |

DPC: Han et al., arXiv 1909.04656; their `eval/test.py` and `eval/model_3d_lc.py`, with the schedule for
UCF-101 (theirs continues after epoch 100 at rates too small to matter; on HMDB-51 windows overlap by a
quarter). CoCLR: Han et al., arXiv 2010.09709; their `eval/main_classifier.py` with the options of its
instructions: `--train_what ft` on two GPUs with 32 clips each, and `--train_what last --optim sgd`.

Unlike theirs: no epoch is chosen (they choose on a sample of the test list), short videos count in training
and in the test, and validation videos are held out of the training list, unless `refit` lets the tested
network learn from them, too. DPC's option to train the pre-trained layers at a tenth of the rate looks for
parameter names that do not exist there, so it never applies; `backbone_rate: 0.1` does it. CoCLR also
jitters the colours of test clips.
"""

import copy
from collections.abc import Generator, Iterator, Mapping
from itertools import islice
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ndabench.augmentations.views import apply_views, draw_views
from ndabench.data.videos.clip_sampling import ClipSampling
from ndabench.data.videos.clips import ClipSplit, ConcatClips
from ndabench.data.videos.sampling import random_clips
from ndabench.distributed import Workers
from ndabench.errors import UserError
from ndabench.metrics.clip_encoders.config import ClipTrainingConfig
from ndabench.metrics.clip_encoders.subject import ClipEncoderSubject
from ndabench.metrics.clip_encoders.video_scores import classified, mean_softmax, prepare_videos
from ndabench.metrics.clip_encoders.windows import window_values
from ndabench.metrics.probing import (
    TESTING,
    VALIDATING,
    Scoring,
    Stage,
    train_in_stages,
    units_between_pauses,
)
from ndabench.metrics.results import Evaluated, EvaluationProgress, merge
from ndabench.metrics.subjects import Preparation
from ndabench.models.split_batch_norm import SplitBatchNorm, take_whole_batches
from ndabench.random_streams import continue_stream

VALIDATED = Scoring(VALIDATING.fitted, "test")
"""Testing the validated network, without a second training."""


def prepare_clip_training(config: ClipTrainingConfig, preparation: Preparation) -> None:
    """Scans the data; `UserError` for a training that is impossible on these data, workers or device."""
    data = prepare_videos(config, preparation)
    num_workers, device = preparation.num_workers, preparation.device
    if config.batch_size > len(data.train):
        raise UserError(
            f"{config.name}: batch_size {config.batch_size} exceeds the {len(data.train)} training videos of "
            f"{data.name}; take at most as many"
        )
    if config.batch_size % num_workers:
        raise UserError(
            f"{config.name}: batch_size {config.batch_size} cannot be shared equally by {num_workers} "
            f"workers; make it a multiple of {num_workers}"
        )
    if config.precision == "bf16" and device.type != "cuda":
        raise UserError(f"{config.name}: precision bf16 is for GPUs; on a {device.type} take fp32")
    if preparation.sampling is not None:
        data.train.require_room(config.batch_size // num_workers, preparation.sampling.frames)


class ClipClassifier(nn.Module):
    """Features and the new layers of `config`: float clips `[N, C, T, S, S]` to logits `[N, k]`."""

    def __init__(
        self,
        config: ClipTrainingConfig,
        network: nn.Module,
        num_classes: int,
        *,
        generator: torch.Generator,
        workers: Workers,
    ) -> None:
        """`network` is a features module, which becomes a part of it."""
        super().__init__()
        dimension = int(network.dimension)  # type: ignore[arg-type]  # see `windows.py`
        self.config, self.network, self.workers = config, network, workers
        self.norm = SplitBatchNorm(dimension, workers=workers) if config.BATCH_NORM else None
        self.linear = nn.utils.skip_init(nn.Linear, dimension, num_classes)
        if config.WEIGHTS == "orthogonal":
            nn.init.orthogonal_(self.linear.weight, generator=generator)
        else:
            nn.init.normal_(self.linear.weight, std=0.01, generator=generator)
        nn.init.zeros_(self.linear.bias)

    def train(self, mode: bool = True) -> "ClipClassifier":
        """A frozen network stays in eval mode."""
        super().train(mode)
        if self.config.FROZEN:
            self.network.eval()
        return self

    def forward(self, clips: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """`generator` is for dropout in training, which draws for the batch of all workers."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.config.FROZEN):
            features = self.network(clips, generator=generator).float()
        if self.config.UNIT_LENGTH:
            features = F.normalize(features, dim=1)
        if self.norm is not None:
            features = self.norm(features[..., None, None]).flatten(1)
        dropped = self.config.dropped
        if self.training and dropped > 0:
            shape = (len(features) * self.workers.world_size, features.shape[1])
            kept = torch.rand(shape, generator=generator, device=features.device) >= dropped
            features = features * (self.workers.shard(kept) / (1 - dropped))
        return self.linear(features)


class ClipTraining:
    """The training of a classifier over a copy of a features module, which pauses at the end of epochs.

    Batches, views and dropout are drawn for the batch of all workers; each computes its own rows of it. No
    step waits for the device. If the training diverges, the classifier's logits are not finite either.
    """

    def __init__(
        self,
        config: ClipTrainingConfig,
        network: nn.Module,
        split: ClipSplit,
        sampling: ClipSampling,
        *,
        num_classes: int,
        seed: int,
        workers: Workers,
    ) -> None:
        words = np.random.SeedSequence(seed).generate_state(4, np.uint64)
        head, dropout, views, self.order = (int(word) for word in words)
        self.config, self.split, self.sampling, self.workers = config, split, sampling, workers
        self.num_units, self.epoch = config.num_epochs, 0
        self.steps_per_epoch = len(split) // config.batch_size
        self.pause_every = units_between_pauses(self.steps_per_epoch)
        self.classifier = ClipClassifier(
            config,
            take_whole_batches(copy.deepcopy(network)),
            num_classes,
            generator=torch.Generator().manual_seed(head),
            workers=workers,
        ).to(workers.device)
        self.classifier.train().requires_grad_(True)
        self.classifier.network.requires_grad_(not config.FROZEN)
        self.optimizer = _optimizer(config, self.classifier)
        self.streams = {
            "dropout": torch.Generator(workers.device).manual_seed(dropout),
            "views": torch.Generator(workers.device).manual_seed(views),
        }

    def run(self) -> Iterator[int]:
        """See `ProbeTraining`."""
        first, end = self.epoch * self.steps_per_epoch, self.num_units * self.steps_per_epoch
        batches = self._own_views(first, end)
        while self.epoch < self.num_units:
            for group in self.optimizer.param_groups:
                group["lr"] = group["initial_lr"] * self.config.rate_factor(self.epoch)
            for clips, labels in islice(batches, self.steps_per_epoch):
                self._step(clips, labels)
            self.epoch += 1
            if self.epoch % self.pause_every == 0 or self.epoch == self.num_units:
                yield self.epoch

    def _step(self, clips: Tensor, labels: Tensor) -> None:
        """One step on this worker's rows of a batch."""
        device, bf16 = self.workers.device, self.config.precision == "bf16"
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            logits = self.classifier(clips, generator=self.streams["dropout"])
        loss = F.cross_entropy(logits.float(), labels)
        self.optimizer.zero_grad()
        loss.backward()
        self.workers.average_gradients(self.classifier.parameters())
        self.optimizer.step()

    def _own_views(self, first: int, end: int) -> Iterator[tuple[Tensor, Tensor]]:
        """This worker's rows of the batches from step `first` to step `end`: views `[m, C, T, S, S]`, drawn
        for the whole batch, and labels."""
        sampling, workers = self.sampling, self.workers
        views, batch_size = self.config.views(sampling.size), self.config.batch_size
        batches = random_clips(
            self.split,
            batch_size,
            frames=sampling.frames,
            stride=sampling.stride,
            seed=self.order,
            start=first,
        )
        rows = workers.shard(torch.arange(batch_size))
        own = slice(int(rows[0]), int(rows[-1]) + 1)
        wanted = (requests[own] for requests in islice(batches, end - first))
        for clips, labels in self.split.clips(wanted):
            _, channels, frames, height, width = clips.shape
            shape = (channels, frames, height, width)
            draws = draw_views(views, batch_size, shape, generator=self.streams["views"])
            yield apply_views(views, clips, {name: drawn[own] for name, drawn in draws.items()}), labels

    def state_dict(self) -> dict[str, Any]:
        return {
            "epoch": self.epoch,
            "classifier": self.classifier.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "streams": {name: stream.get_state() for name, stream in self.streams.items()},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.epoch = state["epoch"]
        self.classifier.load_state_dict(state["classifier"])
        self.optimizer.load_state_dict(state["optimizer"])
        for name, stream in self.streams.items():
            continue_stream(stream, state["streams"][name])


def _optimizer(config: ClipTrainingConfig, classifier: ClipClassifier) -> torch.optim.Optimizer:
    """One whose groups hold their first learning rate; decay is a term of the loss, as published."""
    norm = [] if classifier.norm is None else classifier.norm.parameters()
    rates = [([*norm, *classifier.linear.parameters()], config.learning_rate)]
    if not config.FROZEN:
        rates.append((list(classifier.network.parameters()), config.learning_rate * config.backbone_share))
    groups = [{"params": params, "lr": rate, "initial_lr": rate} for params, rate in rates]
    if config.OPTIMIZER == "sgd":
        return torch.optim.SGD(groups, weight_decay=config.weight_decay, momentum=0.9)
    return torch.optim.Adam(groups, weight_decay=config.weight_decay)


def measure_clip_training(
    config: ClipTrainingConfig,
    subject: ClipEncoderSubject,
    *,
    test: bool,
    state: Mapping[str, Any] | None = None,
) -> Generator[EvaluationProgress, None, Evaluated]:
    """`val_<name>`, with `test` also `<name>`; top-5 and confusion. All randomness follows from the subject's
    seed. Yields its progress at the end of epochs."""
    subject, clock = subject.on_data_of(config), subject.shared.clock
    data, sampling, workers = subject.data, subject.sampling, subject.workers
    settings = {
        **config.settings(),
        "features": "of the last layer, meant over the clip",
    }
    if not config.FROZEN:
        settings["encoder"] = "a copy, fine-tuned with a new layer, then eval mode, float32"

    def training_on(split: ClipSplit) -> ClipTraining:
        num_classes, seed = len(data.class_names), subject.seed
        return ClipTraining(
            config, subject.encoder, split, sampling, num_classes=num_classes, seed=seed, workers=workers
        )

    def score(training: ClipTraining, scoring: Scoring, start: float) -> Evaluated:
        windows = window_values(training.classifier, getattr(data, scoring.scored), sampling, workers)
        scores = mean_softmax(windows)
        return classified(config, scores, scoring, subject, settings, seconds=clock() - start)

    def validate(training: ClipTraining, start: float) -> Evaluated:
        parts = [score(training, VALIDATING, start)]
        if test and not config.refit:
            parts.append(score(training, VALIDATED, clock()))
        return merge(parts)

    stages = [Stage(lambda: training_on(data.train), validate)]
    if test and config.refit:
        both = ConcatClips(data.train, data.validation)
        stages.append(
            Stage(lambda: training_on(both), lambda training, start: score(training, TESTING, start))
        )
    return (yield from train_in_stages(stages, clock=clock, state=state))
