import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter
from torch import Tensor

from ndabench.config import parse
from ndabench.data.images import ImageData
from ndabench.distributed import Workers
from ndabench.errors import UserError
from ndabench.measurement import Measurement
from ndabench.metrics.detection import measure as detection
from ndabench.metrics.detection.config import DetectionConfig
from ndabench.metrics.evaluating import prepare
from ndabench.metrics.evaluation import Evaluation
from ndabench.metrics.image_encoders import knn, linear_probe_lbfgs, linear_probe_sgd
from ndabench.metrics.image_encoders import subject as subjects
from ndabench.metrics.image_encoders.config import KnnConfig, LinearProbeLbfgsConfig, LinearProbeSgdConfig
from ndabench.metrics.image_encoders.subject import ImageEncoderSubject
from ndabench.metrics.registry import EvaluationConfig, evaluations_of
from ndabench.metrics.results import Evaluated, by_name
from ndabench.metrics.subjects import Preparation
from tests.metrics.measuring import evaluate_all
from tests.metrics.striped import TensorSplit, striped_data
from tests.metrics.toy_encoder import ToyEncoder, assert_untouched, snapshot
from tests.two_workers import on_two_workers

CPU = torch.device("cpu")
PROBES: list[Evaluation] = [
    KnnConfig(neighbours=50),
    LinearProbeLbfgsConfig(penalties=(1e-3, 1e-1, 1e3)),
    # The band's place is the label, which small crops would hide; two workers cannot share 65 equally.
    LinearProbeSgdConfig(num_epochs=10, batch_size=65, crop_scale=(0.9, 1.0)),
]


@pytest.fixture(scope="module")
def data() -> ImageData:
    return striped_data()


def faint_data() -> ImageData:
    """The striped images with bands so faint that no probe is perfect on them."""
    data = striped_data()

    def split(clean: Any) -> TensorSplit:
        rows = torch.arange(16)[None, :] // 6 == clean.labels[:, None]
        return TensorSplit(clean.images - 115 * rows[:, None, :, None].to(torch.uint8), clean.labels)

    return replace(data, train=split(data.train), validation=split(data.validation), test=split(data.test))


def evaluate(
    data: ImageData,
    encoder: Any = None,
    *,
    test: bool = True,
    evaluations: Any = PROBES,
    workers: Workers | None = None,
) -> Any:
    subject = ImageEncoderSubject(encoder or ToyEncoder(), data, seed=0, workers=workers or Workers())
    return evaluate_all(evaluations, subject, test=test)


def values(evaluated: Evaluated) -> dict[str, float]:
    return {name: measurement.value for name, measurement in evaluated.measurements.items()}


def test_names_values_and_artifacts(data: ImageData) -> None:
    evaluated = evaluate(data)
    named = [name for evaluation in PROBES for name in evaluation.metrics]
    assert named == ["knn", "linear_probe_lbfgs", "linear_probe_sgd"]
    expected = {*named, *(f"val_{name}" for name in named), "linear_probe_lbfgs_penalty"}
    assert set(evaluated.measurements) == expected
    probes = {"linear_probe_lbfgs.safetensors", "linear_probe_sgd.safetensors"}
    assert set(evaluated.artifacts) == {"neighbours.png", *probes}
    for name in named:
        for measurement in (evaluated.measurements[name], evaluated.measurements[f"val_{name}"]):
            assert 90 < measurement.value <= 100
            assert (measurement.better, measurement.unit) == ("higher", "%")
            assert measurement.seconds > 0


def test_a_fit_that_ends_before_the_minimum_is_named(data: ImageData) -> None:
    config = parse(LinearProbeLbfgsConfig, {"penalties": [1e-3, 1e3], "max_iterations": 3}, "evaluate")
    evaluated = evaluate(data, evaluations=[config])
    # Both are fitted on training images; the one chosen on validation images once more.
    assert {note.partition(" stopped")[0] for note in evaluated.notes} == {
        f"linear_probe_lbfgs: the fit with penalty {penalty}" for penalty in ("0.001", "1000")
    }
    assert len(evaluated.notes) == 3
    assert "instead of 1.0e-06; raise max_iterations" in evaluated.notes[0]
    assert evaluate(data).notes == ()
    protocol = evaluated.measurements["linear_probe_lbfgs"].protocol
    assert (protocol["largest_gradient"], protocol["largest_gradient_per_penalty"]) == (1e-6, 0.01)


def test_one_measure_may_be_taken_twice_under_two_names(data: ImageData) -> None:
    alone = evaluate(data, evaluations=[KnnConfig(neighbours=3)])
    other = parse(KnnConfig, {"neighbours": 50, "as": "k50"}, "knn")
    both = evaluate(data, evaluations=[KnnConfig(neighbours=3), other])
    assert set(both.measurements) == {"knn", "val_knn", "knn_k50", "val_knn_k50"}
    assert set(both.artifacts) == {"neighbours.png", "neighbours_k50.png"}
    assert both.measurements["knn"].protocol == alone.measurements["knn"].protocol
    protocol = both.measurements["knn_k50"].protocol
    assert (protocol["as"], protocol["neighbours"]) == ("k50", 50)


def test_before_the_test_nothing_looks_at_the_test_images(data: ImageData) -> None:
    class Forbidden:
        labels = data.test.labels

        def __len__(self) -> int:
            return len(self.labels)

        def batches(self, index_batches: Any) -> Any:
            pytest.fail("the test images were read")

    names = ("name", "content_hash", "class_names", "image_shape", "train", "validation")
    hidden = ImageData(**{name: getattr(data, name) for name in names}, test=Forbidden())
    evaluated, whole = evaluate(hidden, test=False), evaluate(data, test=True)
    assert all(name.startswith("val_") or name.endswith("_penalty") for name in evaluated.measurements)
    assert values(evaluated).items() <= values(whole).items()


def test_the_encoder_is_left_as_it_was(data: ImageData) -> None:
    encoder = ToyEncoder()
    before = snapshot(encoder)
    first = evaluate(data, encoder)
    assert_untouched(encoder, before)
    assert values(evaluate(data, encoder)) == values(first)


def test_features_are_extracted_once_a_split(data: ImageData, monkeypatch: pytest.MonkeyPatch) -> None:
    extracted, extract = [], subjects.backbone_features

    def counted(encoder: Any, split: Any, workers: Any) -> Any:
        extracted.append(len(split))
        return extract(encoder, split, workers)

    monkeypatch.setattr(subjects, "backbone_features", counted)
    evaluate(data, evaluations=PROBES[:2])
    assert sorted(extracted) == [90, 200, 300]
    extracted.clear()
    evaluate(data, evaluations=[])
    assert extracted == []


def test_those_that_share_features_share_the_seconds_of_their_extraction(
    data: ImageData, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measure(config: Evaluation, subject: ImageEncoderSubject, *, test: bool) -> Evaluated:
        if config.shares:
            start = subject.shared.clock()
            subject.examples("train", "validation")
            assert subject.shared.clock() - start < 0.05, "the clock stands still meanwhile"
        first, second = (Measurement(1.0, metric=f"{config.name} {k}") for k in ("first", "second"))
        return Evaluated(by_name([replace(first, seconds=1.0), second]))

    def extract(*_: object) -> Tensor:
        time.sleep(0.05)
        return torch.zeros(1)

    monkeypatch.setattr(subjects, "backbone_features", extract)
    monkeypatch.setattr(knn, "measure_knn", measure)
    monkeypatch.setattr(linear_probe_lbfgs, "measure_linear_probe_lbfgs", measure)
    monkeypatch.setattr(linear_probe_sgd, "measure_linear_probe_sgd", measure)
    evaluations = [KnnConfig(), LinearProbeSgdConfig(), LinearProbeLbfgsConfig()]
    evaluated = evaluate(data, test=False, evaluations=evaluations)
    seconds = {name: one.seconds for name, one in evaluated.measurements.items()}
    for name in ("knn", "linear_probe_lbfgs"):
        assert seconds[f"{name} first"] - 1 == pytest.approx(seconds[f"{name} second"])
        assert seconds[f"{name} second"] >= 2 * 0.05 / 4
    assert (seconds["linear_probe_sgd first"], seconds["linear_probe_sgd second"]) == (1.0, 0.0)


def test_protocols_are_complete_plain_and_the_same_for_every_encoder(data: ImageData) -> None:
    small, large = evaluate(data), evaluate(data, ToyEncoder(dimension=20))
    for name, measurement in small.measurements.items():
        protocol = json.loads(json.dumps(measurement.protocol))
        assert protocol == json.loads(json.dumps(large.measurements[name].protocol))
        if name.endswith("_penalty"):
            assert protocol == {}
            continue
        split = "validation" if name.startswith("val_") else "test"
        assert protocol["protocol"] == name.removeprefix("val_")
        assert (protocol["features"], protocol["split"]) == ("backbone", split)
        assert (protocol["data"], protocol["data_hash"]) == ("striped", "striped")
        assert protocol["num_evaluated"] == len(getattr(data, split))
    assert small.measurements["knn"].protocol["temperature"] == 0.1
    assert small.measurements["linear_probe_lbfgs"].protocol["penalties"] == [1e-3, 1e-1, 1e3]


def test_the_penalty_is_the_best_on_validation_images() -> None:
    data = faint_data()
    tried = {
        penalty: values(
            evaluate(data, test=False, evaluations=[LinearProbeLbfgsConfig(penalties=(penalty,))])
        )
        for penalty in (1e-3, 1e3)
    }
    best = max(tried, key=lambda penalty: (tried[penalty]["val_linear_probe_lbfgs"], penalty))
    chosen = values(evaluate(data, test=False, evaluations=[LinearProbeLbfgsConfig(penalties=(1e-3, 1e3))]))
    assert chosen == {**tried[best], "linear_probe_lbfgs_penalty": best}


@pytest.mark.parametrize("name", evaluations_of("image_encoder"))
def test_every_entry_of_the_registry_reads_and_round_trips(name: str) -> None:
    every = None if name == "detection" else 50
    evaluation = parse(EvaluationConfig, {"name": name, "every": every, "as": "other"}, "evaluate")
    assert isinstance(evaluation, evaluations_of("image_encoder")[name].config)
    assert evaluation.every == every
    assert all(metric.endswith("_other") for metric in evaluation.metrics)
    dumped = TypeAdapter(EvaluationConfig).dump_python(evaluation, mode="json")
    assert parse(EvaluationConfig, json.loads(json.dumps(dumped)), "evaluate") == evaluation


@pytest.mark.parametrize("probe", PROBES, ids=lambda probe: probe.name)
def test_unlabelled_images_are_refused_before_training(probe: Evaluation) -> None:
    with pytest.raises(UserError, match=f"{probe.name}: striped has no labels"):
        prepare([probe], Preparation(striped_data(labelled=False), CPU))


def test_what_detection_needs_is_asked_for_before_training(
    data: ImageData, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    check = detection.check_detection

    def checked(*given: Any, num_workers: int) -> Any:
        asked.append((*given, num_workers))
        return check(*given, num_workers=num_workers)

    monkeypatch.setattr(detection, "check_detection", checked)
    prepare([DetectionConfig()], Preparation(data, CPU, num_workers=2))
    assert asked == [(DetectionConfig(), 3, 2)]


def test_detection_is_handed_the_encoder(data: ImageData, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder, handed = ToyEncoder(), []

    def measure_detection(config: Any, subject: ImageEncoderSubject, *, test: bool) -> Evaluated:
        handed.append((config, subject.encoder, subject.seed, subject.workers, test))
        return Evaluated({}, {"detections.png": b""})

    monkeypatch.setattr(detection, "measure_detection", measure_detection)
    evaluated = evaluate(data, encoder, test=False, evaluations=[DetectionConfig()])
    assert evaluated.artifacts == {"detections.png": b""}
    assert handed == [(DetectionConfig(), encoder, 0, Workers(), False)]


def measured(workers: Workers) -> tuple[dict[str, float], list[str]]:
    evaluated = evaluate(faint_data(), workers=workers)
    return values(evaluated), list(evaluated.artifacts)


@pytest.mark.slow
def test_two_workers_measure_what_one_does(tmp_path: Path) -> None:
    alone, _ = measured(Workers())
    assert all(50 < value < 95 for name, value in alone.items() if not name.endswith("_penalty"))
    (first, sheets), (second, no_sheets) = on_two_workers(measured, tmp_path)
    assert first == second
    assert first == pytest.approx(alone, abs=0.6)  # one image of 200, where two classes are equally likely
    probes = ["linear_probe_lbfgs.safetensors", "linear_probe_sgd.safetensors"]
    assert (sheets, no_sheets) == (["neighbours.png", *probes], [])
