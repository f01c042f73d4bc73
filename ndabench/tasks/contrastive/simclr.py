"""SimCLR (Chen et al., arXiv 2002.05709) with NDA keys: the whole step.

Every view of a batch is a query; its partner is the positive, all other views are negatives, and the NDA keys
of the query's own image (`view_pairs`) enter with weight λ (`losses.contrastive.nt_xent`).
"""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from ndabench.losses.contrastive import nt_xent
from ndabench.models.split_batch_norm import running_moments_kept
from ndabench.tasks.acceleration import compiled_if_possible
from ndabench.tasks.contrastive.method import Streams
from ndabench.tasks.contrastive.view_pairs import Pair, contrast_of, embedder_of, view_pairs
from ndabench.tasks.setup import TrialSetup
from ndabench.tasks.task import Stateful


class SimClr:
    """A network in training; both directions of a pair are embedded together."""

    def __init__(self, setup: TrialSetup, encoder: nn.Module, streams: Streams) -> None:
        self.workers, self.streams = setup.workers, streams
        self.contrast, self.pairs = contrast_of(setup), view_pairs(setup)
        self.features = encoder
        self.network: nn.Module = embedder_of(setup, encoder)
        self.embed: Callable[[Tensor], Tensor] = self.network

    def inputs(self, batch: Tensor) -> list[Pair]:
        """The pairs of views of a global batch of uint8 images or clips, in both directions."""
        return self.pairs.inputs(batch, self.streams)

    def loss(self, pairs: Sequence[Pair]) -> dict[str, Tensor]:
        """The loss of a step, averaged over both directions, and what describes it."""
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

    def after_step(self, step: int) -> None:
        """Nothing is kept from step to step."""

    def parts(self) -> Mapping[str, Stateful]:
        return {"network": self.network}

    def sheets(self, batch: Tensor, streams: Streams) -> dict[str, bytes]:
        """PNG files of views and negatives; see `ViewPairs.sheets`."""
        return self.pairs.sheets(batch, streams)

    def exports(self) -> dict[str, nn.Module]:
        """Nothing but the encoder is worth keeping."""
        return {}
