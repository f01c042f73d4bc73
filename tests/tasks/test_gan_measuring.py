"""Measuring and drawing sheets: what is measured when, and that training does not notice."""

import copy
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

from ndabench.data.images import to_float
from ndabench.data.sheets import comparison_sheet, sheet
from ndabench.measurement import MeasuredSplit, Measurement
from ndabench.metrics.generators.conditional import class_frechet, classification_accuracy_score
from ndabench.metrics.generators.config import FrechetConfig
from ndabench.metrics.generators.subject import BatchNormMode, GeneratorSubject, Weights
from ndabench.metrics.results import Evaluated, by_name
from ndabench.tasks import trainer as training_loop
from ndabench.tasks.task import Progress
from tests.tasks.gan_toys import JIGSAW, differences, gan_task, toy_data, toy_trainer


class Ledger(list[dict[str, Any]]):
    """Stands in for the evaluations: keeps what it is asked and gives the samples' mean."""

    def __call__(
        self, evaluations: Sequence[Any], subject: GeneratorSubject, *, test: bool, **_: Any
    ) -> Iterator[Evaluated]:
        subject.plan(evaluations)
        images = subject.samples()
        splits: tuple[MeasuredSplit, ...] = ("validation", "test") if test else ("validation",)
        self.extend(
            {"names": [e.metric for e in evaluations], "split": split, "images": images} for split in splits
        )
        mean = Measurement(images.float().mean().item(), protocol=dict(subject.sampling))
        for e in evaluations:
            measured = [replace(mean, metric=e.metric, split=split) for split in splits]
            yield Evaluated(by_name(measured), evaluation=e.key)


@pytest.fixture
def ledger(monkeypatch: pytest.MonkeyPatch) -> Ledger:
    ledger = Ledger()
    monkeypatch.setattr(training_loop, "evaluate", ledger)
    return ledger


OFTEN = FrechetConfig(num_samples=20, every=2)
RARELY = FrechetConfig(num_samples=12, extractor="inception")


def test_validation_on_the_way_and_the_test_split_at_the_end(ledger: Ledger) -> None:
    progress = {
        p.step: set(p.metrics)
        for p in toy_trainer(evaluations=[OFTEN, RARELY], config={"log_every": 9}).run()
    }
    assert progress[0] == {"val_fd_classifier", "val_fid"}
    assert progress[2] == {"val_fd_classifier"}
    assert progress[4] >= {"val_fd_classifier", "val_fid", "fd_classifier", "fid"}
    assert [(call["split"], len(call["names"])) for call in ledger] == [
        ("validation", 2),
        ("validation", 1),
        ("validation", 2),
        ("test", 2),
    ]
    assert torch.equal(ledger[-1]["images"], ledger[-2]["images"]), "one set of samples for both splits"


def test_the_last_step_is_saved_before_measurements_that_may_take_long(ledger: Ledger) -> None:
    config = {"log_every": 3, "checkpoint_every": 4}
    trainer, resumed = (toy_trainer(evaluations=[OFTEN], config=config, seed=1) for _ in range(2))
    *before, saved, measured = trainer.run()
    assert saved.step == measured.step == 4
    assert [p.checkpoint_due for p in (*before, saved, measured)] == [False] * 3 + [True, False]
    assert saved.metrics == {}, "who follows the records reads a step's once"
    assert {"loss_generator", "val_fd_classifier", "fd_classifier"} <= {*measured.metrics}
    resumed.load_state_dict(_state_at(saved, config))
    assert list(resumed.run()) == [saved, measured]
    assert differences(resumed.state_dict(), trainer.state_dict()) == []


def _state_at(progress: Progress, config: Mapping[str, Any]) -> dict[str, Any]:
    """The state of an equal training when it comes to say so."""
    trainer = toy_trainer(evaluations=[OFTEN], config=config, seed=1)
    next(one for one in trainer.run() if one == progress)
    return trainer.state_dict()


def test_samples_are_uint8_images_in_the_number_asked_for(ledger: Ledger) -> None:
    list(toy_trainer(evaluations=[OFTEN], config={"conditional": True}).run())
    assert all(call["images"].shape == (20, 1, 8, 8) for call in ledger)
    assert all(call["images"].dtype == torch.uint8 for call in ledger)
    assert not torch.equal(ledger[0]["images"], ledger[1]["images"])


@pytest.mark.parametrize("reference", [False, True])
def test_measuring_and_sheets_leave_training_as_it_is(ledger: Ledger, reference: bool) -> None:
    """Weights, spectral vectors, running statistics, random streams, optimisers: all of it."""
    config = {"reference": reference, "log_every": 100}
    quiet = toy_trainer(config=config, negative=JIGSAW, lambda_=0.25)
    watched = toy_trainer(
        config={**config, "sample_every": 1},
        negative=JIGSAW,
        lambda_=0.25,
        evaluations=[FrechetConfig(num_samples=20, every=1)],
    )
    list(quiet.run())
    list(watched.run())
    assert differences(quiet.state_dict(), watched.state_dict()) == []


def test_the_protocol_says_how_samples_were_drawn(ledger: Ledger) -> None:
    protocols = {}
    for reference in (False, True):
        *_, last = toy_trainer(evaluations=[OFTEN], config={"reference": reference}).run()
        protocols[reference] = dict(last.metrics["fd_classifier"].protocol)
    assert protocols[False] == {"weights": "ema", "batch_norm": "running"}
    assert protocols[True] == {"weights": "ema", "batch_norm": "batch", "batch_size": 8}


def test_the_average_is_what_is_sampled() -> None:
    trainer = toy_trainer()
    list(trainer.run())
    before = gan_task(trainer).sampler.sample(8, stream="x")
    with torch.no_grad():
        gan_task(trainer).generator.get_parameter("to_image.bias").add_(1)
    assert torch.equal(gan_task(trainer).sampler.sample(8, stream="x"), before)
    with torch.no_grad():
        gan_task(trainer).average.network.get_parameter("to_image.bias").add_(1)
    assert not torch.equal(gan_task(trainer).sampler.sample(8, stream="x"), before)


@pytest.mark.parametrize("batch_norm", ["running", "batch"])
def test_the_live_generator_is_sampled_and_judged_without_a_trace(batch_norm: BatchNormMode) -> None:
    """Both networks are in training mode, in which a forward pass would move moments and spectral vectors."""
    trainer = toy_trainer(config={"conditional": True})
    list(trainer.run())
    task, before = gan_task(trainer), copy.deepcopy(trainer.state_dict())
    subject = task.subject(4)
    assert (subject.weights, subject.batch_norm) == ("ema", "running")
    modes: tuple[Weights, ...] = ("ema", "live")
    samples = {
        weights: subject.sample(8, stream="x", weights=weights, batch_norm=batch_norm) for weights in modes
    }
    assert not torch.equal(samples["ema"], samples["live"])
    assert all(images.shape == (8, 1, 8, 8) and images.dtype == torch.uint8 for images in samples.values())
    again = subject.sample(8, stream="x", weights="live", batch_norm=batch_norm)
    assert torch.equal(again, samples["live"])
    labels = torch.arange(8) % 3
    for images in (to_float(samples["live"]), torch.zeros(8, 1, 8, 8)):
        assert subject.logit(images, labels).shape == (8,)
    assert task.generator.training
    assert task.discriminator.training
    assert differences(trainer.state_dict(), before) == []


def _opened(png: bytes) -> Image.Image:
    return Image.open(io.BytesIO(png))


def test_sheets_are_pictures_of_eight_columns() -> None:
    trainer = toy_trainer(negative=JIGSAW, lambda_=0.25, positive=JIGSAW, config={"num_sheet_rows": 2})
    first = next(trainer.run())
    assert set(first.artifacts) == {"samples.png", "negatives.png", "positives.png"}
    assert _opened(first.artifacts["samples.png"]).size == (8 * 9 + 1, 2 * 9 + 1)
    assert _opened(first.artifacts["negatives.png"]).size == (8 * 9 + 1, 8 * 9 + 1)


def test_a_comparison_has_every_row_above_what_became_of_it() -> None:
    images = torch.arange(12, dtype=torch.uint8)[:, None, None, None].expand(-1, 3, 2, 2)
    rows = comparison_sheet(images[:8], 100 + images[:8])
    assert rows == sheet(torch.cat([images[:8], 100 + images[:8]]))


def test_negatives_are_shown_with_the_training_images_they_came_from() -> None:
    trainer = toy_trainer(negative=lambda images, *, generator: -images, lambda_=0.25)
    picture = _opened(next(trainer.run()).artifacts["negatives.png"]).convert("L")
    originals: Tensor = next(iter(toy_data().train.batches([torch.arange(1)])))[0]
    assert picture.getpixel((1, 1)) == originals[0, 0, 0, 0]
    assert picture.getpixel((1, 10)) == 255 - originals[0, 0, 0, 0]


def test_classes_are_those_that_a_conditional_generator_drew_its_images_for() -> None:
    """Of a real conditional GAN whose classes differ in brightness, by `class_fd` and `cas` on the pixels."""
    task = gan_task(toy_trainer(config={"conditional": True, "width": 4}))
    network: Any = task.average.network
    with torch.no_grad():
        network.blocks[-1].norm2.bias += 3 * torch.arange(3.0)[:, None]

    def drawn(stream: str, count: int) -> tuple[Tensor, Tensor]:
        subject = replace(task.subject(4), stream=stream, num_samples=count)
        pixels = subject.samples().flatten(1).float()[:, ::8]
        return pixels, subject.labels(count)

    (real, real_labels), (fake, fake_labels) = drawn("evaluation/3", 90), drawn("evaluation/4", 101)
    names = ("a", "b", "c")
    right = class_frechet(real, real_labels, fake, fake_labels, names)
    wrong = class_frechet(real, real_labels, fake, (fake_labels + 1) % 3, names)
    assert max(right) < 0.1 * min(wrong)
    percent_right, percent_wrong = (
        classification_accuracy_score(real, real_labels, fake, labels, l2=0.01, max_iterations=10_000)[0]
        for labels in (fake_labels, (fake_labels + 1) % 3)
    )
    assert percent_right > 95
    assert percent_wrong < 5
