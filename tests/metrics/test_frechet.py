import numpy as np
import pytest
import scipy.linalg
import torch
from torch import Tensor
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torchmetrics.image.fid import _compute_fid

from ndabench.errors import UserError
from ndabench.metrics.generators.frechet import (
    FrechetReference,
    Gaussian,
    Moments,
    frechet_distance,
    frechet_distance_of_features,
    moments_of,
    symmetric_root,
)


def features(num: int, dimension: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(dimension, dimension, generator=generator, dtype=torch.float64)
    return torch.randn(num, dimension, generator=generator, dtype=torch.float64) @ mixing + seed


def distance(reference: Tensor, samples: Tensor) -> float:
    return frechet_distance(
        FrechetReference.of(moments_of(reference).gaussian()), moments_of(samples).gaussian()
    )


def test_moments_are_mean_and_covariance() -> None:
    x = features(50, 7, 1)
    gaussian = moments_of(x).gaussian()
    np.testing.assert_allclose(gaussian.mean, x.numpy().mean(0), rtol=1e-12)
    np.testing.assert_allclose(gaussian.covariance, np.cov(x.numpy(), rowvar=False), rtol=1e-10)


@pytest.mark.parametrize("chunk_size", [1, 7, 50, 64])
def test_streamed_moments_equal_those_of_the_whole(chunk_size: int) -> None:
    x = features(50, 7, 1)
    streamed, whole = moments_of(x, chunk_size).gaussian(), moments_of(x, 50).gaussian()
    torch.testing.assert_close(streamed.mean, whole.mean, rtol=1e-12, atol=0)
    torch.testing.assert_close(streamed.covariance, whole.covariance, rtol=1e-11, atol=1e-12)


def test_root_squared_is_the_covariance() -> None:
    covariance = moments_of(features(60, 9, 2)).gaussian().covariance
    root = symmetric_root(covariance)
    torch.testing.assert_close(root @ root, covariance, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(root, root.T, rtol=1e-10, atol=1e-10)


def test_distance_agrees_with_scipy_torchmetrics_and_torch_fidelity() -> None:
    x, y = features(200, 12, 1), features(150, 12, 2)
    ours = distance(x, y)
    (mean_x, cov_x), (mean_y, cov_y) = ((z.numpy().mean(0), np.cov(z.numpy(), rowvar=False)) for z in (x, y))
    root = scipy.linalg.sqrtm(cov_x @ cov_y)
    by_scipy = ((mean_x - mean_y) ** 2).sum() + np.trace(cov_x + cov_y - 2 * root.real)
    by_torchmetrics = _compute_fid(*map(torch.from_numpy, (mean_x, cov_x, mean_y, cov_y))).item()
    by_fidelity = fid_statistics_to_metric(
        fid_features_to_statistics(x), fid_features_to_statistics(y), verbose=False
    )["frechet_inception_distance"]
    assert ours == pytest.approx(by_scipy, rel=1e-9)
    assert ours == pytest.approx(by_torchmetrics, rel=1e-9)
    assert ours == pytest.approx(by_fidelity, rel=1e-9)


def test_closed_form_for_diagonal_gaussians() -> None:
    generator = torch.Generator().manual_seed(0)
    mean_x, mean_y, sigma_x, sigma_y = torch.rand(4, 20, generator=generator, dtype=torch.float64)
    ours = frechet_distance(
        FrechetReference.of(Gaussian(mean_x, sigma_x.square().diag())),
        Gaussian(mean_y, sigma_y.square().diag()),
    )
    expected = (mean_x - mean_y).square().sum() + (sigma_x - sigma_y).square().sum()
    assert ours == pytest.approx(expected.item(), rel=1e-10)


def test_closed_form_for_commuting_covariances() -> None:
    """Tr((Σ₁Σ₂)^½) = Σ √(a_i b_i) where both have the same eigenvectors."""
    vectors, _ = torch.linalg.qr(features(15, 15, 3))
    a, b = torch.rand(2, 15, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    zero = torch.zeros(15, dtype=torch.float64)
    first, second = ((vectors * values) @ vectors.T for values in (a, b))
    ours = frechet_distance(FrechetReference.of(Gaussian(zero, first)), Gaussian(zero, second))
    assert ours == pytest.approx((a.sqrt() - b.sqrt()).square().sum().item(), rel=1e-9)


def test_fewer_samples_than_dimensions_give_the_same_by_either_route() -> None:
    x, y = features(100, 40, 1), features(25, 40, 2)
    reference = FrechetReference.of(moments_of(x).gaussian())
    by_values = frechet_distance(reference, moments_of(y).gaussian())
    assert frechet_distance_of_features(reference, y) == pytest.approx(by_values, rel=1e-7)
    few = FrechetReference.of(moments_of(x[:10]).gaussian())
    centred_x, centred_y = x[:10] - x[:10].mean(0), y - y.mean(0)
    root_trace = torch.linalg.svdvals(centred_x @ centred_y.T).sum() / (9 * 24) ** 0.5
    traces = x[:10].T.cov().trace() + y.T.cov().trace()
    expected = (x[:10].mean(0) - y.mean(0)).square().sum() + traces - 2 * root_trace
    assert frechet_distance_of_features(few, y) == pytest.approx(expected.item(), rel=1e-6)


def test_invariances() -> None:
    x, y = features(80, 6, 1), features(70, 6, 2)
    plain = distance(x, y)
    order = torch.randperm(70, generator=torch.Generator().manual_seed(0))
    rotation, _ = torch.linalg.qr(features(6, 6, 5))
    assert distance(x, y[order]) == pytest.approx(plain, rel=1e-10)
    assert distance(x + 10.0, y + 10.0) == pytest.approx(plain, rel=1e-9)
    assert distance(x @ rotation, y @ rotation) == pytest.approx(plain, rel=1e-9)
    assert distance(y, x) == pytest.approx(plain, rel=1e-9)
    assert distance(3.0 * x, 3.0 * y) == pytest.approx(9.0 * plain, rel=1e-9)


def test_a_set_is_at_no_distance_from_itself() -> None:
    x = features(80, 6, 1)
    assert distance(x, x) == pytest.approx(0.0, abs=1e-9)


def test_float32_features_are_summed_in_float64() -> None:
    x = (features(500, 4, 1) + 1_000.0).float()
    expected = np.cov(x.double().numpy(), rowvar=False)
    np.testing.assert_allclose(moments_of(x).gaussian().covariance, expected, rtol=1e-6)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_features_that_are_not_finite_are_refused(bad: float) -> None:
    x = features(10, 3, 1)
    x[4, 1] = bad
    with pytest.raises(UserError, match="needs finite features; among those of 10 images"):
        moments_of(x).gaussian()


@pytest.mark.parametrize("num", [0, 1])
def test_too_few_features_are_refused(num: int) -> None:
    moments = Moments(3, torch.device("cpu"))
    moments.update(features(num, 3, 1))
    with pytest.raises(UserError, match=f"at least 2 generated images, got {num}"):
        moments.gaussian("generated images")
