"""The contrastive losses against loops written from their definitions."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from ndabench.losses.contrastive import NdaKeys, info_nce, nt_xent

TEMPERATURE = 0.2


def sphere(*shape: int, seed: int = 0) -> Tensor:
    return normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).double(), dim=-1)


def share(positive: float, negatives: list[float], nda: list[float], weight: float, scale: float) -> float:
    """−log of the positive's share, from plain similarities."""
    exponential = math.exp(positive / TEMPERATURE)
    others = sum(math.exp(value / TEMPERATURE) for value in negatives)
    extra = weight * sum(math.exp(scale * value / TEMPERATURE) for value in nda)
    return -math.log(exponential / (exponential + others + extra))


def dot(a: Tensor, b: Tensor) -> float:
    return sum(x * y for x, y in zip(a.tolist(), b.tolist(), strict=True))


@pytest.mark.parametrize("num_keys", [1, 3])
@pytest.mark.parametrize(("weight", "scale"), [(1.0, 1.0), (0.3, 2.0), (4.0, 0.5)])
def test_info_nce_with_nda_keys_is_its_definition(num_keys: int, weight: float, scale: float) -> None:
    queries, keys, queue = sphere(5, 8), sphere(5, 8, seed=1), sphere(7, 8, seed=2)
    nda = sphere(5, num_keys, 8, seed=3)
    found = info_nce(queries, keys, queue, temperature=TEMPERATURE, nda=NdaKeys(nda, weight, scale))
    losses = [
        share(
            dot(queries[i], keys[i]),
            [dot(queries[i], row) for row in queue],
            [dot(queries[i], row) for row in nda[i]],
            weight,
            scale,
        )
        for i in range(5)
    ]
    assert found["loss"].item() == pytest.approx(sum(losses) / 5, rel=1e-12)


@pytest.mark.parametrize("weight", [None, 0.7])
def test_nt_xent_is_its_definition(weight: float | None) -> None:
    first, second, nda = sphere(4, 6), sphere(4, 6, seed=1), sphere(8, 2, 6, seed=2)
    both = torch.cat([first, second])
    own = torch.arange(8)
    keys = None if weight is None else NdaKeys(nda, weight, 2.0)
    found = nt_xent(both, both, own=own, partner=(own + 4) % 8, temperature=TEMPERATURE, nda=keys)
    losses = []
    for i in range(8):
        partner = (i + 4) % 8
        negatives = [dot(both[i], both[j]) for j in range(8) if j not in (i, partner)]
        extra = [dot(both[i], row) for row in nda[i]] if weight is not None else []
        losses.append(share(dot(both[i], both[partner]), negatives, extra, weight or 0.0, 2.0))
    assert found["loss"].item() == pytest.approx(sum(losses) / 8, rel=1e-12)


def test_of_part_of_the_queries_nt_xent_is_the_mean_of_theirs() -> None:
    both = sphere(6, 5)
    own = torch.arange(6)
    partner = (own + 3) % 6
    losses = [
        nt_xent(both[i : i + 1], both, own=own[i : i + 1], partner=partner[i : i + 1], temperature=0.5)[
            "loss"
        ]
        for i in range(6)
    ]
    whole = nt_xent(both, both, own=own, partner=partner, temperature=0.5)["loss"]
    torch.testing.assert_close(torch.stack(losses).mean(), whole)


def test_a_vanishing_weight_gives_the_plain_loss_exactly() -> None:
    queries, keys, queue = (tensor.float() for tensor in (sphere(5, 8), sphere(5, 8, seed=1), sphere(9, 8)))
    plain = info_nce(queries, keys, queue, temperature=0.1)["loss"]
    nda = NdaKeys(sphere(5, 2, 8, seed=3).float(), 1e-30, 1.0)
    assert torch.equal(info_nce(queries, keys, queue, temperature=0.1, nda=nda)["loss"], plain)


def test_more_weight_on_nda_keys_pushes_queries_away_from_them_more_strongly() -> None:
    queries, keys, queue, nda = (
        sphere(4, 8),
        sphere(4, 8, seed=1),
        sphere(8, 8, seed=2),
        sphere(4, 1, 8, seed=3),
    )
    pushes = []
    for weight in (0.1, 1.0, 10.0):
        moving = queries.clone().requires_grad_()
        info_nce(moving, keys, queue, temperature=0.5, nda=NdaKeys(nda, weight))["loss"].backward()
        assert moving.grad is not None
        pushes.append((moving.grad * nda[:, 0]).sum().item())
    assert pushes[0] < pushes[1] < pushes[2]


def test_what_describes_the_loss() -> None:
    queries = torch.eye(3)
    nda = NdaKeys(torch.stack([queries, -queries], 1), 1.0)
    parts = info_nce(queries, queries, -queries, temperature=0.1, nda=nda)
    assert parts["contrast_accuracy"] == 1
    assert parts["similarity_positive"] == pytest.approx(1)
    assert parts["similarity_nda"] == 0
    assert not any(value.requires_grad for name, value in parts.items() if name != "loss")
    turned = info_nce(queries, -queries, queries, temperature=0.1)
    assert turned["contrast_accuracy"] == 0
    assert "similarity_nda" not in turned
