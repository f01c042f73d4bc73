from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ndabench.config import parse
from ndabench.data.images import ImageData
from ndabench.distributed import Workers
from ndabench.errors import UserError
from ndabench.metrics.features import backbone_features
from ndabench.metrics.image_encoders.config import LinearProbeSgdConfig
from ndabench.metrics.image_encoders.linear_probe_sgd import (
    LinearLayer,
    LinearProbeTraining,
    _initialised,
    _own_views,
)
from ndabench.metrics.image_encoders.subject import ImageEncoderSubject
from tests.metrics.measuring import evaluate_all
from tests.metrics.striped import striped_data
from tests.metrics.toy_encoder import ToyEncoder, assert_untouched, snapshot


class Watched(ToyEncoder):
    """Keeps what it is shown and whether it was in eval mode."""

    def __init__(self) -> None:
        super().__init__()
        self.shown: list[Tensor] = []
        self.modes: set[bool] = set()

    def forward(self, images: Tensor) -> Tensor:
        self.shown.append(images.clone())
        self.modes.add(self.norm.training)
        return super().forward(images)


@pytest.fixture(scope="module")
def data() -> ImageData:
    return striped_data()


def train(encoder: ToyEncoder, data: ImageData, *, seed: int = 0, **keys: Any) -> LinearLayer:
    training = LinearProbeTraining(
        LinearProbeSgdConfig(**keys), encoder, data.train, num_classes=3, seed=seed, workers=Workers()
    )
    *_, done = training.run()
    assert done == training.num_units
    return training.layer


def test_published_recipe_is_the_default() -> None:
    config = LinearProbeSgdConfig()
    rates = [config.learning_rate_in(epoch) for epoch in (0, 59, 60, 79, 80, 99)]
    assert rates == pytest.approx([30, 30, 3, 3, 0.3, 0.3])
    assert (config.momentum, config.weight_decay, config.batch_size, config.num_epochs) == (0.9, 0, 256, 100)
    views = config.views()
    assert (views.crop_scale, views.flip, views.blur, views.size) == ((0.08, 1.0), 0.5, 0.0, None)
    assert (views.jitter_probability, views.grayscale) == (0.0, 0.0)


def test_initial_layer() -> None:
    layer = _initialised(50, 400, 3, torch.device("cpu"))
    assert layer.weight.std().item() == pytest.approx(0.01, rel=0.02)
    assert layer.bias.abs().sum() == 0


def test_training_is_plain_sgd_on_the_features(data: ImageData) -> None:
    """With whole batches and whole pictures nothing is random: the same by hand, in numpy."""
    keys: dict[str, Any] = {"num_epochs": 5, "learning_rate": 3.0, "weight_decay": 0.01, "batch_size": 300}
    layer = train(ToyEncoder(), data, crop_scale=(1.0, 1.0), flip=0.0, **keys)

    features = backbone_features(ToyEncoder(), data.train, Workers()).double().numpy()
    one_hot = np.eye(3)[data.train.labels.numpy()]
    words = np.random.SeedSequence(0).generate_state(3, np.uint64)
    weight = _initialised(3, 12, int(words[2]), torch.device("cpu")).weight.detach().double().numpy()
    bias, moving, moving_bias = np.zeros(3), 0.0, 0.0
    for rate in (3.0, 3.0, 3.0, 0.3, 0.03):
        logits = features @ weight.T + bias
        p = np.exp(logits - logits.max(1, keepdims=True))
        residuals = (p / p.sum(1, keepdims=True) - one_hot) / len(p)
        moving = 0.9 * moving + residuals.T @ features + 0.01 * weight
        moving_bias = 0.9 * moving_bias + residuals.sum(0) + 0.01 * bias
        weight, bias = weight - rate * moving, bias - rate * moving_bias
    np.testing.assert_allclose(layer.weight.detach().numpy(), weight, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(layer.bias.detach().numpy(), bias, rtol=1e-3, atol=1e-4)


def test_every_epoch_has_its_own_order_and_crops_of_a_frozen_encoder(data: ImageData) -> None:
    encoder = Watched()
    before = snapshot(encoder)
    train(encoder, data, num_epochs=2, batch_size=64)
    assert len(encoder.shown) == 2 * (300 // 64)
    assert len({images.sum().item() for images in encoder.shown}) == len(encoder.shown)
    assert all(images.abs().max() <= 1 for images in encoder.shown)
    assert encoder.modes == {False}
    assert_untouched(encoder, before)


def test_the_seed_is_all_the_randomness(data: ImageData) -> None:
    state = torch.get_rng_state()
    first, again, other = (train(ToyEncoder(), data, num_epochs=2, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first.weight, again.weight)
    assert not torch.equal(first.weight, other.weight)


def test_workers_views_make_up_the_batch(data: ImageData) -> None:
    def views(workers: Workers) -> tuple[Tensor, Tensor]:
        indices = iter([torch.arange(7), torch.arange(20, 27)])
        generator = torch.Generator().manual_seed(0)
        parts = _own_views(LinearProbeSgdConfig().views(), data.train, indices, 7, generator, workers)
        images, labels = zip(*parts, strict=True)
        return torch.stack(images), torch.stack(labels)

    whole, slices = views(Workers()), [views(Workers(rank, 2)) for rank in range(2)]
    for i in range(2):
        assert torch.equal(torch.cat([part[i] for part in slices], 1)[:, :7], whole[i])


def test_values_and_protocol(data: ImageData) -> None:
    config = LinearProbeSgdConfig(num_epochs=4)
    evaluated = evaluate_all([config], ImageEncoderSubject(ToyEncoder(), data, seed=0), test=True)
    val, test = (evaluated.measurements[name] for name in ("val_linear_probe_sgd", "linear_probe_sgd"))
    assert min(val.value, test.value) > 90
    assert (val.protocol["fitted_on"], test.protocol["fitted_on"]) == ("train", "train+validation")
    assert (val.protocol["num_fitted"], test.protocol["num_fitted"]) == (300, 390)
    assert (val.protocol["num_epochs"], val.protocol["drops"]) == (4, [0.6, 0.8])
    few = LinearProbeSgdConfig(num_epochs=1, batch_size=350)
    evaluated = evaluate_all([few], ImageEncoderSubject(ToyEncoder(), data, seed=0), test=True)
    assert [m.protocol["batch_size"] for m in evaluated.measurements.values()] == [300, 350]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"crop_scale": [0.5, 0.2]}, "crop_scale needs 0 < low <= high <= 1, got [0.5, 0.2]"),
        ({"lr_milestones": [60]}, "less than 1, got 60"),
        ({"epochs": 5}, "unknown key 'epochs'"),
    ],
)
def test_impossible_settings_are_refused(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as error:
        parse(LinearProbeSgdConfig, keys, "evaluate")
    assert message in str(error.value)
