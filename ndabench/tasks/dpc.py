"""DPC (Han et al., arXiv 1909.04656) with negative data augmentation: how clips become a step of training.

Every block that is to be predicted goes through T as a clip of its own, its partners the same blocks of other
clips, and is encoded; the maps k̄ that come of it are further columns beside all targets of the batch
(`dense_info_nce`). T of several blocks at once might only move a block, which is then the target of another
step, and no negative.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from ndabench.augmentations.clip_views import ClipViews
from ndabench.augmentations.compose import Augmentation
from ndabench.config import Config
from ndabench.data.images import to_uint8
from ndabench.data.sheets import comparison_sheet
from ndabench.distributed import Workers
from ndabench.errors import UserError
from ndabench.losses.dense_info_nce import NdaTargets, dense_info_nce
from ndabench.models.dpc import Dpc, blocks_of, encode_blocks
from ndabench.models.split_batch_norm import running_moments_kept
from ndabench.tasks.contrastive import Streams
from ndabench.tasks.kernels import compiled_if_possible
from ndabench.tasks.resuming import Stateful
from ndabench.tasks.weights_file import WeightsFile

Scope = Literal["clip", "batch"]


class DpcConfig(Config):
    """The defaults are the published ones: from 5 of 8 blocks to the other 3."""

    name: Literal["dpc"] = "dpc"
    num_blocks: int = Field(8, ge=2)
    """Equal parts that a clip is cut into."""
    num_predicted: int = Field(3, ge=1)
    """The last so many are predicted from those before."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """The ConvGRU's."""
    weights: WeightsFile | None = None
    """A state dict to start from, all parts of it: the `dpc.pt` of another trial."""
    nda_scope: Scope = "clip"
    """Whether a prediction sees the NDA keys of its own clip, or those of the whole batch."""
    nda_gradient: bool = True
    """Whether NDA keys are trained, as DPC's other columns are; else they cost a third of the time."""
    batch_norm_splits: int = Field(1, ge=1)
    """Parts of the global batch that are normalised apart; 1: the whole batch."""

    @model_validator(mode="after")
    def _sees_something(self) -> "DpcConfig":
        if self.num_predicted >= self.num_blocks:
            raise ValueError(
                f"num_predicted {self.num_predicted} of {self.num_blocks} blocks leaves none to predict from"
            )
        return self

    def check(self, batch_size: int) -> None:
        """`UserError` where a batch does not fall into the parts that are normalised apart."""
        if batch_size % self.batch_norm_splits:
            raise UserError(
                f"method: batch_norm_splits {self.batch_norm_splits} does not divide the batch_size of "
                f"{batch_size}"
            )


@dataclass(frozen=True)
class DpcInputs:
    """What a step looks at, this worker's share of it: float clips in [-1, 1]."""

    clips: Tensor
    """`[n, C, T, S, S]`: a view of each clip."""
    nda: Sequence[Tensor]
    """For every NDA key T of each block to be predicted, `[n, num_predicted, C, T / num_blocks, S, S]`."""


@dataclass(frozen=True)
class DpcViews:
    """How the inputs come about; all draws are made for the global batch, alike on every worker."""

    views: ClipViews
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
        shape = (clips.shape[1], clips.shape[2], clips.shape[3], clips.shape[4])
        draws = self.views.draw(len(clips), shape, generator=streams["views"])
        shard = self.workers.shard
        if self.negative is None and self.positive is None:
            own = {name: shard(drawn) for name, drawn in draws.items()}
            return DpcInputs(self.views.apply(shard(clips), own), [])
        view = self.views.apply(clips, draws)  # whole, because augmentations may mix clips
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
        """PNG files of uint8 clips above their views, and of what T sees above what it makes."""
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


def build_dpc(config: DpcConfig, encoder: nn.Module, generator: torch.Generator, workers: Workers) -> Dpc:
    """DPC over a `ResNet2d3d`, on the workers' device; `UserError` for weights that do not fit."""
    network = Dpc(
        encoder,  # type: ignore[arg-type]  # the configuration sees to it
        num_steps=config.num_predicted,
        dropout=config.dropout,
        workers=workers,
        generator=generator,
    )
    if config.weights is not None:
        config.weights.load_into(network, title="DPC over this encoder")
    return network.to(workers.device)


class DpcMethod:
    """The network in training; nothing outlasts a step."""

    def __init__(
        self,
        config: DpcConfig,
        network: Dpc,
        *,
        nda_weight: float,
        nda_scale: float,
        bf16: bool,
        dropout: torch.Generator,
        workers: Workers,
    ) -> None:
        """`nda_weight` is λ, `nda_scale` α; `dropout` is what the ConvGRU's dropout draws from."""
        self.config, self.network, self.workers = config, network, workers
        self.nda_weight, self.nda_scale, self.bf16, self.dropout = nda_weight, nda_scale, bf16, dropout
        self.encode: Callable[[Tensor], Tensor] = network.encoder

    def loss(self, inputs: DpcInputs) -> dict[str, Tensor]:
        """The dense InfoNCE of a step among the targets of all workers, and what describes it."""
        clips = inputs.clips
        with self._precision(clips):
            predictions, targets = self.network(
                blocks_of(clips, self.config.num_blocks), generator=self.dropout, encoder=self.encode
            )
            nda = self._nda(inputs.nda) if inputs.nda else None
        return dense_info_nce(
            predictions,
            self.workers.all_gather_with_gradient(targets),
            own=torch.arange(len(clips), device=clips.device) + self.workers.rank * len(clips),
            nda=nda,
        )

    def _nda(self, nda: Sequence[Tensor]) -> NdaTargets:
        """The NDA keys, each encoded with the moments of its own batch, which move none of the network's."""
        with torch.set_grad_enabled(self.config.nda_gradient), running_moments_kept(self.network):
            targets = torch.cat([encode_blocks(self.encode, blocks) for blocks in nda], 1)
            if self.config.nda_scope == "batch":
                targets = self.workers.all_gather_with_gradient(targets)
        return NdaTargets(targets, self.nda_weight, self.nda_scale, self.config.nda_scope)

    def compile(self, example: Tensor) -> str:
        """Compiles the encoder, for the blocks of clips such as `example`."""
        blocks = blocks_of(example, self.config.num_blocks).flatten(0, 1)
        with self._precision(example):
            self.encode, why_not = compiled_if_possible(self.network.encoder, blocks)
        return why_not

    def _precision(self, clips: Tensor) -> torch.autocast:
        return torch.autocast(clips.device.type, dtype=torch.bfloat16, enabled=self.bf16)

    def conclude(self, step: int) -> None:
        """Nothing outlasts a step."""

    def parts(self) -> Mapping[str, Stateful]:
        return {"network": self.network}
