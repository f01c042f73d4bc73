"""Dense InfoNCE against its definition, prediction by prediction in a loop."""

import math
from itertools import product
from typing import Literal, get_args

import pytest
import torch
from torch import Tensor

from ndabench.losses.dense_info_nce import NdaTargets, dense_info_nce

P, D, H, W = 2, 5, 2, 3
PLACES = list(product(range(P), range(H), range(W)))
Scope = Literal["clip", "batch"]


def maps(n: int, steps: int = P, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, steps, D, H, W, generator=generator).double()


def dot(one: Tensor, other: Tensor) -> float:
    return sum(a * b for a, b in zip(one.tolist(), other.tolist(), strict=True))


def by_definition(predictions: Tensor, candidates: Tensor, own: list[int], nda: NdaTargets | None) -> float:
    losses = []
    for n, (p, y, x) in product(range(len(predictions)), PLACES):
        vector = predictions[n, p, :, y, x]
        among = sum(
            math.exp(dot(vector, candidates[m, q, :, v, u]))
            for m, (q, v, u) in product(range(len(candidates)), PLACES)
        )
        if nda is not None:
            clips = [n] if nda.scope == "clip" else range(len(nda.targets))
            places = product(clips, range(nda.targets.shape[1]), range(H), range(W))
            among += nda.weight * sum(
                math.exp(nda.scale * dot(vector, nda.targets[m, q, :, v, u])) for m, q, v, u in places
            )
        losses.append(math.log(among) - dot(vector, candidates[own[n], p, :, y, x]))
    return sum(losses) / len(losses)


@pytest.mark.parametrize("own", [[0, 1, 2], [3, 0, 2]])
@pytest.mark.parametrize("scope", [None, "clip", "batch"])
@pytest.mark.parametrize(("weight", "scale"), [(1.0, 1.0), (0.3, 2.0), (4.0, 0.5)])
def test_is_its_definition(own: list[int], scope: Scope | None, weight: float, scale: float) -> None:
    predictions, candidates = maps(3), maps(4, seed=1)
    nda = None
    if scope is not None:
        negatives = maps(3 if scope == "clip" else 4, steps=3, seed=2)
        nda = NdaTargets(negatives, weight, scale, scope)
    found = dense_info_nce(predictions, candidates, own=torch.tensor(own), nda=nda)
    assert found["loss"].item() == pytest.approx(by_definition(predictions, candidates, own, nda), rel=1e-12)


@pytest.mark.parametrize("scope", ["clip", "batch"])
def test_a_vanishing_weight_gives_the_plain_loss_and_gradient_exactly(scope: Scope) -> None:
    results = []
    for nda in (None, NdaTargets(maps(3, seed=2).float(), 1e-30, 1.0, scope)):
        predictions, candidates = maps(3).float().requires_grad_(), maps(3, seed=1).float().requires_grad_()
        loss = dense_info_nce(predictions, candidates, own=torch.arange(3), nda=nda)["loss"]
        loss.backward()
        results.append((loss.detach(), predictions.grad, candidates.grad))
    assert all(torch.equal(plain, vanishing) for plain, vanishing in zip(*results, strict=True))


def test_of_part_of_the_clips_it_is_the_mean_of_theirs() -> None:
    predictions, targets, negatives = maps(4), maps(4, seed=1), maps(4, seed=2)
    clips = torch.arange(4)

    def loss(rows: Tensor, scope: Scope) -> Tensor:
        nda = NdaTargets(negatives[rows] if scope == "clip" else negatives, 0.5, 1.0, scope)
        return dense_info_nce(predictions[rows], targets, own=rows, nda=nda)["loss"]

    for scope in get_args(Scope):
        halves = torch.stack([loss(rows, scope) for rows in clips.chunk(2)])
        torch.testing.assert_close(halves.mean(), loss(clips, scope))


def test_the_order_of_clips_does_not_matter() -> None:
    predictions, targets, negatives = maps(4), maps(4, seed=1), maps(4, seed=2)
    clips, turned = torch.arange(4), torch.tensor([2, 0, 3, 1])
    nda, turned_nda = (NdaTargets(negatives[rows], 0.5) for rows in (clips, turned))
    torch.testing.assert_close(
        dense_info_nce(predictions, targets, own=clips, nda=nda),
        dense_info_nce(predictions[turned], targets[turned], own=clips, nda=turned_nda),
    )


def test_temporal_spatial_and_easy_negatives_are_all_in() -> None:
    """The gradient of one prediction's loss reaches every target."""
    predictions, targets = maps(2), maps(2, seed=1).requires_grad_()
    dense_info_nce(predictions[:1], targets, own=torch.tensor([0]))["loss"].backward()
    assert targets.grad is not None
    assert (targets.grad.abs().sum(2) > 0).all()


def test_gradients_flow_through_negatives_unless_they_are_detached() -> None:
    negatives = maps(2, seed=2).requires_grad_()
    for targets in (negatives, negatives.detach()):
        predictions = maps(2).requires_grad_()
        loss = dense_info_nce(predictions, maps(2, seed=1), own=torch.arange(2), nda=NdaTargets(targets, 1.0))
        loss["loss"].backward()
    assert negatives.grad is not None
    assert negatives.grad.any()


def test_what_describes_the_loss() -> None:
    targets = torch.eye(2 * len(PLACES)).view(2, P, H, W, -1).movedim(-1, 2)
    own = torch.arange(2)
    parts = dense_info_nce(targets, targets, own=own, nda=NdaTargets(-targets, 0.5))
    assert parts["contrast_accuracy"] == 1
    assert parts["similarity_positive"] == 1
    assert parts["similarity_nda"] < 0
    assert not any(value.requires_grad for value in parts.values())
    crossed = dense_info_nce(targets, targets, own=own.flip(0))
    assert crossed["contrast_accuracy"] == 0
    assert "similarity_nda" not in crossed
