import numpy as np
import pytest
import torch
from torch import Generator, Tensor
from torch_fidelity.metric_isc import isc_features_to_metric
from torch_fidelity.metric_kid import kid_features_to_metric
from torchmetrics.image.inception import InceptionScore
from torchmetrics.image.kid import poly_mmd

from ndabench.metrics.generators.inception_score import inception_score
from ndabench.metrics.generators.kid import kernel_distance, unbiased_mmd2


def normal(num: int, dimension: int, seed: int, scale: float = 1.0) -> Tensor:
    generator = Generator().manual_seed(seed)
    return scale * torch.randn(num, dimension, generator=generator, dtype=torch.float64)


def seeded() -> Generator:
    return Generator().manual_seed(0)


def test_mmd2_agrees_with_a_loop() -> None:
    x, y = normal(6, 3, 1).numpy(), normal(9, 3, 2).numpy() + 0.5

    def kernel(a: np.ndarray, b: np.ndarray) -> float:
        return (float(a @ b) / 3 + 1) ** 3

    within_x = np.mean([kernel(x[i], x[j]) for i in range(6) for j in range(6) if i != j])
    within_y = np.mean([kernel(y[i], y[j]) for i in range(9) for j in range(9) if i != j])
    between = np.mean([kernel(a, b) for a in x for b in y])
    ours = unbiased_mmd2(torch.from_numpy(x), torch.from_numpy(y)).item()
    assert ours == pytest.approx(within_x + within_y - 2 * between, rel=1e-12)


def test_whole_subsets_agree_with_torchmetrics_and_torch_fidelity() -> None:
    """With subsets as large as the sets, random subsets of either library are the sets themselves."""
    x, y = normal(40, 8, 1), normal(40, 8, 2) + 0.3
    ours, spread = kernel_distance(x, y, num_subsets=2, subset_size=40, generator=seeded())
    by_fidelity = kid_features_to_metric(x, y, kid_subsets=2, kid_subset_size=40, verbose=False)
    assert ours == pytest.approx(poly_mmd(x, y).item(), rel=1e-10)
    assert ours == pytest.approx(by_fidelity["kernel_inception_distance_mean"], rel=1e-10)
    assert spread == pytest.approx(0.0, abs=1e-12)


def test_kernel_distance_is_unbiased_and_seeded() -> None:
    x, y, other = normal(400, 5, 1), normal(300, 5, 2), normal(300, 5, 3) + 1.0
    settings = {"num_subsets": 50, "subset_size": 100}
    same, spread = kernel_distance(x, y, generator=seeded(), **settings)
    assert abs(same) < 3 * spread
    assert kernel_distance(x, other, generator=seeded(), **settings)[0] > 10 * spread
    assert kernel_distance(x, y, generator=seeded(), **settings)[0] == same


@pytest.mark.parametrize("num_splits", [1, 5])
def test_score_agrees_with_torch_fidelity(num_splits: int) -> None:
    logits = normal(100, 7, 1, scale=2.0)
    in_our_order = logits[torch.randperm(100, generator=seeded())]
    theirs = isc_features_to_metric(in_our_order, splits=num_splits, shuffle=False)
    expected = theirs["inception_score_mean"], theirs["inception_score_std"]
    assert inception_score(logits, num_splits=num_splits, generator=seeded()) == pytest.approx(expected)


def test_score_agrees_with_torchmetrics() -> None:
    logits = normal(50, 7, 1, scale=2.0)
    with pytest.warns(UserWarning, match="will save all extracted features"):
        metric = InceptionScore(feature=torch.nn.Identity(), splits=1)
    metric.update(logits)
    with pytest.warns(UserWarning, match="degrees of freedom"):
        expected, _ = metric.compute()
    assert inception_score(logits, num_splits=1, generator=seeded())[0] == pytest.approx(expected.item())


def test_score_runs_from_one_to_the_number_of_classes() -> None:
    sure = 1e3 * torch.eye(4).repeat(10, 1)
    assert inception_score(sure, num_splits=1, generator=seeded())[0] == pytest.approx(4.0)
    assert inception_score(sure[:1].repeat(20, 1), num_splits=4, generator=seeded())[0] == pytest.approx(1.0)
    assert inception_score(torch.zeros(20, 4), num_splits=2, generator=seeded())[0] == pytest.approx(1.0)
