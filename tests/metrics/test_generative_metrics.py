import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter
from torch import Tensor

from ndabench.config import parse
from ndabench.data.images import ImageData
from ndabench.errors import UserError
from ndabench.metrics.evaluating import prepare
from ndabench.metrics.evaluation import Evaluation
from ndabench.metrics.generators import subject as subjects
from ndabench.metrics.generators.classifier import open_classifier
from ndabench.metrics.generators.config import (
    FrechetConfig,
    GeneratorEvaluation,
    InceptionScoreConfig,
    KidConfig,
)
from ndabench.metrics.generators.extraction import Extracted, extract, extract_share
from ndabench.metrics.generators.feature_config import FeatureMeasure
from ndabench.metrics.generators.frechet import FrechetReference, frechet_distance, moments_of
from ndabench.metrics.registry import EvaluationConfig, evaluations_of
from ndabench.metrics.subjects import Preparation
from tests.metrics.measuring import evaluate_all
from tests.metrics.striped import TensorSplit, images_of, striped_data, striped_images
from tests.metrics.toy_generator import measure, subject

CPU = torch.device("cpu")
IMAGE_MEASURES = [
    name
    for name, entry in evaluations_of("generator").items()
    if issubclass(entry.config, GeneratorEvaluation) and not issubclass(entry.config, FeatureMeasure)
]

EVALUATIONS: list[Evaluation] = [
    FrechetConfig(num_samples=120),
    KidConfig(num_samples=100, subset_size=50, num_subsets=10),
    InceptionScoreConfig(num_samples=80, num_splits=4),
]


def real(n: int) -> Tensor:
    return striped_images(n, seed=7)[0]


def noise(n: int) -> Tensor:
    return torch.randint(256, (n, 3, 16, 16), generator=torch.Generator().manual_seed(0)).to(torch.uint8)


def evaluate(sample: Any, data: ImageData, evaluations: Any = EVALUATIONS, split: Any = "test") -> Any:
    return measure(evaluations, sample, data, split)


def test_real_images_score_far_better_than_noise(data: ImageData) -> None:
    good, bad = evaluate(real, data), evaluate(noise, data)
    assert list(good) == ["fd_classifier", "kid_classifier", "inception_score_classifier"]
    assert good["fd_classifier"].value < 0.1 * bad["fd_classifier"].value
    assert good["kid_classifier"].value < 0.1 * bad["kid_classifier"].value
    assert good["inception_score_classifier"].value > 1.5 * bad["inception_score_classifier"].value
    assert [m.better for m in good.values()] == ["lower", "lower", "higher"]


def test_one_distance_may_be_measured_twice_under_two_names(data: ImageData) -> None:
    fewer = parse(FrechetConfig, {"num_samples": 80, "as": "80"}, "fd")
    measured = evaluate(real, data, [FrechetConfig(num_samples=120), fewer])
    assert list(measured) == ["fd_classifier", "fd_classifier_80"]
    alone = evaluate(lambda n: real(120)[:n], data, [FrechetConfig(num_samples=80)])["fd_classifier"]
    assert measured["fd_classifier_80"].value == alone.value
    assert measured["fd_classifier_80"].protocol == {**alone.protocol, "as": "80"}


def test_a_split_is_at_no_distance_from_itself(data: ImageData) -> None:
    measured = evaluate(lambda n: images_of(data.test)[:n], data, [FrechetConfig(num_samples=200)])
    assert measured["fd_classifier"].value == pytest.approx(0.0, abs=1e-8)


def test_distance_is_that_of_the_features(data: ImageData) -> None:
    extractor = open_classifier(data, device=CPU)
    for num_samples in (120, 40):  # more and fewer than the 64 dimensions
        ours = evaluate(real, data, [FrechetConfig(num_samples=num_samples)], "validation")["fd_classifier"]
        reference = FrechetReference.of(
            moments_of(extract(extractor, [images_of(data.validation)])[0]).gaussian()
        )
        samples = moments_of(extract(extractor, [real(num_samples)])[0]).gaussian()
        assert ours.value == pytest.approx(frechet_distance(reference, samples), rel=1e-5)


def test_images_are_drawn_and_extracted_once(data: ImageData, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn, extracted = [], []

    def sample(n: int) -> Tensor:
        drawn.append((n, torch.is_grad_enabled()))
        return real(n)

    def counted(extractor: Any, *rest: Any) -> Any:
        extracted.append(extractor.name)
        return extract_share(extractor, *rest)

    monkeypatch.setattr(subjects, "extract_share", counted)
    evaluate(sample, data)
    assert drawn == [(120, False)]
    assert extracted == ["classifier"]
    assert torch.is_grad_enabled()


def test_evaluating_twice_gives_the_same(data: ImageData) -> None:
    first, second = evaluate(real, data), evaluate(real, data)
    assert {name: m.value for name, m in first.items()} == {name: m.value for name, m in second.items()}


def test_training_precision_does_not_reach_the_features(data: ImageData) -> None:
    plain = evaluate(real, data)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        under_autocast = evaluate(real, data)
    assert under_autocast["fd_classifier"].value == plain["fd_classifier"].value


def test_protocol_is_complete_and_plain_data(data: ImageData) -> None:
    for name, measurement in evaluate(real, data).items():
        protocol = json.loads(json.dumps(measurement.protocol))
        assert protocol["metric"] == name
        assert protocol["data"] == "striped"
        assert protocol["data_hash"] == data.content_hash
        assert protocol["extractor"] == "classifier"
        assert len(protocol["weights_sha256"]) == 64
        assert protocol["feature_dimension"] == 64
        assert protocol["resize"] == "none"
        assert protocol["quantisation"] == "uint8, rounded"
        assert protocol["batch_norm"] == "running"
        assert protocol["recipe"] == "cnn64-1"
        assert protocol["validation_accuracy"] > 0.9
        assert measurement.unit == ""
        assert measurement.seconds > 0
    protocols = [m.protocol for m in evaluate(real, data, split="validation").values()]
    assert [p["num_samples"] for p in protocols] == [120, 100, 80]
    assert [p["reference_split"] for p in protocols] == ["validation", "validation", None]
    assert [p["reference_size"] for p in protocols] == [90, 90, None]
    assert (protocols[1]["subset_size"], protocols[1]["num_subsets"]) == (50, 10)
    assert protocols[2]["num_splits"] == 4


def test_nothing_asked_nothing_drawn(data: ImageData) -> None:
    assert evaluate(lambda n: pytest.fail("drawn"), data, []) == {}


def test_preparing_trains_the_classifier_and_no_more(cache: Path) -> None:
    prepare(EVALUATIONS, Preparation(striped_data("prepared"), CPU))
    assert (cache / "classifiers" / "prepared-cnn64-1" / "computed.pt").is_file()
    assert not list(cache.glob("references/prepared*"))
    assert all(path.suffix == ".lock" for path in cache.glob("**/.*")), "nothing unfinished is left"


@pytest.mark.parametrize("name", IMAGE_MEASURES)
def test_every_entry_of_the_registry_reads_and_round_trips(name: str) -> None:
    evaluation = parse(EvaluationConfig, {"name": name, "every": 50}, "evaluate")
    assert isinstance(evaluation, evaluations_of("generator")[name].config)
    assert isinstance(evaluation, GeneratorEvaluation)
    assert (evaluation.num_samples, evaluation.every, evaluation.metric) == (10_000, 50, f"{name}_classifier")
    dumped = TypeAdapter(EvaluationConfig).dump_python(evaluation, mode="json")
    assert parse(EvaluationConfig, json.loads(json.dumps(dumped)), "evaluate") == evaluation


def test_inceptions_measures_bear_the_known_names() -> None:
    entries = [evaluations_of("generator")[name] for name in IMAGE_MEASURES]
    names = [entry.config.model_validate({"extractor": "inception"}).measures[0] for entry in entries]
    assert names == ["fid", "kid", "inception_score"]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"name": "fd", "num_samples": 1}, "greater than or equal to 2, got 1"),
        ({"name": "fd", "num_sample": 10}, "did you mean 'num_samples'"),
        ({"name": "fd", "extractor": "resnet"}, "unknown extractor 'resnet' (known: classifier, clip,"),
        ({"name": "fd", "download": True}, "the key download is for extractor: inception only"),
        ({"name": "kid", "num_samples": 500}, "subset_size 1000 must not exceed num_samples 500"),
        ({"name": "inception_score", "num_samples": 5}, "num_splits 10 must not exceed num_samples 5"),
        ({"name": "fdd"}, "fdd"),
    ],
)
def test_impossible_evaluations_are_refused(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as error:
        parse(EvaluationConfig, keys, "evaluate")
    assert message in str(error.value)


def test_subsets_larger_than_a_split_are_refused_early(data: ImageData) -> None:
    with pytest.raises(
        UserError, match="subset_size 91 must not exceed the 90 images of the validation split"
    ):
        prepare([KidConfig(subset_size=91)], Preparation(data, CPU))


@pytest.mark.parametrize(
    ("split", "remedy"), [("validation", "raise data.validation_fraction"), ("test", "add images to it")]
)
def test_a_split_of_one_image_is_refused_early_by_name(data: ImageData, split: str, remedy: str) -> None:
    """A Fréchet distance needs a covariance; the number of generated images has its own bound."""
    images: TensorSplit = getattr(data, split)
    one = TensorSplit(images.images[:1], images.labels[:1])
    small = replace(data, validation=one) if split == "validation" else replace(data, test=one)
    with pytest.raises(UserError) as error:
        prepare([FrechetConfig()], Preparation(small, CPU))
    assert str(error.value) == (
        f"fd_classifier: a Fréchet distance needs at least 2 real images, and the {split} split of striped "
        f"has 1; {remedy}"
    )


def collapsed(n: int) -> Tensor:
    return real(1).expand(n, -1, -1, -1).contiguous()


def test_a_collapsed_generator_and_few_images_give_notes(data: ImageData) -> None:
    few = parse(FrechetConfig, {"num_samples": 40, "as": "few"}, "fd")
    notes = evaluate_all([*EVALUATIONS, few], subject(collapsed, data), test=True).notes
    alike = [note for note in notes if note.endswith("generated images have equal features")]
    assert [note.split(":")[0] for note in alike] == [
        *("fd_classifier", "kid_classifier", "inception_score_classifier", "fd_classifier")
    ]
    assert [note for note in notes if "fewer" in note] == [
        "fd_classifier: 40 generated images are fewer than the 64 dimensions of their features; compare it "
        "only with values of as many images"
    ]
    assert evaluate_all(EVALUATIONS, subject(real, data), test=True).notes == ()


def test_few_real_images_give_a_note(data: ImageData) -> None:
    short = TensorSplit(images_of(data.validation)[:50], data.validation.labels[:50])
    small = replace(data, validation=short)
    notes = evaluate_all([FrechetConfig(num_samples=120)], subject(real, small), test=False).notes
    assert [note.split(";")[0] for note in notes] == [
        "fd_classifier: 50 real images are fewer than the 64 dimensions of their features"
    ]


@pytest.mark.parametrize("evaluation", EVALUATIONS, ids=lambda one: one.name)
@pytest.mark.parametrize("broken", [torch.nan, torch.inf])
def test_features_that_are_not_finite_are_one_line(
    data: ImageData, evaluation: Evaluation, broken: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spoilt(*arguments: Any) -> Extracted:
        whole = extract_share(*arguments)
        whole.features[3, 2], whole.logits[3, 1] = broken, broken
        return whole

    monkeypatch.setattr(subjects, "extract_share", spoilt)
    with pytest.raises(UserError, match="finite") as error:
        evaluate_all([evaluation], subject(real, data), test=False)
    assert "generated images" in str(error.value)
