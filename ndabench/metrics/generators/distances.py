"""Distances between many feature vectors, block by block: two sets of 50,000 never meet at once.

A block is float32, of features centred on the second set's mean, so that little is lost where norms and
products cancel. Where a distance itself is a result (of a nearest neighbour), it is computed anew in float64.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

BLOCK_BYTES = 2**27
"""Bytes of one float32 block of distances."""


def squared_distances(x: Tensor, y: Tensor, *, same: bool = False) -> Iterator[tuple[slice, Tensor]]:
    """Rows of x `[m, d]`, and their ‖x − y‖² to all of y `[n, d]`: float32 `[rows, n]`.

    `same`: x and y are one set; each vector's distance to itself is then exactly 0.
    """
    centre = y.mean(0, dtype=torch.float64).to(y.dtype)
    y = (y - centre).float()
    y_squared = torch.linalg.vector_norm(y, dim=1, dtype=torch.float64).square().float()
    size = max(1, BLOCK_BYTES // (4 * len(y)))
    for start in range(0, len(x), size):
        block = (x[start : start + size] - centre.to(x.dtype)).float()
        x_squared = torch.linalg.vector_norm(block, dim=1, dtype=torch.float64).square().float()
        squared = torch.addmm(y_squared[None], block, y.T, alpha=-2).add_(x_squared[:, None]).clamp_min_(0)
        if same:
            squared.diagonal(start).zero_()
        yield slice(start, start + len(block)), squared


def nearest(x: Tensor, y: Tensor, k: int, *, same: bool = False) -> tuple[Tensor, Tensor]:
    """Distances, float64 `[m, k]` in rising order, and rows in y of the k nearest to each of x `[m, d]`.

    With `same` no vector is its own neighbour.
    """
    distances, neighbours = [], []
    for rows, squared in squared_distances(x, y, same=same):
        if same:
            squared.diagonal(rows.start).fill_(torch.inf)
        found = squared.topk(k, dim=1, largest=False).indices
        exact = torch.stack(
            [(x[rows].double() - y[column].double()).square_().sum(1).sqrt_() for column in found.T], 1
        )
        exact, order = exact.sort(1)
        distances.append(exact)
        neighbours.append(found.gather(1, order))
    return torch.cat(distances), torch.cat(neighbours)
