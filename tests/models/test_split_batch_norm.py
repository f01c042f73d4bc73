"""Normalisation by parts of the batch against PyTorch's batch norm on each part."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from ndabench.distributed import Workers
from ndabench.errors import UserError
from ndabench.models.split_batch_norm import (
    SplitBatchNorm,
    SplitBatchNorm3d,
    keep_running_moments,
    running_moments_kept,
)


def batch(seed: int = 0, count: int = 8) -> Tensor:
    """Images whose moments differ from part to part."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(count, 5, 3, 4, generator=generator)
    return 1 + noise * torch.linspace(0.5, 3, count)[:, None, None, None]


def with_learned_weights(norm: nn.BatchNorm2d | nn.BatchNorm3d) -> nn.BatchNorm2d | nn.BatchNorm3d:
    with torch.no_grad():
        norm.weight.copy_(torch.linspace(0.5, 2, 5))
        norm.bias.copy_(torch.linspace(-1, 1, 5))
    return norm


def split_norm(splits: int) -> SplitBatchNorm:
    norm = SplitBatchNorm(5, splits=splits)
    with_learned_weights(norm)
    return norm


@pytest.fixture(params=[torch.contiguous_format, torch.channels_last], ids=["contiguous", "channels_last"])
def memory_format(request: pytest.FixtureRequest) -> Iterator[torch.memory_format]:
    return request.param


@pytest.mark.parametrize("splits", [1, 2, 4])
def test_is_a_batch_norm_for_each_part(splits: int, memory_format: torch.memory_format) -> None:
    ours = split_norm(splits).double()
    theirs = [with_learned_weights(nn.BatchNorm2d(5).double()) for _ in range(splits)]
    for seed in range(3):
        images = batch(seed).double()
        mine = images.clone(memory_format=memory_format).requires_grad_()
        parts = [part.clone().requires_grad_() for part in images.chunk(splits)]
        output = ours(mine)
        expected = torch.cat([norm(part) for norm, part in zip(theirs, parts, strict=True)])
        torch.testing.assert_close(output, expected)
        assert output.is_contiguous(memory_format=memory_format)
        output.pow(3).sum().backward()
        expected.pow(3).sum().backward()
        gradients = [part.grad for part in parts if part.grad is not None]
        torch.testing.assert_close(mine.grad, torch.cat(gradients))
    torch.testing.assert_close(ours.weight.grad, sum(norm.weight.grad for norm in theirs))
    torch.testing.assert_close(ours.bias.grad, sum(norm.bias.grad for norm in theirs))
    for name in ("running_mean", "running_var"):
        mean = torch.stack([getattr(norm, name) for norm in theirs]).mean(0)
        torch.testing.assert_close(getattr(ours, name), mean)
    assert ours.num_batches_tracked == 3


@pytest.mark.parametrize("splits", [1, 4])
def test_clips_are_normalised_as_images_that_hold_all_their_frames(splits: int) -> None:
    flat, deep = split_norm(splits), SplitBatchNorm3d(5, splits=splits)
    with_learned_weights(deep)
    clips = batch().unflatten(2, (3, 1))
    torch.testing.assert_close(deep(clips).flatten(2, 3), flat(batch()))
    for one, other in zip(deep.buffers(), flat.buffers(), strict=True):
        torch.testing.assert_close(one, other)
    assert isinstance(deep, nn.BatchNorm3d)
    with running_moments_kept(deep):
        deep(clips)
    assert _moments_equal(deep, flat)
    with pytest.raises(ValueError, match="expected 5D input"):
        deep.eval()(batch())


@pytest.mark.parametrize("splits", [1, 4])
def test_evaluation_and_state_are_those_of_torch(splits: int) -> None:
    ours, theirs = split_norm(splits), nn.BatchNorm2d(5)
    ours(batch())
    theirs.load_state_dict(ours.state_dict())
    before = {name: tensor.clone() for name, tensor in ours.state_dict().items()}
    assert torch.equal(ours.eval()(batch(1, count=3)), theirs.eval()(batch(1, count=3)))
    assert all(torch.equal(tensor, before[name]) for name, tensor in ours.state_dict().items())


@pytest.mark.parametrize("splits", [1, 4])
def test_running_moments_can_be_left_alone(splits: int) -> None:
    still, moving, fresh = split_norm(splits), split_norm(splits), split_norm(splits)
    keep_running_moments(nn.Sequential(still))
    with running_moments_kept(nn.Sequential(still, moving)):
        assert torch.equal(still(batch()), moving(batch()))
    assert _moments_equal(moving, fresh)
    assert torch.equal(still(batch()), moving(batch()))
    assert _moments_equal(still, fresh)
    assert not _moments_equal(moving, fresh)


def _moments_equal(one: nn.Module, other: nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.buffers(), other.buffers(), strict=True))


def test_a_batch_that_does_not_fall_into_equal_parts_is_refused() -> None:
    with pytest.raises(UserError, match=r"batch of 6 images .* 4 equal .* a multiple of 4"):
        split_norm(4)(batch(count=6))
    with pytest.raises(UserError, match="fewer splits or larger batches"):
        split_norm(8)(batch()[:, :, :1, :1])


def test_splits_that_the_workers_cannot_share_are_refused() -> None:
    with pytest.raises(UserError, match=r"3 batch-norm splits .* by 2 workers"):
        SplitBatchNorm(5, splits=3, workers=Workers(world_size=2))
    with pytest.raises(UserError, match="0 batch-norm splits"):
        SplitBatchNorm(5, splits=0)
