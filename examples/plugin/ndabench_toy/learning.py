"""The toy contrastive method: it pulls two views of an image together and pushes negatives away."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ndabench.models.split_batch_norm import running_moments_kept
from ndabench.tasks.acceleration import compiled_if_possible
from ndabench.tasks.contrastive.method import Streams
from ndabench.tasks.contrastive.view_pairs import Pair, contrast_of, embedder_of, view_pairs
from ndabench.tasks.setup import TrialSetup
from ndabench.tasks.task import Stateful


class Pull:
    """Minimises E[1 − q·k⁺] + λ · E[relu(q·k̄)]; see `ndabench.tasks.contrastive.method.Method`."""

    def __init__(self, setup: TrialSetup, encoder: nn.Module, streams: Streams) -> None:
        self.streams, self.contrast, self.pairs = streams, contrast_of(setup), view_pairs(setup)
        self.features = encoder
        self.network: nn.Module = embedder_of(setup, encoder)
        self.embed: Callable[[Tensor], Tensor] = self.network

    def inputs(self, batch: Tensor) -> list[Pair]:
        return self.pairs.inputs(batch, self.streams)

    def loss(self, inputs: Sequence[Pair]) -> dict[str, Tensor]:
        (pair,) = inputs
        queries = self.embed(pair.query)
        loss = 1 - (queries * self.embed(pair.key)).sum(1).mean()
        if pair.nda:
            with running_moments_kept(self.network):
                nda = [self.embed(negatives) for negatives in pair.nda]
            similar = torch.stack([(queries * keys).sum(1) for keys in nda])
            loss = loss + self.contrast.nda_weight * F.relu(similar).mean()
        return {"loss": loss}

    def after_step(self, step: int) -> None:
        """Nothing is kept from step to step."""

    def compile(self, example: Tensor) -> str:
        self.embed, why_not = compiled_if_possible(self.network, example)
        return why_not

    def parts(self) -> Mapping[str, Stateful]:
        return {"network": self.network}

    def sheets(self, batch: Tensor, streams: Streams) -> dict[str, bytes]:
        return self.pairs.sheets(batch, streams)

    def exports(self) -> dict[str, nn.Module]:
        return {}
