"""MoCo-v2 and SimCLR, on images and on clips: how views become queries, keys and negatives.

NDA keys k̄ enter both in the same way. They are the embeddings of T(x) of the query's own image, made by the
network that makes the positive key, without gradient; they are never another query's negatives and never
enter a queue.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from pydantic import BeforeValidator, Field
from torch import Tensor, nn

from ndabench.config import Config, named
from ndabench.distributed import Workers
from ndabench.errors import UserError
from ndabench.losses.contrastive import NdaKeys, info_nce, nt_xent
from ndabench.models.ema import trail
from ndabench.models.embedder import Embedder
from ndabench.models.heads import ProjectionHead
from ndabench.models.queue import KeyQueue
from ndabench.models.split_batch_norm import keep_running_moments, running_moments_kept
from ndabench.tasks.contrastive_config import ContrastiveConfig
from ndabench.tasks.kernels import compiled_if_possible
from ndabench.tasks.random_streams import random_stream
from ndabench.tasks.resuming import Stateful


class MocoConfig(Config):
    """MoCo-v2 (Chen et al., arXiv 2003.04297): keys from a momentum encoder, negatives from a queue."""

    name: Literal["moco"] = "moco"
    queue_size: int = Field(4096, ge=1)
    key_momentum: float = Field(0.99, ge=0, lt=1)
    """m: after a step the key network is m times itself and (1 − m) times the trained one."""
    symmetric: bool = False
    """Each view is query once and key once; the two losses are summed and all keys enter the queue."""
    shuffle_keys: bool = True
    """Keys are embedded in another order of the batch (of all workers' batches), against leaking moments."""
    batch_norm_splits: int = Field(8, ge=1)
    """Parts of the global batch that are normalised apart; 1: the whole batch."""

    def check(self, batch_size: int) -> None:
        """`UserError` where the queue does not take whole batches of keys."""
        keys = batch_size * (2 if self.symmetric else 1)
        per_step = f"the {keys} keys of a step" + (" (both views of a batch)" if self.symmetric else "")
        if self.queue_size < keys:
            raise UserError(f"method: queue_size {self.queue_size} is smaller than {per_step}")
        if self.queue_size % keys:
            raise UserError(f"method: queue_size {self.queue_size} is not a multiple of {per_step}")
        if batch_size % self.batch_norm_splits:
            raise UserError(
                f"method: batch_norm_splits {self.batch_norm_splits} does not divide the batch_size of "
                f"{batch_size}"
            )


class SimclrConfig(Config):
    """SimCLR (Chen et al., arXiv 2002.05709): all other views of the batch are the negatives."""

    name: Literal["simclr"] = "simclr"
    symmetric: Literal[True] = True
    shuffle_keys: Literal[False] = False
    batch_norm_splits: Literal[1] = 1
    """Moments of the whole batch, both views of it together."""

    def check(self, batch_size: int) -> None:
        """Any batch will do."""


MethodConfig = Annotated[MocoConfig | SimclrConfig, Field(discriminator="name"), BeforeValidator(named)]


@dataclass(frozen=True)
class Pair:
    """What one direction of a step looks at: float images `[n, C, S, S]` or clips `[n, C, T, S, S]` in
    [-1, 1], this worker's share of each."""

    query: Tensor
    """In the order of the batch."""
    key: Tensor
    """The other views of the images that `order` gives to this worker."""
    nda: Sequence[Tensor]
    """For every NDA key T of the images of `key`, in the same order."""
    order: Tensor
    """int64 `[N]`: a permutation of the global batch."""


@dataclass(frozen=True)
class Contrast:
    """The settings of the loss: τ, λ and α; see `losses.contrastive`."""

    temperature: float
    nda_weight: float
    nda_scale: float

    def nda(self, keys: Sequence[Tensor]) -> NdaKeys | None:
        """The NDA term of keys `[n, d]`, one tensor for each key of a query; None for none."""
        return NdaKeys(torch.stack(list(keys), 1), self.nda_weight, self.nda_scale) if keys else None


class Moco:
    """A network in training, the key network that trails it, and the queue."""

    def __init__(
        self,
        config: MocoConfig,
        contrast: Contrast,
        network: nn.Module,
        dim: int,
        *,
        generator: torch.Generator,
        workers: Workers,
    ) -> None:
        self.config, self.contrast, self.workers = config, contrast, workers
        self.network = network
        self.key_network = copy.deepcopy(network).requires_grad_(False)
        keep_running_moments(self.key_network)  # it always normalises by its batch
        self.queue = KeyQueue(config.queue_size, dim, generator=generator).to(workers.device)
        self.embed: Callable[[Tensor], Tensor] = self.network
        self.embed_keys: Callable[[Tensor], Tensor] = self.key_network
        self._new_keys: list[Tensor] = []

    def loss(self, pairs: Sequence[Pair]) -> dict[str, Tensor]:
        """The loss of a step, summed over the directions, and what describes it."""
        trail(self.key_network.parameters(), self.network.parameters(), decay=self.config.key_momentum)
        self._new_keys = [self._keys(pair.key, pair.order) for pair in pairs]
        return _together(
            [self._direction(pair, keys) for pair, keys in zip(pairs, self._new_keys, strict=True)]
        )

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
        """Compiles what embeds images such as `example`; returns why it could not, or an empty string."""
        self.embed, why_not = compiled_if_possible(self.network, example)
        self.embed_keys, why_not_keys = compiled_if_possible(self.key_network, example, trains=False)
        return why_not or why_not_keys

    def conclude(self, step: int) -> None:
        """After the step's backward pass: its keys enter the queue. `step` counts from 0."""
        self.queue.put(torch.cat(self._new_keys), turn=step)

    def parts(self) -> Mapping[str, Stateful]:
        return {"network": self.network, "key_network": self.key_network, "queue": self.queue}


class SimClr:
    """A network in training; both directions of a pair are embedded together."""

    def __init__(
        self,
        config: SimclrConfig,
        contrast: Contrast,
        network: nn.Module,
        dim: int,
        *,
        generator: torch.Generator,
        workers: Workers,
    ) -> None:
        self.contrast, self.network, self.workers = contrast, network, workers
        self.embed: Callable[[Tensor], Tensor] = self.network

    def loss(self, pairs: Sequence[Pair]) -> dict[str, Tensor]:
        """The loss of a step, meant over both directions, and what describes it."""
        first, second = pairs
        queries = self.embed(torch.cat([first.query, second.query]))
        count = len(first.query)
        total = count * self.workers.world_size
        gathered = [self.workers.all_gather_with_gradient(half) for half in queries.split(count)]
        mine = torch.arange(count, device=queries.device) + self.workers.rank * count
        with torch.no_grad(), running_moments_kept(self.network):
            nda = [self.embed(torch.cat(views)) for views in zip(first.nda, second.nda, strict=True)]
        return nt_xent(
            queries,
            torch.cat(gathered),
            own=torch.cat([mine, mine + total]),
            partner=torch.cat([mine + total, mine]),
            temperature=self.contrast.temperature,
            nda=self.contrast.nda(nda),
        )

    def compile(self, example: Tensor) -> str:
        """As `Moco.compile`; both directions are embedded at once."""
        self.embed, why_not = compiled_if_possible(self.network, torch.cat([example, example]))
        return why_not

    def conclude(self, step: int) -> None:
        """Nothing outlasts a step."""

    def parts(self) -> Mapping[str, Stateful]:
        return {"network": self.network}


def _together(directions: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The sum of the directions' losses and the mean of all else."""
    means = {name: torch.stack([parts[name] for parts in directions]).mean(0) for name in directions[0]}
    return {**means, "loss": means["loss"] * len(directions)}


METHODS: dict[str, type[Moco] | type[SimClr]] = {"moco": Moco, "simclr": SimClr}


def build_method(
    config: ContrastiveConfig,
    method: MocoConfig | SimclrConfig,
    encoder: nn.Module,
    *,
    lambda_: float,
    seed: int,
    workers: Workers,
) -> Moco | SimClr:
    """The method over `encoder`, which has a `dimension`, with a projection head on it."""
    dimension = int(encoder.dimension)  # type: ignore[arg-type]
    trained = any(True for _ in encoder.parameters())  # bare pixels are many, and no head of theirs learns
    hidden_dim = (config.hidden_dim or dimension) if config.mlp_head and trained else None
    head = ProjectionHead(dimension, hidden_dim, config.embedding_dim, random_stream(seed, "head"))
    return METHODS[method.name](
        method,  # type: ignore[arg-type]
        Contrast(config.temperature, lambda_, config.nda_scale),
        Embedder(encoder, head, bf16=config.precision == "bf16").to(workers.device),
        config.embedding_dim,
        generator=random_stream(seed, "queue"),
        workers=workers,
    )
