"""Evaluating a list one after the other: what is skipped, what resumes, and what a checkpoint can hold."""

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from ndabench.data.images import ImageData
from ndabench.data.videos.clips import ClipData
from ndabench.measurement import Measurement
from ndabench.metrics import probing
from ndabench.metrics.clip_encoders.config import DpcFinetuneConfig
from ndabench.metrics.clip_encoders.subject import ClipEncoderSubject
from ndabench.metrics.evaluating import evaluate
from ndabench.metrics.evaluation import Evaluation
from ndabench.metrics.generators.config import FrechetConfig, InceptionScoreConfig, KidConfig
from ndabench.metrics.image_encoders.config import KnnConfig, LinearProbeSgdConfig
from ndabench.metrics.image_encoders.subject import ImageEncoderSubject
from ndabench.metrics.results import Evaluated, EvaluationProgress, merge
from ndabench.metrics.subjects import SharedWork, Subject
from tests.metrics.measuring import evaluate_all
from tests.metrics.recognising import SAMPLING
from tests.metrics.striped import striped_data, striped_images
from tests.metrics.test_detection import config as detection_config
from tests.metrics.test_detection import encoder as detection_encoder
from tests.metrics.toy_encoder import ToyEncoder, assert_untouched, snapshot
from tests.metrics.toy_features import ToyFeatures
from tests.metrics.toy_generator import subject as generator_subject

GENERATOR: list[Evaluation] = [
    FrechetConfig(num_samples=120),
    KidConfig(num_samples=100, subset_size=50, num_subsets=10),
    InceptionScoreConfig(num_samples=80, num_splits=4),
]


def saved(plain: Any) -> Any:
    """What a checkpoint makes of plain data and tensors."""
    buffer = io.BytesIO()
    torch.save(plain, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=True)


def values(evaluated: Evaluated) -> dict[str, float]:
    return {name: one.value for name, one in evaluated.measurements.items()}


def test_results_come_one_evaluation_after_the_other_in_the_files_order(data: ImageData) -> None:
    subject = generator_subject(lambda n: striped_images(n, seed=7)[0], data)
    results = list(evaluate(GENERATOR, subject, test=True))
    assert [one.evaluation for one in results] == [evaluation.key for evaluation in GENERATOR]
    for evaluation, result in zip(GENERATOR, results, strict=True):
        assert isinstance(result, Evaluated)
        assert set(result.measurements) == {
            *evaluation.metrics,
            *(f"val_{one}" for one in evaluation.metrics),
        }
        for one in result.measurements.values():
            assert (one.kind, one.metric, one.label) == ("metric", evaluation.measures[0], "")
        assert {one.split for one in result.measurements.values()} == {"validation", "test"}


def test_what_is_done_is_skipped_and_changes_no_other_value(data: ImageData) -> None:
    drawn: list[int] = []

    def draw(count: int) -> torch.Tensor:
        drawn.append(count)
        return striped_images(count, seed=7)[0]

    whole = evaluate_all(GENERATOR, generator_subject(draw, data), test=True)
    rest = evaluate(GENERATOR, generator_subject(draw, data), test=True, done=["fd_classifier"])
    left = merge([one for one in rest if isinstance(one, Evaluated)])
    assert drawn == [120, 120], "as many as all evaluations need, those that are done included"
    assert values(left) == {name: value for name, value in values(whole).items() if "fd" not in name}
    everything = [evaluation.key for evaluation in GENERATOR]
    assert list(evaluate(GENERATOR, generator_subject(draw, data), test=True, done=everything)) == []
    assert drawn == [120, 120]


def test_results_survive_a_checkpoint(data: ImageData) -> None:
    subject = ImageEncoderSubject(ToyEncoder(), data, seed=0)
    [result] = evaluate([KnnConfig(neighbours=5)], subject, test=True)
    assert isinstance(result, Evaluated)
    assert result.artifacts
    assert Evaluated.from_plain(saved(result.to_plain())) == result


Stopped = tuple[Callable[[], Subject], Sequence[Evaluation], int]


def sgd(data: ImageData, clips: ClipData) -> Stopped:
    probe = LinearProbeSgdConfig(num_epochs=3, batch_size=65, crop_scale=(0.9, 1.0))
    return lambda: ImageEncoderSubject(ToyEncoder(), data, seed=3), [KnnConfig(), probe], 2 * 3


def finetune(data: ImageData, clips: ClipData) -> Stopped:
    config = DpcFinetuneConfig(num_epochs=2, batch_size=64, refit=True)
    return lambda: ClipEncoderSubject(ToyFeatures(), clips, SAMPLING, seed=3), [config], 2 * 2


def finetune_once(data: ImageData, clips: ClipData) -> Stopped:
    config = DpcFinetuneConfig(num_epochs=2, batch_size=64)
    return lambda: ClipEncoderSubject(ToyFeatures(), clips, SAMPLING, seed=3), [config], 2


def detect(data: ImageData, clips: ClipData) -> Stopped:
    config = detection_config(num_steps=3, train_short_sides=[40, 48], horizontal_flip=True)
    return lambda: ImageEncoderSubject(detection_encoder(), striped_data(), seed=3), [config], 3


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses after every unit of a training."""
    monkeypatch.setattr(probing, "STEPS_BETWEEN_PAUSES", 1)


@pytest.mark.parametrize(
    ("steps", "epochs"), [(1, [1, 2, 3, 4, 5, 6, 7]), (7, [2, 4, 6, 7]), (8, [2, 4, 6, 7]), (999, [7])]
)
def test_a_training_pauses_after_some_steps_and_at_its_end(
    steps: int, epochs: list[int], data: ImageData, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the ends of epochs, which have four steps here."""
    monkeypatch.setattr(probing, "STEPS_BETWEEN_PAUSES", steps)
    probe, subject = LinearProbeSgdConfig(num_epochs=7, batch_size=75), ToyEncoder()
    news = evaluate([probe], ImageEncoderSubject(subject, data, seed=0), test=False)
    assert [one.done for one in news if isinstance(one, EvaluationProgress)] == epochs


@pytest.mark.usefixtures("often")
@pytest.mark.parametrize(
    "stopped", [sgd, finetune, finetune_once, pytest.param(detect, marks=pytest.mark.slow)]
)
def test_a_long_evaluation_resumes_from_each_of_its_pauses(
    stopped: Callable[[ImageData, ClipData], Stopped], data: ImageData, clips: ClipData
) -> None:
    """With every value, file and later pause equal to those of an evaluation that was never stopped."""
    build, evaluations, num_pauses = stopped(data, clips)
    pauses: list[EvaluationProgress] = []
    results: list[Evaluated] = []
    for news in evaluate(evaluations, build(), test=True):
        assert torch.is_grad_enabled()
        if isinstance(news, EvaluationProgress):
            pauses.append(replace(news, state=saved(news.state)))
        else:
            results.append(news)
    assert [(one.done, one.total) for one in pauses] == [(k, num_pauses) for k in range(1, num_pauses + 1)]
    assert {one.evaluation for one in pauses} == {evaluations[-1].key}
    for pause in pauses:
        finished = [one.evaluation for one in results[:-1]]
        rest = list(evaluate(evaluations, build(), test=True, done=finished, resume_from=pause))
        later = [one.done for one in rest if isinstance(one, EvaluationProgress)]
        assert later == list(range(pause.done + 1, num_pauses + 1))
        resumed = rest[-1]
        assert isinstance(resumed, Evaluated)
        assert values(resumed) == values(results[-1])
        assert resumed.artifacts == results[-1].artifacts
        protocols = {name: one.protocol for name, one in resumed.measurements.items()}
        assert protocols == {name: one.protocol for name, one in results[-1].measurements.items()}


@pytest.mark.usefixtures("often")
def test_pauses_leave_the_encoder_and_the_modes_of_torch_as_they_were(data: ImageData) -> None:
    """At a pause the trainer may take a checkpoint of the network that is measured."""
    encoder = ToyEncoder()
    before = snapshot(encoder)
    modes = (torch.backends.cudnn.benchmark, torch.is_autocast_enabled("cpu"))
    subject = ImageEncoderSubject(encoder, data, seed=0)
    news = evaluate([LinearProbeSgdConfig(num_epochs=2), KnnConfig()], subject, test=True)
    for _ in news:
        assert_untouched(encoder, before)
        assert torch.is_grad_enabled()
        assert (torch.backends.cudnn.benchmark, torch.is_autocast_enabled("cpu")) == modes


def test_seconds_of_a_resumed_evaluation_include_those_before_the_stop(data: ImageData) -> None:
    probe = LinearProbeSgdConfig(num_epochs=3, batch_size=65)

    def build() -> ImageEncoderSubject:
        return ImageEncoderSubject(ToyEncoder(), data, seed=3)

    news = evaluate([probe], build(), test=False)
    pause = next(one for one in news if isinstance(one, EvaluationProgress))
    longer: Mapping[str, Any] = {**pause.state, "seconds": 1000.0}
    resumed = evaluate([probe], build(), test=False, resume_from=replace(pause, state=longer))
    *_, last = resumed
    assert isinstance(last, Evaluated)
    assert 1000 < last.measurements["val_linear_probe_sgd"].seconds < 2000


class Slow(Evaluation):
    """Shares the pieces that it is told to."""

    pieces: tuple[str, ...] = ()

    @property
    def measures(self) -> tuple[str, ...]:
        return (self.name,)

    @property
    def shares(self) -> tuple[str, ...]:
        return self.pieces


def test_shared_work_is_done_once_and_its_seconds_are_shared_out(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]

    def work(seconds: float, result: str) -> str:
        now[0] += seconds
        return result

    monkeypatch.setattr("ndabench.metrics.subjects.perf_counter", lambda: now[0])
    both = [Slow(name="a", pieces=("samples", "a's")), Slow(name="b", pieces=("samples",))]
    shared = SharedWork()
    shared.plan([*both, Slow(name="c")])
    start = shared.clock()

    def features() -> str:
        samples = shared.get("samples", "samples", lambda: work(8, "samples"))
        return work(2, samples + "' features")

    for _ in range(2):
        assert shared.get("a's", "features", features) == "samples' features"
    assert now == [10.0]
    assert shared.clock() == start, "shared work counts for nobody alone"
    assert [shared.seconds_of(one) for one in both] == [2 + 8 / 2, 8 / 2]
    assert shared.seconds_of(Slow(name="c")) == 0


def test_seconds_are_added_in_equal_parts() -> None:
    evaluated = Evaluated({"a": Measurement(1.0, seconds=1.0), "b": Measurement(2.0)})
    assert [one.seconds for one in evaluated.longer_by(3).measurements.values()] == [2.5, 1.5]
    assert Evaluated({}).longer_by(3) == Evaluated({})


def test_results_that_were_measured_with_numpy_can_be_held_by_a_checkpoint() -> None:
    protocol = {"mean": np.float64(0.5), "names": ("a", "b")}
    measured = Measurement(np.float64(2.5), kind="metric", metric="m", split="test", protocol=protocol)
    buffer = io.BytesIO()
    torch.save(Evaluated({"m": measured}, evaluation="m").to_plain(), buffer)
    read = Evaluated.from_plain(torch.load(io.BytesIO(buffer.getvalue()), weights_only=True))
    assert read.measurements["m"].value == 2.5
    assert read.measurements["m"].protocol == {"mean": 0.5, "names": ["a", "b"]}
