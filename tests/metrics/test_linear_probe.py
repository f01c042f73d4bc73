import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from ndabench.config import parse
from ndabench.distributed import Workers
from ndabench.errors import UserError
from ndabench.metrics.features import Examples
from ndabench.metrics.image_encoders.config import LinearProbeLbfgsConfig
from ndabench.metrics.image_encoders.linear_probe_lbfgs import (
    accuracies,
    allowed_gradient,
    fit_logistic,
    standardisation,
)


def correlated_examples(n: int, seed: int) -> Examples:
    """Overlapping classes; ReLU features of very different sizes, one of them dead."""
    fixed = torch.Generator().manual_seed(0)
    centres, mix = torch.randn(5, 24, generator=fixed), torch.randn(24, 24, generator=fixed)
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(5, (n,), generator=generator)
    features = (0.35 * centres[labels] + torch.randn(n, 24, generator=generator)) @ mix
    features = (features.relu() + 0.1) * torch.logspace(-2, 2, 24)
    features[:, 3] = 0.7
    return Examples(features, labels)


@pytest.fixture(scope="module")
def fitted() -> Examples:
    return correlated_examples(3000, 1)


@pytest.fixture(scope="module")
def scored() -> Examples:
    return correlated_examples(2000, 2)


@pytest.mark.parametrize("penalty", [1e-4, 1e-2, 1.0])
def test_accuracy_is_that_of_scikit_learn(fitted: Examples, scored: Examples, penalty: float) -> None:
    scaler = StandardScaler().fit(fitted.features.numpy())
    theirs = LogisticRegression(C=1 / (penalty * len(fitted.labels)), max_iter=1000)
    theirs.fit(scaler.transform(fitted.features.numpy()), fitted.labels.numpy())
    expected = 100 * theirs.score(scaler.transform(scored.features.numpy()), scored.labels.numpy())
    [found], _, _ = accuracies(
        [penalty], fitted, scored, num_classes=5, max_iterations=1000, workers=Workers()
    )
    assert 30 < expected < 90
    assert abs(found - expected) <= 0.1


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("penalty", [1e-5, 1e-4])
def test_weak_penalties_reach_the_accuracy_of_the_converged_minimiser(penalty: float, seed: int) -> None:
    """On scikit-learn's own digits: 900 to learn from, 897 to score. One more error would be 0.11 points."""
    images, labels = load_digits(return_X_y=True)
    train, test, train_labels, test_labels = train_test_split(
        images.astype(np.float32), labels, train_size=900, random_state=seed
    )
    mean, deviation = train.mean(0, dtype=np.float64), train.std(0, dtype=np.float64)
    deviation[deviation == 0] = 1
    theirs = LogisticRegression(C=1 / (penalty * len(train)), tol=1e-9, max_iter=100_000)
    theirs.fit((train - mean) / deviation, train_labels)
    expected = 100 * theirs.score((test - mean) / deviation, test_labels)
    [found], [gradient], _ = accuracies(
        [penalty],
        Examples(torch.from_numpy(train), torch.from_numpy(train_labels)),
        Examples(torch.from_numpy(test), torch.from_numpy(test_labels)),
        num_classes=10,
        max_iterations=10_000,
        workers=Workers(),
    )
    assert abs(found - expected) <= 0.01
    assert gradient <= allowed_gradient(penalty)


def test_the_fit_is_a_minimum_of_the_loss_as_written(fitted: Examples) -> None:
    penalty = 1e-3
    classifier = fit_logistic(fitted, num_classes=5, penalty=penalty)
    inputs = ((fitted.features - classifier.mean) / classifier.scale).double()

    def loss(parameters: Tensor) -> Tensor:
        weight, bias = parameters[:, :-1], parameters[:, -1]
        log_p = (inputs @ weight.T + bias).log_softmax(1)
        return -log_p[torch.arange(len(inputs)), fitted.labels].mean() + penalty / 2 * weight.square().sum()

    parameters = torch.cat([classifier.weight, classifier.bias[:, None]], 1).double().requires_grad_()
    [gradient] = torch.autograd.grad(loss(parameters), parameters)
    # W and b are rounded to float32 at the end, which moves the gradient a little.
    assert gradient.abs().max() < 3e-6
    assert classifier.largest_gradient <= 1e-6


def test_scale_and_offset_of_features_do_not_matter(fitted: Examples, scored: Examples) -> None:
    classifier = fit_logistic(fitted, num_classes=5, penalty=1e-3)
    scale, offset = torch.logspace(-1, 1, 24), torch.linspace(-1, 1, 24)
    moved = fit_logistic(
        Examples(fitted.features * scale + offset, fitted.labels), num_classes=5, penalty=1e-3
    )
    same = classifier.predict(scored.features) == moved.predict(scored.features * scale + offset)
    assert same.float().mean() > 0.998


def test_constant_features_are_left_alone() -> None:
    features = torch.randn(100, 3, generator=torch.Generator().manual_seed(0))
    features[:, 1], features[:, 2] = 0.0, 1234.567
    mean, scale = standardisation(features)
    assert scale[1:].tolist() == [1.0, 1.0]
    standardised = (features - mean) / scale
    np.testing.assert_allclose(standardised[:, 0].std(correction=0), 1, rtol=1e-5)
    assert standardised[:, 1:].abs().max() < 1e-3


def test_workers_share_the_penalties(fitted: Examples, scored: Examples) -> None:
    """Each fills in its own; what is summed over two is what one finds."""
    settings = {"num_classes": 5, "max_iterations": 50}
    alone = accuracies([1e-3, 1e-1, 10.0], fitted, scored, workers=Workers(), **settings)

    class Unsummed(Workers):
        def all_reduce_sum(self, tensor: Tensor) -> Tensor:
            return tensor

    parts = [
        accuracies([1e-3, 1e-1, 10.0], fitted, scored, workers=Unsummed(rank, 2), **settings)
        for rank in range(2)
    ]
    for which, whole in enumerate(alone[:2]):  # the accuracies, then the largest gradients
        assert [part[which] for part in parts] == [[whole[0], 0.0, whole[2]], [0.0, whole[1], 0.0]]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"penalties": []}, "penalties: must not be empty"),
        ({"penalties": [0.1, 0.0]}, "penalties.1: input should be greater than"),
        ({"penalty": [0.1]}, "did you mean 'penalties'"),
    ],
)
def test_impossible_settings_are_refused(keys: dict, message: str) -> None:
    with pytest.raises(UserError) as error:
        parse(LinearProbeLbfgsConfig, keys, "evaluate")
    assert message in str(error.value)
