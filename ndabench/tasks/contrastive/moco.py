"""MoCo-v2 (Chen et al., arXiv 2003.04297) with NDA keys: the whole step.

The keys of a step come from a network that trails the trained one; negatives are the keys of earlier steps,
kept in a queue, and the NDA keys of the query's own image (`view_pairs`), which enter the loss with weight λ
(`losses.contrastive.info_nce`) and never the queue.
"""

import copy
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from ndabench.losses.contrastive import info_nce
from ndabench.models.ema import trail
from ndabench.models.queue import KeyQueue
from ndabench.models.split_batch_norm import keep_running_moments
from ndabench.tasks.acceleration import compiled_if_possible
from ndabench.tasks.contrastive.method import Streams
from ndabench.tasks.contrastive.moco_config import MocoConfig
from ndabench.tasks.contrastive.view_pairs import Pair, contrast_of, embedder_of, view_pairs
from ndabench.tasks.setup import TrialSetup
from ndabench.tasks.task import Stateful


class Moco:
    """A network in training, the key network that trails it, and the queue."""

    def __init__(self, setup: TrialSetup, encoder: nn.Module, streams: Streams) -> None:
        config = setup.config
        self.config: MocoConfig = config.method
        self.workers, self.streams = setup.workers, streams
        self.contrast, self.pairs = contrast_of(setup), view_pairs(setup)
        self.features = encoder
        self.network: nn.Module = embedder_of(setup, encoder)
        self.key_network = copy.deepcopy(self.network).requires_grad_(False)
        keep_running_moments(self.key_network)  # it always normalises by its batch
        queue = KeyQueue(self.config.queue_size, config.embedding_dim, generator=setup.stream("queue"))
        self.queue = queue.to(setup.workers.device)
        self.embed: Callable[[Tensor], Tensor] = self.network
        self.embed_keys: Callable[[Tensor], Tensor] = self.key_network
        self._new_keys: list[Tensor] = []

    def inputs(self, batch: Tensor) -> list[Pair]:
        """The pairs of views of a global batch of uint8 images or clips."""
        return self.pairs.inputs(batch, self.streams)

    def loss(self, pairs: Sequence[Pair]) -> dict[str, Tensor]:
        """The loss of a step, summed over the directions, and what describes it."""
        trail(self.key_network.parameters(), self.network.parameters(), decay=self.config.key_momentum)
        self._new_keys = [self._keys(pair.key, pair.order) for pair in pairs]
        return merged([self._direction(pair, keys) for pair, keys in zip(pairs, self._new_keys, strict=True)])

    def _direction(self, pair: Pair, keys: Tensor) -> dict[str, Tensor]:
        shard = self.workers.shard
        nda = [shard(self._keys(images, pair.order)) for images in pair.nda]
        return info_nce(
            self.embed(pair.query),
            shard(keys),
            self.queue.keys,
            temperature=self.contrast.temperature,
            nda=self.contrast.nda(nda),
        )

    @torch.no_grad()
    def _keys(self, images: Tensor, order: Tensor) -> Tensor:
        """Keys `[N, d]` of the global batch in its own order, from this worker's images of `order`."""
        shuffled = self.workers.all_gather(self.embed_keys(images))
        return torch.empty_like(shuffled).index_copy_(0, order, shuffled)

    def compile(self, example: Tensor) -> str:
        """Compiles what embeds images such as `example`; why that failed, or an empty string."""
        self.embed, why_not = compiled_if_possible(self.network, example)
        self.embed_keys, why_not_keys = compiled_if_possible(self.key_network, example, trains=False)
        return why_not or why_not_keys

    def after_step(self, step: int) -> None:
        """The keys of the step enter the queue; `step` counts from 0."""
        self.queue.put(torch.cat(self._new_keys), turn=step)

    def parts(self) -> Mapping[str, Stateful]:
        return {"network": self.network, "key_network": self.key_network, "queue": self.queue}

    def sheets(self, batch: Tensor, streams: Streams) -> dict[str, bytes]:
        """PNG files of views and negatives; see `ViewPairs.sheets`."""
        return self.pairs.sheets(batch, streams)

    def exports(self) -> dict[str, nn.Module]:
        """Nothing but the encoder is worth keeping."""
        return {}


def merged(directions: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The sum of the directions' losses and the mean of all else."""
    means = {name: torch.stack([parts[name] for parts in directions]).mean(0) for name in directions[0]}
    return {**means, "loss": means["loss"] * len(directions)}
