import io
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from ndabench.data.images import ImageData
from ndabench.distributed import Workers
from ndabench.errors import UserError
from ndabench.metrics.evaluating import prepare
from ndabench.metrics.features import Examples, backbone_features
from ndabench.metrics.image_encoders import knn
from ndabench.metrics.image_encoders.config import KnnConfig
from ndabench.metrics.image_encoders.knn import knn_predict
from ndabench.metrics.image_encoders.subject import ImageEncoderSubject
from ndabench.metrics.results import Evaluated
from ndabench.metrics.subjects import Preparation
from tests.metrics.measuring import evaluate_all
from tests.metrics.striped import images_of, striped_data
from tests.metrics.toy_encoder import ToyEncoder


def by_loop(queries: Tensor, bank: Examples, num_classes: int, k: int, temperature: float) -> list[int]:
    """The definition, image by image and vote by vote, in float64."""
    rows, labels = bank.features.double().numpy(), bank.labels.numpy()
    predicted = []
    for query in queries.double().numpy():
        similarities = rows @ query / np.sqrt((rows**2).sum(1) * (query @ query))
        votes = [0.0] * num_classes
        for place in np.argsort(-similarities)[:k]:
            votes[labels[place]] += np.exp(similarities[place] / temperature)
        predicted.append(int(np.argmax(votes)))
    return predicted


def random_examples(n: int, seed: int) -> Examples:
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(n, 6, generator=generator) * torch.rand(n, 1, generator=generator)
    return Examples(features, torch.randint(4, (n,), generator=generator))


@pytest.mark.parametrize(("k", "temperature"), [(1, 0.1), (20, 0.1), (20, 5.0), (120, 0.1)])
def test_predictions_are_those_of_the_definition(
    k: int, temperature: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(knn, "LARGEST_CHUNK", 120 * 7)  # seven queries at once, then what is left
    bank, queries = random_examples(120, 0), random_examples(40, 1).features
    found = knn_predict(queries, bank, num_classes=4, neighbours=k, temperature=temperature)
    assert found.tolist() == by_loop(queries, bank, 4, k, temperature)


def test_a_low_temperature_asks_the_nearest_alone() -> None:
    bank, queries = random_examples(120, 0), random_examples(40, 1).features
    cold = knn_predict(queries, bank, num_classes=4, neighbours=120, temperature=1e-6)
    nearest = knn_predict(queries, bank, num_classes=4, neighbours=1, temperature=0.1)
    assert torch.equal(cold, nearest)


def test_length_of_features_does_not_matter() -> None:
    bank, queries = random_examples(120, 0), random_examples(40, 1).features
    longer = Examples(bank.features * torch.linspace(0.5, 7, 120)[:, None], bank.labels)
    settings: dict[str, Any] = {"num_classes": 4, "neighbours": 20, "temperature": 0.1}
    assert torch.equal(knn_predict(3 * queries, longer, **settings), knn_predict(queries, bank, **settings))


def evaluate(
    data: ImageData, encoder: ToyEncoder, *, test: bool, config: KnnConfig | None = None
) -> Evaluated:
    return evaluate_all([config or KnnConfig()], ImageEncoderSubject(encoder, data, seed=0), test=test)


@pytest.fixture(scope="module")
def small_data() -> ImageData:
    return striped_data()


def test_banks_and_names(small_data: ImageData) -> None:
    encoder, workers = ToyEncoder(), Workers()
    evaluated = evaluate(small_data, encoder, test=True)
    names = ("train", "validation", "test")
    train, validation, test = (
        Examples(backbone_features(encoder, getattr(small_data, n), workers), getattr(small_data, n).labels)
        for n in names
    )
    both = Examples(*(torch.cat(pair) for pair in zip(train, validation, strict=True)))
    for name, bank, scored in (("val_knn", train, validation), ("knn", both, test)):
        hits = np.array(by_loop(scored.features, bank, 3, 200, 0.1)) == scored.labels.numpy()
        assert evaluated.measurements[name].value == pytest.approx(100 * hits.mean())
        assert evaluated.measurements[name].protocol["num_fitted"] == len(bank.labels)
    assert evaluated.measurements["knn"].value > 90


def test_neighbours_are_capped_by_the_bank(small_data: ImageData) -> None:
    evaluated = evaluate(small_data, ToyEncoder(), test=True, config=KnnConfig(neighbours=350))
    protocols = [evaluated.measurements[name].protocol for name in ("val_knn", "knn")]
    assert [(p["neighbours"], p["neighbours_capped"]) for p in protocols] == [(300, True), (350, False)]


def test_the_sheet_shows_test_images_and_their_neighbours(small_data: ImageData) -> None:
    evaluated = evaluate(small_data, ToyEncoder(), test=True)
    sheet = np.asarray(Image.open(io.BytesIO(evaluated.artifacts["neighbours.png"])))
    assert sheet.shape == (8 * 17 + 1, 8 * 17 + 1, 3)
    first = sheet[1:17, 1:17].transpose(2, 0, 1)
    assert np.array_equal(first, images_of(small_data.test)[0].numpy())
    found = sheet[1:17, 18:34].transpose(2, 0, 1)
    bank = torch.cat([images_of(small_data.train), images_of(small_data.validation)]).numpy()
    assert (bank == found).all((1, 2, 3)).any()


def test_no_sheet_before_the_test(small_data: ImageData) -> None:
    evaluated = evaluate(small_data, ToyEncoder(), test=False)
    assert list(evaluated.measurements) == ["val_knn"]
    assert evaluated.artifacts == {}


def test_unlabelled_images_are_refused() -> None:
    with pytest.raises(UserError, match="knn: striped has no labels to predict"):
        prepare([KnnConfig()], Preparation(striped_data(labelled=False), torch.device("cpu")))
