"""Batch normalisation against PyTorch's, and its two ways of sampling."""

import torch
from torch import nn

from ndabench.distributed import Workers
from ndabench.models.batch_norm import BatchNorm, ClassBatchNorm

ALONE = Workers()


def _images(seed: int = 0) -> torch.Tensor:
    return 3 * torch.randn(4, 5, 6, 6, generator=torch.Generator().manual_seed(seed)) + 1


def _class_norm(num_classes: int) -> ClassBatchNorm:
    return ClassBatchNorm(5, num_classes, workers=ALONE, generator=torch.Generator().manual_seed(0))


def test_agrees_with_torch() -> None:
    ours, theirs = BatchNorm(5, workers=ALONE), nn.BatchNorm2d(5)
    for seed in range(3):
        torch.testing.assert_close(ours(_images(seed), True), theirs(_images(seed)))
    torch.testing.assert_close(ours.moments.variance, theirs.running_var)
    torch.testing.assert_close(ours.moments.mean, theirs.running_mean)
    torch.testing.assert_close(ours.eval()(_images(9), False), theirs.eval()(_images(9)))


def test_batch_statistics_in_evaluation_leave_the_running_ones_alone() -> None:
    norm = BatchNorm(5, workers=ALONE).eval()
    before = {name: tensor.clone() for name, tensor in norm.state_dict().items()}
    output = norm(_images(), True)
    torch.testing.assert_close(output.mean((0, 2, 3)), torch.zeros(5), atol=1e-5, rtol=0)
    assert all(torch.equal(tensor, before[name]) for name, tensor in norm.state_dict().items())


def test_every_class_has_its_gain_and_bias() -> None:
    norm, labels = _class_norm(3), torch.tensor([2, 0, 1, 2])
    output = norm(_images(), labels, True)
    normalised = nn.BatchNorm2d(5, affine=False)(_images())
    for index, label in enumerate(labels.tolist()):
        gain, bias = 1 + norm.gain[label], norm.bias[label]
        expected = normalised[index] * gain[:, None, None] + bias[:, None, None]
        torch.testing.assert_close(output[index], expected)


def test_one_class_is_what_many_equal_classes_are() -> None:
    one, many = _class_norm(1), _class_norm(3)
    with torch.no_grad():
        many.gain.copy_(one.gain.expand(3, -1))
        many.bias.copy_(one.bias.expand(3, -1))
    labels = torch.tensor([0, 2, 1, 1])
    torch.testing.assert_close(one(_images(), 0 * labels, True), many(_images(), labels, True))
