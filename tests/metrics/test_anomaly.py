"""Anomaly detection: scores, sets of outliers, and what is refused."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ndabench.config import parse
from ndabench.data.images import ImageData, to_float
from ndabench.errors import UserError
from ndabench.metrics.anomaly.config import AnomalyConfig
from ndabench.metrics.anomaly.measuring import Mahalanobis, class_score, knn_distance
from ndabench.metrics.evaluating import evaluate, prepare
from ndabench.metrics.generators.subject import GeneratorSubject
from ndabench.metrics.image_encoders.subject import ImageEncoderSubject
from ndabench.metrics.registry import EvaluationConfig
from ndabench.metrics.results import Evaluated, merge
from ndabench.metrics.subjects import Preparation, Subject
from tests.metrics.striped import striped_data, striped_images
from tests.metrics.toy_encoder import ToyEncoder
from tests.metrics.toy_generator import ToySampler

CPU = torch.device("cpu")


class Rows(nn.Module):
    """Logits: how much brighter the label's band of rows is than the whole image."""

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        bands = torch.stack([part.mean((1, 2, 3)) for part in images.split([6, 6, 4], dim=2)], 1)
        return bands[torch.arange(len(images)), labels] - images.mean((1, 2, 3))


def generator_subject(data: ImageData, network: nn.Module, num_classes: int = 3) -> GeneratorSubject:
    sampler = ToySampler(lambda count: striped_images(count, seed=9)[0])
    return GeneratorSubject(sampler, network, data, seed=0, stream="x", num_classes=num_classes)


def measured(keys: dict[str, Any], subject: Subject, *, test: bool = True) -> Evaluated:
    config = parse(EvaluationConfig, keys, "evaluate")
    news = evaluate([config], subject, test=test)
    return merge([one for one in news if isinstance(one, Evaluated)])


def test_bands_are_told_from_noise_and_from_negatives(data: ImageData) -> None:
    keys = {"name": "anomaly", "outliers": [{"name": "noise", "num_images": 100}], "negatives": ["jigsaw"]}
    found = measured(keys, generator_subject(data, Rows()))
    names = ["auroc", "aupr_in", "aupr_out", "fpr95", "auroc_noise", "auroc_negative_jigsaw"]
    assert list(found.measurements) == [f"{at}anomaly_{name}" for at in ("val_", "") for name in names]
    values = {name: one.value for name, one in found.measurements.items()}
    assert values["anomaly_auroc_noise"] == 100  # a band is brighter than any noise is
    assert 50 < values["anomaly_auroc_negative_jigsaw"] < 100
    mean = (values["anomaly_auroc_noise"] + values["anomaly_auroc_negative_jigsaw"]) / 2
    assert values["anomaly_auroc"] == pytest.approx(mean)
    protocol = found.measurements["anomaly_auroc_noise"].protocol
    assert protocol["label_rule"] == "max"
    assert protocol["orientation"] == "higher is in-distribution"
    assert (protocol["num_inside"], protocol["num_outliers"]) == (200, 92)  # without the validation part
    assert found.measurements["val_anomaly_auroc_noise"].protocol["num_outliers"] < 10
    assert found.measurements["anomaly_fpr95"].better == "lower"
    assert set(found.artifacts) == {"anomaly.json", "outliers.png"}
    [noise, jigsaw] = json.loads(found.artifacts["anomaly.json"])["sets"]
    assert noise["rates"]["auroc"] == [1.0, 1.0, 1.0]
    value, low, high = jigsaw["rates"]["auroc"]
    assert low < value < high
    assert sum(jigsaw["histogram"]["inside"]) == pytest.approx(1)
    again = measured(keys, generator_subject(data, Rows()))
    assert again.artifacts == found.artifacts


def test_during_training_only_validation_is_looked_at(data: ImageData) -> None:
    found = measured({"name": "anomaly"}, generator_subject(data, Rows()), test=False)
    assert all(name.startswith("val_") for name in found.measurements)
    assert not found.artifacts


@pytest.mark.parametrize(
    ("rule", "over_classes"),
    [
        ("max", lambda logits: logits.max(1).values),
        ("mean", lambda logits: logits.mean(1)),
        ("logsumexp", lambda logits: logits.exp().sum(1).log()),
    ],
)
def test_a_conditional_discriminator_is_asked_for_every_class(
    rule: str, over_classes: Callable[[Tensor], Tensor], data: ImageData
) -> None:
    images, _ = striped_images(5, seed=1)
    logits = torch.stack([Rows()(to_float(images), torch.full((5,), label)) for label in range(3)], 1)
    config = AnomalyConfig.model_validate({"label_rule": rule})
    found = class_score(generator_subject(data, Rows()), images, config.label_rule)
    torch.testing.assert_close(found, over_classes(logits))
    only = class_score(generator_subject(data, Rows(), num_classes=1), images, config.label_rule)
    torch.testing.assert_close(only, logits[:, 0])


def test_knn_distance_is_that_of_a_plain_loop() -> None:
    random = torch.Generator().manual_seed(0)
    queries, bank = torch.randn(7, 5, generator=random), torch.randn(30, 5, generator=random)
    found = knn_distance(queries, bank, 4)
    for query, value in zip(queries.double(), found, strict=True):
        unit = [other / other.norm() for other in bank.double()]
        distances = sorted(float((query / query.norm() - other).norm()) for other in unit)
        assert float(value) == pytest.approx(distances[3], abs=1e-5)


def test_mahalanobis_distance_is_that_of_a_plain_loop() -> None:
    random = np.random.default_rng(0)
    labels = random.integers(0, 3, 200)
    features = random.normal(size=(200, 4)) @ random.normal(size=(4, 4)) + 3 * labels[:, None]
    means = np.stack([features[labels == label].mean(0) for label in range(3)])
    centred = features - means[labels]
    inverse = np.linalg.inv(centred.T @ centred / 200)
    queries = random.normal(size=(6, 4))
    expected = [min((q - m) @ inverse @ (q - m) for m in means) for q in queries]
    distance = Mahalanobis(torch.from_numpy(features), torch.from_numpy(labels + 4))  # classes 0 to 3 absent
    np.testing.assert_allclose(distance(torch.from_numpy(queries)), expected, rtol=1e-4)


def test_features_without_spread_still_have_a_distance() -> None:
    distance = Mahalanobis(torch.ones(10, 3), torch.zeros(10, dtype=torch.int64))
    assert distance(torch.ones(2, 3)).tolist() == [0, 0]
    assert distance(torch.zeros(2, 3)).isfinite().all()


@pytest.mark.parametrize("distance", ["knn", "mahalanobis"])
def test_an_encoder_is_judged_by_its_features(distance: str, data: ImageData) -> None:
    keys = {"name": "feature_anomaly", "distance": distance, "outliers": ["noise"], "images_per_set": 50}
    found = measured(keys, ImageEncoderSubject(ToyEncoder(), data, seed=0))
    assert found.measurements["feature_anomaly_auroc"].value > 95
    assert found.measurements["feature_anomaly_auroc"].protocol["num_inside"] == 50


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        ({"outliers": []}, "name at least one set of outliers, or one negative"),
        ({"outliers": ["noise", {"name": "noise", "seed": 3}]}, "two sets of outliers are called noise"),
        ({"outliers": ["moving_digits"]}, "unknown name 'moving_digits'"),
        ({"label_rule": "first"}, "label_rule"),
        ({"negatives": ["jigsw"]}, "did you mean 'jigsaw'"),
    ],
)
def test_wrong_keys_are_one_line(keys: dict[str, object], line: str) -> None:
    with pytest.raises(UserError, match=line) as caught:
        parse(EvaluationConfig, {"name": "anomaly", **keys}, "evaluate")
    assert "\n" not in str(caught.value)


def test_outliers_that_are_training_images_are_refused(
    data: ImageData, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = parse(EvaluationConfig, {"name": "anomaly", "outliers": ["noise"]}, "evaluate")
    prepare([config], Preparation(data, CPU))
    monkeypatch.setattr("ndabench.metrics.anomaly.measuring._load", lambda *_: striped_data())
    with pytest.raises(UserError, match="590 images of striped are also in the data set striped"):
        prepare([config], Preparation(data, CPU))


def test_a_data_set_is_no_outlier_of_itself(data: ImageData) -> None:
    config = parse(EvaluationConfig, {"name": "anomaly", "outliers": ["digits"]}, "evaluate")
    digits = ImageData("digits", *[getattr(data, key) for key in data.__dataclass_fields__ if key != "name"])
    with pytest.raises(UserError, match="digits is what the task learns from"):
        prepare([config], Preparation(digits, CPU))


def test_a_diverged_score_is_one_line(data: ImageData) -> None:
    class Broken(Rows):
        def forward(self, images: Tensor, labels: Tensor) -> Tensor:
            return super().forward(images, labels) / 0

    with pytest.raises(
        UserError, match=r"^anomaly: 90 of 90 scores of the validation split of striped are not finite"
    ):
        measured({"name": "anomaly"}, generator_subject(data, Broken()))
