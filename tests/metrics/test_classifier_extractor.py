import threading
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from sklearn.datasets import load_digits

from ndabench.data.digits import DigitsConfig
from ndabench.data.images import ImageData
from ndabench.data.load import load_images
from ndabench.errors import UserError
from ndabench.metrics.generators import classifier
from ndabench.metrics.generators.classifier import open_classifier, train_classifier
from ndabench.metrics.generators.extraction import extract
from ndabench.metrics.generators.extractor_registry import EXTRACTORS
from tests.metrics.striped import images_of, striped_data

CPU = torch.device("cpu")


def test_training_repeats_exactly_and_leaves_global_randomness_alone() -> None:
    before = torch.random.get_rng_state()
    first, second = train_classifier(striped_data()), train_classifier(striped_data())
    assert torch.equal(torch.random.get_rng_state(), before)
    assert first["validation_accuracy"] == second["validation_accuracy"]
    for name, tensor in first["weights"].items():
        assert torch.equal(tensor, second["weights"][name]), name


def test_the_number_of_threads_does_not_matter() -> None:
    before = torch.get_num_threads()
    trained = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        trained.append(train_classifier(striped_data())["weights"])
        assert torch.get_num_threads() == threads
    torch.set_num_threads(before)
    assert torch.equal(trained[0]["head.weight"], trained[1]["head.weight"])


def test_it_learns_and_says_so(data: ImageData) -> None:
    extractor = open_classifier(data, device=CPU)
    features, logits = extract(extractor, images_of(data.test).split(64))
    assert features.shape == (200, EXTRACTORS[extractor.name].dimension) == (200, 64)
    assert not features.requires_grad
    accuracy = (logits.argmax(1) == data.test.labels).double().mean()
    assert accuracy > 0.9
    assert extractor.details == {
        "recipe": "cnn64-1",
        "trained_on": "labels",
        "validation_accuracy": pytest.approx(accuracy.item(), abs=0.1),
    }


def test_it_is_trained_once_for_all_who_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    trained = []

    def train(data: ImageData) -> dict[str, object]:
        trained.append(data.content_hash)
        return train_classifier(data)

    monkeypatch.setattr(classifier, "train_classifier", train)
    wanted = striped_data("asked for by four")
    opened = [
        threading.Thread(target=open_classifier, args=(wanted,), kwargs={"device": CPU}) for _ in range(4)
    ]
    for thread in opened:
        thread.start()
    for thread in opened:
        thread.join()
    assert trained == ["asked for by four"]
    again = open_classifier(wanted, device=CPU)
    assert len(trained) == 1
    assert again.weights_sha256 == open_classifier(striped_data("another"), device=CPU).weights_sha256


def test_without_labels_it_learns_rotations() -> None:
    trained = train_classifier(striped_data(labelled=False, channels=1))
    assert trained["trained_on"] == "rotations"
    assert trained["sizes"] == {"in_channels": 1, "image_size": 16, "num_classes": 4}
    assert trained["validation_accuracy"] > 0.9


def test_rotations_need_square_images() -> None:
    oblong = replace(striped_data(labelled=False), image_shape=(3, 16, 24))
    with pytest.raises(UserError, match=r"square images for it, got 24×16; set image_size"):
        train_classifier(oblong)


@pytest.mark.parametrize("size", [8, 16, 28, 32, 48, 64, 96])
@pytest.mark.parametrize("channels", [1, 3])
def test_it_takes_images_of_any_usual_size(size: int, channels: int) -> None:
    network = classifier.Classifier(in_channels=channels, image_size=size, num_classes=5).eval()
    features, logits = network(torch.zeros(2, channels, size, size, dtype=torch.uint8))
    assert features.shape == (2, 64)
    assert logits.shape == (2, 5)


def test_damaged_weights_are_trained_again(cache: Path, caplog: pytest.LogCaptureFixture) -> None:
    whole = open_classifier(striped_data("broken"), device=CPU)
    classifier._load.cache_clear()
    file = cache / "classifiers" / "broken-cnn64-1" / "computed.pt"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1  # a weight: torch's own reader would take it
    file.write_bytes(content)
    assert open_classifier(striped_data("broken"), device=CPU).weights_sha256 == whole.weights_sha256
    (line,) = caplog.messages
    assert line == f"{file.parent}: damaged (computed.pt is not as it was written); building it again"


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("NDABENCH_CACHE", str(tmp_path / "file"))
    with pytest.raises(UserError, match=r"the cache cannot be written .* set NDABENCH_CACHE"):
        open_classifier(striped_data(), device=CPU)


@pytest.mark.slow
def test_digits_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classifier, "FEWEST_IMAGES", 8_192)
    assert len(load_digits().target) == 1797
    digits = load_images(DigitsConfig(), device=CPU)
    assert train_classifier(digits)["validation_accuracy"] > 0.95
