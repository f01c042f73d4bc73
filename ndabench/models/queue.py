"""MoCo's queue: the keys of the last batches, as negatives for the next one (He et al., arXiv 1911.05722)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class KeyQueue(nn.Module):
    """`keys`, `[size, dim]` of length 1: random at first, then the newest `size` keys that were put in."""

    keys: Tensor

    def __init__(self, size: int, dim: int, *, generator: torch.Generator) -> None:
        super().__init__()
        self.register_buffer("keys", F.normalize(torch.randn(size, dim, generator=generator), dim=1))

    @torch.no_grad()
    def put(self, keys: Tensor, turn: int) -> None:
        """Replaces the oldest keys by `[N, dim]` new ones; N divides the size, `turn` counts puts from 0."""
        start = turn * len(keys) % len(self.keys)
        self.keys[start : start + len(keys)] = keys
