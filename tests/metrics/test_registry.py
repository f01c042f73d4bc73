"""The registries of evaluations and extractors: light to read, and open for entries from outside."""

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Literal

import pytest
import torch
from pydantic import TypeAdapter
from torch import Tensor

from ndabench.config import parse
from ndabench.data.images import ImageData
from ndabench.errors import UserError
from ndabench.measurement import Measurement
from ndabench.metrics.clip_encoders.config import DpcFinetuneConfig
from ndabench.metrics.evaluating import prepare
from ndabench.metrics.evaluation import Evaluation
from ndabench.metrics.generators.classifier import open_classifier
from ndabench.metrics.generators.extraction import Extractor, extract
from ndabench.metrics.generators.extractor_registry import EXTRACTORS, ExtractorEntry, metric_name
from ndabench.metrics.generators.subject import GeneratorSubject
from ndabench.metrics.image_encoders.config import LinearProbeSgdConfig
from ndabench.metrics.registry import EVALUATIONS, EvaluationConfig, EvaluationEntry, evaluations_of
from ndabench.metrics.results import Evaluated, by_name
from ndabench.metrics.subjects import Preparation
from ndabench.registry import load
from tests.metrics.measuring import evaluate_all
from tests.metrics.striped import striped_images
from tests.metrics.toy_generator import subject

CPU = torch.device("cpu")
prepared: list[str] = []
REQUIRED = {"lpips": {"weights": "/weights/alexnet.pth", "heads": "/weights/alex.pth"}}
"""The keys that an evaluation cannot do without."""


class BrightnessConfig(Evaluation):
    name: Literal["brightness"] = "brightness"
    num_samples: int = 10

    @property
    def measures(self) -> tuple[str, ...]:
        return ("brightness",)


def measure_brightness(config: BrightnessConfig, subject: GeneratorSubject, *, test: bool) -> Evaluated:
    mean = subject.samples()[: config.num_samples].float().mean().item()
    return Evaluated(
        by_name(
            [Measurement(mean, kind="metric", metric="brightness", split="validation", protocol={"n": 1})]
        )
    )


def prepare_brightness(config: BrightnessConfig, preparation: Preparation) -> None:
    prepared.append(preparation.data.name)


def open_toy(*, device: torch.device) -> Extractor:
    """The mean of each channel, and of its halves, as features; two logits."""

    def forward(images: Tensor) -> tuple[Tensor, Tensor]:
        halves = images.float().unflatten(2, (2, -1)).mean((3, 4)).flatten(1)
        return halves, halves[:, :2]

    return Extractor("toy", "0" * 64, forward)


@pytest.fixture(autouse=True, scope="module")
def entries_from_outside() -> Iterator[None]:
    """Through `register` only; taken out again for the sake of other tests."""
    EVALUATIONS.register(
        "brightness",
        EvaluationEntry(
            BrightnessConfig, "generator", f"{__name__}:measure_brightness", f"{__name__}:prepare_brightness"
        ),
    )
    entry = ExtractorEntry(open=f"{__name__}:open_toy", dimension=6, resize="none", weights="none")
    EXTRACTORS.register("toy", entry)
    yield
    del EVALUATIONS._entries["brightness"], EXTRACTORS._entries["toy"]


def real(n: int) -> Tensor:
    return striped_images(n, seed=7)[0]


def test_an_extractor_from_outside_gives_its_name_to_what_it_measures(data: ImageData) -> None:
    keys = [
        {"name": "fd", "extractor": "toy", "num_samples": 100},
        {"name": "kid", "extractor": "toy", "num_samples": 100, "subset_size": 50},
        {"name": "inception_score", "extractor": "toy", "num_samples": 100},
    ]
    evaluations = [parse(EvaluationConfig, one, "evaluate") for one in keys]
    prepare(evaluations, Preparation(data, CPU))
    measured = evaluate_all(evaluations, subject(real, data), test=True).measurements
    names = ["fd_toy", "kid_toy", "inception_score_toy"]
    assert list(measured) == [prefix + name for name in names for prefix in ("val_", "")]
    protocol = measured["fd_toy"].protocol
    assert (protocol["metric"], protocol["extractor"], protocol["feature_dimension"]) == ("fd_toy", "toy", 6)


def test_an_evaluation_from_outside_is_read_prepared_and_measured(data: ImageData) -> None:
    evaluation = parse(EvaluationConfig, {"name": "brightness", "as": "ten"}, "evaluate")
    assert evaluation.metrics == ("brightness_ten",)
    assert "brightness" in evaluations_of("generator")
    assert parse(EvaluationConfig, "brightness", "evaluate") == BrightnessConfig()
    prepare([evaluation], Preparation(data, CPU))
    assert prepared == ["striped"]
    measured = evaluate_all([evaluation], subject(real, data), test=True).measurements
    assert list(measured) == ["val_brightness_ten"]
    assert measured["val_brightness_ten"].value == real(10).float().mean().item()
    assert measured["val_brightness_ten"].protocol == {"n": 1, "as": "ten"}
    assert measured["val_brightness_ten"].label == "ten"


def test_the_plain_names_are_inceptions_alone() -> None:
    for measure, plain in (("fd", "fid"), ("kid", "kid"), ("inception_score", "inception_score")):
        names = {extractor: metric_name(measure, extractor) for extractor in EXTRACTORS}
        assert names.pop("inception") == plain
        assert names == {extractor: f"{measure}_{extractor}" for extractor in names}
    with pytest.raises(ValueError, match="extractor 'inception' is registered already"):
        EXTRACTORS.register("inception", EXTRACTORS["classifier"])


def test_what_is_known_of_an_extractor_is_what_it_does(data: ImageData) -> None:
    for name, extractor in (("classifier", open_classifier(data, device=CPU)), ("toy", open_toy(device=CPU))):
        features, logits = extract(extractor, [real(5)])
        assert extractor.name == name
        assert features.shape == (5, EXTRACTORS[name].dimension)
        assert logits.shape[0] == 5


def test_every_implementation_is_there() -> None:
    for entry in EVALUATIONS.values():
        assert callable(load(entry.measure))
        assert entry.prepare is None or callable(load(entry.prepare))
    for extractor in EXTRACTORS.values():
        assert callable(load(extractor.open))


@pytest.mark.parametrize("name", EVALUATIONS)
def test_values_of_one_evaluation_are_told_apart_by_a_label(name: str) -> None:
    keys = {"name": name, **REQUIRED.get(name, {})}
    plain = parse(EvaluationConfig, keys, "evaluate")
    labelled = parse(EvaluationConfig, {**keys, "as": "again"}, "evaluate")
    assert labelled.metrics == tuple(f"{metric}_again" for metric in plain.metrics)
    assert labelled.key == labelled.metrics[0] != plain.key
    dumped = TypeAdapter(EvaluationConfig).dump_python(labelled, mode="json", by_alias=True)
    assert dumped["as"] == "again"


def test_an_unknown_evaluation_is_one_line() -> None:
    with pytest.raises(UserError, match="evaluate: name: unknown name 'kn'; did you mean 'knn'"):
        parse(EvaluationConfig, "kn", "evaluate")


def test_reading_every_evaluation_leaves_torch_alone() -> None:
    """Planning a sweep reads the `evaluate` list on machines and in processes that never need torch."""
    forms = [
        *(
            {"name": name, "as": "again", **REQUIRED.get(name, {})}
            for name in EVALUATIONS
            if name != "brightness"
        ),
        *({"name": name, "extractor": "inception", "download": True} for name in ("fd", "kid")),
        {"name": "retrieval", "data": {"name": "hmdb51", "path": "/data"}},
        {"name": "dpc_finetune", "data": "moving_digits"},
        {"name": "detection", "data": {"name": "voc", "path": "/data"}},
    ]
    code = f"""
import json, sys
from pydantic import TypeAdapter
from ndabench.config import parse
from ndabench.metrics import evaluating, evaluation
from ndabench.metrics.generators import extractor_registry
from ndabench.metrics.registry import EvaluationConfig
for form in json.loads({json.dumps(json.dumps(forms))}):
    config = parse(EvaluationConfig, form, "evaluate")
    config.metrics, config.key, config.shares, hash(config)
    TypeAdapter(EvaluationConfig).dump_python(config, mode="json", by_alias=True)
print([name for name in ("torch", "torchvision", "scipy", "sklearn") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", ["linear_probe_sgd", "dpc_finetune"])
def test_milestones_are_still_read_under_their_former_key(name: str) -> None:
    former = parse(EvaluationConfig, {"name": name, "drops": [0.5]}, "evaluate")
    assert former == parse(EvaluationConfig, {"name": name, "lr_milestones": [0.5]}, "evaluate")
    assert isinstance(former, LinearProbeSgdConfig | DpcFinetuneConfig)
    assert former.settings()["drops"] == [0.5]  # protocols keep the key, so that values stay comparable
