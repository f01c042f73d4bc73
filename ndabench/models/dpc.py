"""Dense predictive coding (DPC; Han et al., arXiv 1909.04656): from the first blocks of a clip to its next.

A clip is a row of blocks of a few frames each. Every block is encoded to a map of features; a ConvGRU sums up
the maps of the first blocks, and from its state the next block's map is predicted, which is fed back to
predict the one after it. `losses/dense_info_nce.py` compares the predictions with the maps of what came.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ndabench.distributed import Workers
from ndabench.errors import UserError
from ndabench.models.conv_gru import ConvGru, orthogonal_convolution
from ndabench.models.resnet2d3d import ResNet2d3d


class Dpc(nn.Module):
    """An encoder, a ConvGRU that aggregates blocks, and a predictor; all maps have the encoder's `dimension`
    D of channels."""

    def __init__(
        self,
        encoder: ResNet2d3d,
        *,
        num_steps: int = 3,
        dropout: float = 0.1,
        workers: Workers | None = None,
        generator: torch.Generator,
    ) -> None:
        """`num_steps` is the number of blocks to predict, `dropout` the ConvGRU's."""
        super().__init__()
        channels = encoder.dimension
        self.num_steps = num_steps
        self.encoder = encoder
        self.gru = ConvGru(channels, channels, dropout=dropout, workers=workers, generator=generator)
        self.predictor = nn.Sequential(
            orthogonal_convolution(channels, channels, 1, generator=generator),
            nn.ReLU(inplace=True),
            orthogonal_convolution(channels, channels, 1, generator=generator),
        )

    def forward(
        self,
        blocks: Tensor,
        *,
        generator: torch.Generator | None = None,
        encoder: Callable[[Tensor], Tensor] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Predictions and targets, both `[N, num_steps, D, h, w]` float32, for blocks `[N, B, C, T, H, W]`.

        The last `num_steps` blocks are to be predicted. `generator` is for dropout in training, `encoder`
        what to call in the encoder's place (a compiled one).
        """
        num_blocks = blocks.shape[1]
        if num_blocks <= self.num_steps:
            raise UserError(
                f"clips of {num_blocks} blocks leave nothing to predict the last {self.num_steps} from; "
                f"take at least {self.num_steps + 1} blocks, or fewer predicted steps"
            )
        maps = encode_blocks(self.encoder if encoder is None else encoder, blocks)
        seen, targets = maps.split([num_blocks - self.num_steps, self.num_steps], 1)
        return self.predict(seen, generator=generator), targets

    def predict(self, maps: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """The maps of the next blocks, `[N, B, D, h, w] -> [N, num_steps, D, h, w]` float32."""
        state = summed_up(self.gru, maps, generator=generator)
        predictions = [self.predictor(state)]
        while len(predictions) < self.num_steps:
            state = self.gru.step(F.relu(predictions[-1]), state, generator=generator)
            predictions.append(self.predictor(state))
        stacked = torch.stack(predictions, 1)
        return stacked.to(_exact(stacked))


class DpcFeatures(nn.Module):
    """The features that evaluations of DPC use, as published: its encoder and ConvGRU over *all* blocks of a
    clip, averaged over space. Here the ReLU comes before the mean over a block's time, in pre-training after
    it."""

    def __init__(self, dpc: Dpc, num_blocks: int) -> None:
        """Shares its weights with `dpc`."""
        super().__init__()
        self.encoder, self.gru = dpc.encoder, dpc.gru
        self.num_blocks, self.dimension = num_blocks, dpc.gru.channels

    def forward(self, clips: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """`[N, C, T, H, W] -> [N, dimension]` float32; `generator` is for dropout in training."""
        maps = encode_blocks(lambda blocks: F.relu(self.encoder(blocks)), blocks_of(clips, self.num_blocks))
        return summed_up(self.gru, maps, generator=generator).mean((2, 3), dtype=torch.float32)


def encode_blocks(encoder: Callable[[Tensor], Tensor], blocks: Tensor) -> Tensor:
    """The map of each block by itself, `[N, B, C, T, H, W] -> [N, B, D, h, w]` float32, averaged over time.

    There is no ReLU on them yet: these are what predictions are compared with.
    """
    maps = encoder(blocks.flatten(0, 1))
    return maps.mean(2, dtype=_exact(maps)).unflatten(0, blocks.shape[:2])


def summed_up(gru: ConvGru, maps: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
    """The summary of all blocks, `[N, B, D, h, w] -> [N, D, h, w]`: the ConvGRU's last state."""
    return gru(F.relu(maps), generator=generator)[:, -1]


def blocks_of(clips: Tensor, num_blocks: int) -> Tensor:
    """Clips `[N, C, T, H, W]` cut into equal blocks, `[N, num_blocks, C, T / num_blocks, H, W]`."""
    frames = clips.shape[2]
    if frames % num_blocks:
        raise UserError(f"clips of {frames} frames cannot be cut into {num_blocks} equal blocks")
    return clips.unflatten(2, (num_blocks, frames // num_blocks)).transpose(1, 2)


def _exact(tensor: Tensor) -> torch.dtype:
    """Converts to float32 what autocast made less precise."""
    return torch.promote_types(tensor.dtype, torch.float32)
