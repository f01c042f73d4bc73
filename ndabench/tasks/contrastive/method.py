"""The protocol of a contrastive method: its views, its loss and the state that it keeps from step to step."""

from collections.abc import Mapping
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from ndabench.tasks.setup import TrialSetup
from ndabench.tasks.task import Stateful

STREAMS = ("views", "order", "negatives", "positives", "dropout")
Streams = Mapping[str, torch.Generator]
"""A trial's generators by the names of `STREAMS`."""


def random_streams(setup: TrialSetup, suffix: str = "") -> dict[str, torch.Generator]:
    """All `STREAMS` of a trial at their beginning; a `suffix` gives other streams than those of training."""
    return {name: setup.stream(name + suffix, setup.workers.device) for name in STREAMS}


class Method(Protocol):
    """How a network learns from images or clips; built from (setup, encoder, streams)."""

    @property
    def network(self) -> nn.Module:
        """What is trained."""
        ...

    @property
    def features(self) -> nn.Module:
        """What evaluations measure: images or clips to feature vectors `[N, d]`."""
        ...

    def inputs(self, batch: Tensor) -> Any:
        """What `loss` takes, this worker's share of it, made from a global batch in uint8."""
        ...

    def loss(self, inputs: Any) -> dict[str, Tensor]:
        """The "loss" of a step, and values that describe it."""
        ...

    def after_step(self, step: int) -> None:
        """Called after the optimiser's step; `step` counts from 0."""
        ...

    def compile(self, example: Tensor) -> str:
        """Compiles what embeds batches such as `example`; why that failed, or an empty string."""
        ...

    def parts(self) -> Mapping[str, Stateful]:
        """The networks and queues that a checkpoint holds."""
        ...

    def sheets(self, batch: Tensor, streams: Streams) -> dict[str, bytes]:
        """PNG files that show what a step sees of a few uint8 images or clips."""
        ...

    def exports(self) -> dict[str, nn.Module]:
        """Networks that are saved at the last step in addition to the encoder, by file name."""
        ...
