"""DPC (Han et al., arXiv 1909.04656) with negative data augmentation: how clips become a step of training.

T is applied to every block that is to be predicted as if it were a separate clip, with the same blocks of
other clips as partners. The encoder turns the results into maps k̄, which are additional columns next to all
targets of the batch (`dense_info_nce`). T of several blocks at once might only move a block, which is then
the target of another step, and no negative.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from ndabench.augmentations.compose import Augmentation
from ndabench.augmentations.views import apply_views, draw_views
from ndabench.augmentations.views_config import ClipViewsConfig
from ndabench.data.images import to_uint8
from ndabench.data.sheets import comparison_sheet
from ndabench.distributed import Workers
from ndabench.losses.dense_info_nce import NdaTargets, dense_info_nce
from ndabench.models.dpc import Dpc, DpcFeatures, blocks_of, encode_blocks
from ndabench.models.resnet2d3d import ResNet2d3d
from ndabench.models.split_batch_norm import running_moments_kept
from ndabench.models.weights import load_encoder_weights
from ndabench.tasks.acceleration import compiled_if_possible
from ndabench.tasks.contrastive.dpc_config import DpcConfig
from ndabench.tasks.contrastive.method import Streams
from ndabench.tasks.setup import TrialSetup
from ndabench.tasks.task import Stateful


@dataclass(frozen=True)
class DpcInputs:
    """This worker's share of the inputs of a step: float clips in [-1, 1]."""

    clips: Tensor
    """`[n, C, T, S, S]`: a view of each clip."""
    nda: Sequence[Tensor]
    """For every NDA key T of each block to be predicted, `[n, num_predicted, C, T / num_blocks, S, S]`."""


@dataclass(frozen=True)
class DpcViews:
    """Makes the inputs; all draws are made for the global batch, the same on every worker."""

    views: ClipViewsConfig
    negative: Augmentation | None
    """T; None where no NDA keys are wanted."""
    positive: Augmentation | None
    """Changes every view (PDA)."""
    num_nda_keys: int
    num_blocks: int
    num_predicted: int
    workers: Workers

    def inputs(self, clips: Tensor, streams: Streams) -> DpcInputs:
        """Those of a global batch of uint8 clips `[N, C, T, H, W]`."""
        draws = draw_views(self.views, len(clips), clips.shape[1:], generator=streams["views"])
        shard = self.workers.shard
        if self.negative is None and self.positive is None:
            own = {name: shard(drawn) for name, drawn in draws.items()}
            return DpcInputs(apply_views(self.views, shard(clips), own), [])
        view = apply_views(self.views, clips, draws)  # whole, because augmentations may mix clips
        if self.positive is not None:
            view = self.positive(view, generator=streams["positives"])
        if self.negative is None:
            return DpcInputs(shard(view), [])
        nda = [shard(self._nda(view, streams["negatives"])) for _ in range(self.num_nda_keys)]
        return DpcInputs(shard(view), nda)

    def future(self, clips: Tensor) -> Tensor:
        """The blocks to be predicted of clips `[N, C, T, S, S]`, `[N, num_predicted, C, t, S, S]`."""
        return blocks_of(clips, self.num_blocks)[:, -self.num_predicted :]

    def _nda(self, clips: Tensor, stream: torch.Generator) -> Tensor:
        """T of the blocks to be predicted, step by step: partners are blocks of other clips."""
        assert self.negative is not None
        steps = self.future(clips).unbind(1)
        return torch.stack([self.negative(blocks.contiguous(), generator=stream) for blocks in steps], 1)

    def sheets(self, clips: Tensor, streams: Streams) -> dict[str, bytes]:
        """PNG files of uint8 clips above their views, and of T's inputs above its outputs."""
        alone = replace(self, workers=Workers(device=clips.device), num_nda_keys=1)
        inputs = alone.inputs(clips, streams)
        view = to_uint8(inputs.clips)
        same_size = view.shape == clips.shape
        sheets = {"views.png": comparison_sheet(clips, view) if same_size else comparison_sheet(view)}
        if inputs.nda:
            pair = (self.future(view), to_uint8(inputs.nda[0]))
            in_a_row = (blocks.transpose(1, 2).flatten(2, 3) for blocks in pair)
            sheets["negatives.png"] = comparison_sheet(*in_a_row)
        return sheets


class DpcMethod:
    """DPC in training; see `method.Method`."""

    def __init__(self, setup: TrialSetup, encoder: nn.Module, streams: Streams) -> None:
        """`encoder` is a `ClipEncoder` over a `ResNet2d3d`. `UserError` for weights that do not fit."""
        config = setup.config
        self.config: DpcConfig = config.method
        self.workers, self.streams = setup.workers, streams
        self.nda_weight, self.nda_scale = setup.lambda_, config.nda_scale
        self.bf16 = config.precision == "bf16"
        self.views = DpcViews(
            config.views,
            setup.weighted_negative,
            setup.positive,
            num_nda_keys=config.num_nda_keys,
            num_blocks=self.config.num_blocks,
            num_predicted=self.config.num_predicted,
            workers=setup.workers,
        )
        self.network = self._network(encoder.body, setup)  # type: ignore[arg-type]  # a module, not a tensor
        self.features = DpcFeatures(self.network, self.config.num_blocks)
        self.encode: Callable[[Tensor], Tensor] = self.network.encoder

    def _network(self, body: ResNet2d3d, setup: TrialSetup) -> Dpc:
        """DPC over `body` on the workers' device, started from the weights that the configuration names."""
        network = Dpc(
            body,
            num_steps=self.config.num_predicted,
            dropout=self.config.dropout,
            workers=setup.workers,
            generator=setup.stream("predictor"),
        )
        weights = self.config.weights
        if weights is not None:
            load_encoder_weights(network, weights.path, sha256=weights.sha256, title="DPC over this encoder")
        return network.to(setup.workers.device)

    def inputs(self, batch: Tensor) -> DpcInputs:
        """A view of each of a global batch of uint8 clips, and T of the blocks to be predicted."""
        return self.views.inputs(batch, self.streams)

    def loss(self, inputs: DpcInputs) -> dict[str, Tensor]:
        """The dense InfoNCE of a step among the targets of all workers, and what describes it."""
        clips = inputs.clips
        with self._precision(clips):
            predictions, targets = self.network(
                blocks_of(clips, self.config.num_blocks),
                generator=self.streams["dropout"],
                encoder=self.encode,
            )
            nda = self._nda(inputs.nda) if inputs.nda else None
        return dense_info_nce(
            predictions,
            self.workers.all_gather_with_gradient(targets),
            own=torch.arange(len(clips), device=clips.device) + self.workers.rank * len(clips),
            nda=nda,
        )

    def _nda(self, nda: Sequence[Tensor]) -> NdaTargets:
        """The NDA keys, each encoded with the moments of its own batch; the network keeps its own."""
        with torch.set_grad_enabled(self.config.nda_gradient), running_moments_kept(self.network):
            targets = torch.cat([encode_blocks(self.encode, blocks) for blocks in nda], 1)
            if self.config.nda_scope == "batch":
                targets = self.workers.all_gather_with_gradient(targets)
        return NdaTargets(targets, self.nda_weight, self.nda_scale, self.config.nda_scope)

    def compile(self, example: Tensor) -> str:
        """Compiles the encoder for blocks of clips such as `example`; why that failed, or an empty string."""
        blocks = blocks_of(example, self.config.num_blocks).flatten(0, 1)
        with self._precision(example):
            self.encode, why_not = compiled_if_possible(self.network.encoder, blocks)
        return why_not

    def _precision(self, clips: Tensor) -> torch.autocast:
        return torch.autocast(clips.device.type, dtype=torch.bfloat16, enabled=self.bf16)

    def after_step(self, step: int) -> None:
        """Nothing is kept from step to step."""

    def parts(self) -> Mapping[str, Stateful]:
        return {"network": self.network}

    def sheets(self, batch: Tensor, streams: Streams) -> dict[str, bytes]:
        """PNG files of views and negatives; see `DpcViews.sheets`."""
        return self.views.sheets(batch, streams)

    def exports(self) -> dict[str, nn.Module]:
        """The whole of DPC is measured; its encoder alone is what other methods can start from."""
        return {"dpc.pt": self.network}
