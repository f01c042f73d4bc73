"""A features module that tells motions, with everything in it that an evaluation could disturb."""

import torch
from torch import Tensor, nn

from ndabench.distributed import Workers
from ndabench.models.split_batch_norm import SplitBatchNorm3d


class ToyFeatures(nn.Module):
    """Two convolutions over space and time, batch norm, dropout, and a part that is in eval mode."""

    def __init__(self, dimension: int = 12, *, dropout: float = 0.1, workers: Workers | None = None) -> None:
        super().__init__()
        self.dimension, self.probability = dimension, dropout
        self.workers = workers or Workers()
        generator = torch.Generator().manual_seed(0)
        self.first = nn.utils.skip_init(nn.Conv3d, 3, 8, 5, stride=(1, 4, 4), padding=2, bias=False)
        self.second = nn.utils.skip_init(nn.Conv3d, 8, dimension, 3, stride=(2, 2, 2), padding=1, bias=False)
        for layer in (self.first, self.second):
            nn.init.kaiming_normal_(layer.weight, generator=generator)
        self.norms = nn.ModuleList(
            SplitBatchNorm3d(width, splits=splits, workers=workers)
            for width, splits in ((8, 2), (dimension, 2))
        )
        self.idle = nn.Identity()
        self.train()
        self.idle.eval()

    def forward(self, clips: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        maps = self.norms[0](self.first(clips)).relu()
        maps = self.norms[1](self.second(maps)).relu()
        features = self.idle(maps.mean((2, 3, 4)))
        if not self.training:
            return features
        shape = (len(features) * self.workers.world_size, self.dimension)
        kept = torch.rand(shape, generator=generator, device=features.device) >= self.probability
        return features * self.workers.shard(kept) / (1 - self.probability)
