"""The inputs of MoCo and SimCLR in a step: two views of each image or clip, and T of them.

All draws are made for the global batch, the same on every worker; each worker then makes the views that it
needs. NDA keys k̄ are embeddings of T(x) of the query's own image, made by the network that makes the positive
key, without gradient. They are never another query's negatives and never enter a queue.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from ndabench.augmentations.compose import Augmentation
from ndabench.augmentations.views import apply_views, draw_views
from ndabench.augmentations.views_config import ViewsConfig
from ndabench.data.images import to_float, to_uint8
from ndabench.data.sheets import comparison_sheet
from ndabench.distributed import Workers
from ndabench.losses.contrastive import NdaKeys
from ndabench.metrics.features import middle
from ndabench.models.embedder import Embedder
from ndabench.models.heads import ProjectionHead
from ndabench.tasks.contrastive.config import NdaSource
from ndabench.tasks.contrastive.method import Streams
from ndabench.tasks.setup import TrialSetup

Draws = Mapping[str, Tensor]


@dataclass(frozen=True)
class Pair:
    """This worker's share of the inputs of one direction of a step: float images `[n, C, S, S]` or clips
    `[n, C, T, S, S]` in [-1, 1]."""

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


@dataclass(frozen=True)
class ViewPairs:
    """Makes pairs of views."""

    views: ViewsConfig
    negative: Augmentation | None
    """T; None where no NDA keys are wanted."""
    positive: Augmentation | None
    """Changes every view (PDA)."""
    num_nda_keys: int
    nda_source: NdaSource
    """What T is applied to: the query's view, the key's view, or the raw image; this is not cropped
    afterwards, since a crop might hold nothing of what T did."""
    symmetric: bool
    """Each view is query once and key once."""
    shuffle: bool
    """Whether keys are made in another order than queries."""
    workers: Workers

    def inputs(self, images: Tensor, streams: Streams) -> list[Pair]:
        """The pairs of a global batch of uint8 images `[N, C, H, W]` or clips `[N, C, T, H, W]`: two where
        `symmetric`, else one."""
        first, second = (self._draw(images, streams["views"]) for _ in range(2))
        directions = [(first, second), (second, first)] if self.symmetric else [(first, second)]
        return [self._pair(images, *draws, streams) for draws in directions]

    def _draw(self, images: Tensor, stream: torch.Generator) -> Draws:
        return draw_views(self.views, len(images), images.shape[1:], generator=stream)

    def _pair(self, images: Tensor, query: Draws, key: Draws, streams: Streams) -> Pair:
        order = self._order(len(images), streams["order"])
        queries = self._view(images, query, streams, whole=self.nda_source == "query")
        keys = self._view(images, key, streams, whole=self.nda_source == "key")
        rows = self.workers.shard(order)
        own = self.workers.shard(torch.arange(len(images), device=images.device))
        return Pair(queries(own), keys(rows), self._nda(images, queries, keys, rows, streams), order)

    def _view(
        self, images: Tensor, draws: Draws, streams: Streams, *, whole: bool
    ) -> Callable[[Tensor], Tensor]:
        """Rows to the float views of these images.

        Augmentations may mix images and must see the view of the `whole` batch; else only what is asked for
        is made.
        """
        if self.positive is None and not (whole and self.negative is not None):
            return lambda rows: apply_views(self.views, images[rows], {k: d[rows] for k, d in draws.items()})
        made = apply_views(self.views, images, draws)
        if self.positive is not None:
            made = self.positive(made, generator=streams["positives"])
        return lambda rows: made[rows]

    def _nda(
        self,
        images: Tensor,
        queries: Callable[[Tensor], Tensor],
        keys: Callable[[Tensor], Tensor],
        rows: Tensor,
        streams: Streams,
    ) -> list[Tensor]:
        if self.negative is None:
            return []
        everything = torch.arange(len(images), device=images.device)
        view = {"query": queries, "key": keys}.get(self.nda_source)
        shown = self._raw(images) if view is None else view(everything)
        stream = streams["negatives"]
        return [self.negative(shown, generator=stream)[rows] for _ in range(self.num_nda_keys)]

    def _raw(self, images: Tensor) -> Tensor:
        """The images as they are, at the views' size."""
        return at_size(to_float(images), self.views.size)

    def _order(self, count: int, stream: torch.Generator) -> Tensor:
        if self.shuffle:
            return torch.randperm(count, generator=stream, device=stream.device)
        return torch.arange(count, device=stream.device)

    def sheets(self, images: Tensor, streams: Streams) -> dict[str, bytes]:
        """PNG files of uint8 images, each above its two views, and of T's inputs above its outputs."""
        alone = replace(self, workers=Workers(device=images.device), shuffle=False, num_nda_keys=1)
        pair = alone.inputs(images, streams)[0]
        shown = self._raw(images)
        sheets = {"views.png": comparison_sheet(*map(to_uint8, (shown, pair.query, pair.key)))}
        if pair.nda:
            source = {"query": pair.query, "key": pair.key, "raw": shown}[self.nda_source]
            sheets["negatives.png"] = comparison_sheet(to_uint8(source), to_uint8(pair.nda[0]))
        return sheets


def view_pairs(setup: TrialSetup) -> ViewPairs:
    """The pairs that a trial of MoCo or SimCLR asks for."""
    config, method = setup.config, setup.config.method
    return ViewPairs(
        config.views,
        negative=setup.weighted_negative,
        positive=setup.positive,
        num_nda_keys=config.num_nda_keys,
        nda_source=config.nda_source,
        symmetric=method.symmetric,
        shuffle=method.shuffle_keys,
        workers=setup.workers,
    )


def contrast_of(setup: TrialSetup) -> Contrast:
    """The settings of the loss: λ weighs the NDA keys."""
    config = setup.config
    return Contrast(config.temperature, nda_weight=setup.lambda_, nda_scale=config.nda_scale)


def embedder_of(setup: TrialSetup, encoder: nn.Module) -> Embedder:
    """`encoder`, which has a `dimension`, with a projection head on it, on the workers' device."""
    config = setup.config
    dimension = int(encoder.dimension)  # type: ignore[arg-type]  # nn.Module types attributes as tensors
    trained = any(True for _ in encoder.parameters())  # raw pixels are many: no hidden layer
    hidden_dim = (config.hidden_dim or dimension) if config.mlp_head and trained else None
    head = ProjectionHead(dimension, hidden_dim, config.embedding_dim, setup.stream("head"))
    return Embedder(encoder, head, bf16=config.precision == "bf16").to(setup.workers.device)


def at_size(images: Tensor, size: int | None) -> Tensor:
    """The middle square of float images or clips `[..., H, W]`, `size` × `size`; None: as they are.

    If images were squeezed into a square, objects would have other proportions than in the views.
    """
    if size is None or images.shape[-2:] == (size, size):
        return images
    images = middle(images, min(images.shape[-2:]))
    planes = interpolate(images.flatten(1, -3), (size, size), mode="bilinear", antialias=True)
    return planes.view(*images.shape[:-2], size, size)
