"""Contrastive learning with negative data augmentation (Sinha et al., ICLR 2021, arXiv 2102.05113).

A training step takes two views of each image (or clip) of a batch and one optimiser step on

    L = −log  e^{q·k⁺/τ} / ( e^{q·k⁺/τ} + Σ_{k⁻} e^{q·k⁻/τ} + λ Σ_{k̄} e^{α q·k̄/τ} )

where k̄ are embeddings of T(x) of the query's own image. The method makes q, k⁺ and k⁻: MoCo-v2, SimCLR, or
DPC, whose loss has the same form over feature maps. Evaluations measure the encoder without its head.
"""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from ndabench.metrics.subjects import Subject
from ndabench.models.split_batch_norm import average_running_moments
from ndabench.models.weights import export_encoder
from ndabench.registry import load
from ndabench.tasks.contrastive.config import ContrastiveConfig
from ndabench.tasks.contrastive.method import Method, random_streams
from ndabench.tasks.contrastive.methods import METHODS
from ndabench.tasks.contrastive.source import Source
from ndabench.tasks.curves import Curves
from ndabench.tasks.exports import Exported
from ndabench.tasks.setup import TrialSetup
from ndabench.tasks.task import Stateful


class ContrastiveTask:
    """A method and its optimiser, fed from images or videos; see `tasks.task.Task`."""

    picture_every = None
    evaluates_untrained = False

    def __init__(self, setup: TrialSetup, source: Source) -> None:
        """`source` gives batches, the encoder and what evaluations see; see `images.py` and `clips.py`."""
        self.setup, self.source = setup, source
        self.config: ContrastiveConfig = setup.config
        self.workers = setup.workers
        self.streams = random_streams(setup)
        build = load(METHODS[self.config.method.name].build)
        self.method: Method = build(setup, source.encoder, self.streams)
        self.optimizer = _optimizer(self.config, self.method.network)
        self.curves = Curves(setup.workers)

    def batches(self, start: int) -> Iterator[Tensor]:
        """Global batches in uint8 without end."""
        return self.source.batches(start)

    def training_step(self, batch: Tensor, step: int) -> None:
        """One optimiser step on the method's loss."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.learning_rate_at(step)
        parts = self.method.loss(self.method.inputs(batch))
        self.optimizer.zero_grad()
        parts["loss"].backward()
        self.workers.average_gradients(self.method.network.parameters())
        self.optimizer.step()
        self.method.after_step(step)
        self.curves.add(parts)

    def networks(self) -> dict[str, nn.Module]:
        return {"network": self.method.network}

    def compile(self) -> str:
        return self.method.compile(self.source.example())

    def synchronise(self) -> None:
        """Averages the running moments of batch norms that each worker keeps for itself."""
        average_running_moments(self.method.network, self.workers)

    def subject(self, step: int) -> Subject:
        """The encoder without its head, or another network that the method trained to describe samples."""
        return self.source.subject(self.method.features)

    def exports(self, step: int) -> dict[str, Exported]:
        """The network whose features evaluations measure, where it has weights."""
        features = self.method.features
        has_weights = next(features.parameters(), None) is not None
        return {"encoder": self.source.exported(features)} if has_weights else {}

    def artifacts(self, step: int, *, last: bool) -> dict[str, bytes]:
        """At step 0 sheets of the training inputs, at the last step the trained weights."""
        if not self.workers.is_main:
            return {}
        files: dict[str, bytes] = {}
        if step == 0 and self.config.num_steps > 0:
            streams = random_streams(self.setup, " sheet")
            files |= self.method.sheets(self.source.shown(), streams)
        if last:
            files |= {name: export_encoder(network) for name, network in self.weight_files().items()}
        return files

    def weight_files(self) -> dict[str, nn.Module]:
        """The encoder, and what else the method is measured by, by file name."""
        return {**self.source.exports(), **self.method.exports()}

    def parts(self) -> Mapping[str, Stateful]:
        return {**self.method.parts(), "optimizer": self.optimizer}


def _optimizer(config: ContrastiveConfig, network: nn.Module) -> torch.optim.Optimizer:
    parameters, rate, decay = network.parameters(), config.learning_rate, config.weight_decay
    if config.optimizer == "adam":
        return torch.optim.Adam(parameters, rate, weight_decay=decay)
    return torch.optim.SGD(parameters, rate, config.momentum, weight_decay=decay)
