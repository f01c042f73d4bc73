"""What a contrastive training does: its arms, its curves, its pauses, its errors."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ndabench.distributed import Workers
from ndabench.errors import UserError
from ndabench.metrics.image_encoders.config import KnnConfig, LinearProbeLbfgsConfig
from ndabench.metrics.subjects import Subject
from ndabench.tasks.contrastive.moco import Moco
from ndabench.tasks.contrastive.source import Source
from ndabench.tasks.setup import TrialSetup
from ndabench.tasks.task import DivergedError
from ndabench.tasks.trainer import Trainer, build_trainer
from tests.tasks.contrastive_toys import (
    MOCO,
    STITCH,
    SYMMETRIC,
    contrastive_task,
    inputs_of,
    toy_pictures,
    toy_settings,
    toy_training,
)
from tests.tasks.gan_toys import differences
from tests.tasks.stopping import assert_resumes_exactly

METHODS: dict[str, dict[str, Any]] = {
    "moco": {"method": MOCO},
    "symmetric moco": {"method": SYMMETRIC},
    "simclr": {"method": "simclr"},
}
PROBE = ("val_linear_probe_lbfgs", "linear_probe_lbfgs", "linear_probe_lbfgs_penalty")


def _never(images: Tensor, *, generator: torch.Generator) -> Tensor:
    raise AssertionError("must not be called")


def _state(trainer: Trainer) -> dict[str, Any]:
    return {key: value for key, value in trainer.state_dict().items() if key not in ("made_by", "streams")}


@pytest.mark.parametrize("method", METHODS)
def test_lambda_zero_is_the_plain_loss_to_the_bit_and_draws_no_negative(method: str) -> None:
    plain, with_negative = toy_training(METHODS[method]), toy_training(METHODS[method], negative=_never)
    list(plain.run())
    list(with_negative.run())
    assert differences(_state(plain), _state(with_negative)) == []


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("source", ["query", "key", "raw"])
def test_a_vanishing_lambda_trains_as_the_plain_loss(method: str, source: str) -> None:
    config = {**METHODS[method], "nda_source": source}
    plain, vanishing = toy_training(config), toy_training(config, negative=STITCH, lambda_=1e-30)
    list(plain.run())
    list(vanishing.run())
    assert differences(_state(plain)["network"], _state(vanishing)["network"]) == []


@pytest.mark.parametrize("method", METHODS)
def test_negatives_change_the_training_but_not_its_views_or_order(method: str) -> None:
    plain, trainer = (
        toy_training(METHODS[method]),
        toy_training(METHODS[method], negative=STITCH, lambda_=1.0),
    )
    list(plain.run())
    list(trainer.run())
    assert "/encoder.conv1.weight" in differences(_state(plain)["network"], _state(trainer)["network"])
    for name in ("views", "order", "positives"):
        assert torch.equal(trainer.task.streams[name].get_state(), plain.task.streams[name].get_state()), name


def test_nda_keys_never_enter_the_queue() -> None:
    trainer = toy_training({"num_nda_keys": 3}, negative=STITCH, lambda_=1.0)
    moco = contrastive_task(trainer).method
    assert isinstance(moco, Moco)
    queue = moco.queue
    before = queue.keys.clone()
    run = trainer.run()
    next(run)
    next(run)
    changed = (queue.keys != before).any(1)
    assert changed.tolist() == [True] * 8 + [False] * 8


def test_the_key_network_trails_the_trained_one() -> None:
    trainer = toy_training({"method": {**MOCO, "key_momentum": 0.75}, "num_steps": 1})
    moco = contrastive_task(trainer).method
    assert isinstance(moco, Moco)
    start = [p.clone() for p in moco.network.parameters()]
    list(trainer.run())
    now = list(moco.network.parameters())
    assert all(torch.equal(a, b) for a, b in zip(start, moco.key_network.parameters(), strict=True))
    assert any(not torch.equal(a, b) for a, b in zip(start, now, strict=True))
    moco.loss(inputs_of(trainer))
    for first, last, key in zip(start, now, moco.key_network.parameters(), strict=True):
        torch.testing.assert_close(key, 0.75 * first + 0.25 * last)


@pytest.mark.parametrize("method", METHODS)
def test_stopped_anywhere_and_gone_on_with_it_ends_the_same(method: str) -> None:
    def trainer() -> Trainer:
        config = {**METHODS[method], "checkpoint_every": 1, "log_every": 3}
        return toy_training(config, negative=STITCH, lambda_=0.5, seed=3, evaluations=[KnnConfig(every=2)])

    assert_resumes_exactly(trainer, "knn")


def test_the_state_of_another_training_is_refused() -> None:
    state = toy_training().state_dict()
    with pytest.raises(UserError, match=r"belongs to another training: its temperature is 0\.1"):
        toy_training({"temperature": 0.2}).load_state_dict(state)


def test_it_measures_validation_on_the_way_and_the_test_split_at_the_end() -> None:
    evaluations = [KnnConfig(every=2, neighbours=5), LinearProbeLbfgsConfig()]
    trainer = toy_training(evaluations=evaluations)
    named = {p.step: {n for n in p.metrics if "knn" in n or "probe" in n} for p in trainer.run()}
    assert named == {
        0: {"val_knn"},
        1: set(),
        2: {"val_knn"},
        3: set(),
        4: {"val_knn", "knn", *PROBE},
    }


def test_its_files_are_sheets_at_first_and_the_encoder_at_last() -> None:
    files = {p.step: set(p.artifacts) for p in toy_training(negative=STITCH, lambda_=1.0).run()}
    assert files == {0: {"views.png", "negatives.png"}, 1: set(), 2: set(), 3: set(), 4: {"encoder.pt"}}


def test_the_encoder_is_saved_before_evaluations_that_may_take_hours() -> None:
    trainer = toy_training(evaluations=[KnnConfig(neighbours=5)])
    *_, saved, measured = trainer.run()
    assert saved.step == measured.step == 4
    assert saved.checkpoint_due
    assert "encoder.pt" in saved.artifacts
    assert not measured.checkpoint_due
    assert saved.metrics == {}, "who follows the records reads a step's once"
    assert {"loss", "val_knn", "knn"} <= {*measured.metrics}
    assert "encoder.pt" in measured.artifacts, "the second record of a step's files replaces the first"
    resumed = toy_training(evaluations=[KnnConfig(neighbours=5)])
    resumed.load_state_dict(trainer.state_dict())
    *_, again = resumed.run()
    assert {n: m.value for n, m in again.metrics.items()} == {n: m.value for n, m in measured.metrics.items()}


def test_nothing_is_read_ahead_while_it_is_measured() -> None:
    trainer = toy_training(evaluations=[KnnConfig(every=2, neighbours=5)])
    expected = [(p.step, {n: m.value for n, m in p.metrics.items()}) for p in trainer.run()]
    trainer = toy_training(evaluations=[KnnConfig(every=2, neighbours=5)])
    task = contrastive_task(trainer)
    task.source = watched = Watched(task.source)
    assert [(p.step, {n: m.value for n, m in p.metrics.items()}) for p in trainer.run()] == expected
    assert watched.begun == [0, 2]
    assert watched.looked_at == 3


class Watched:
    """A source that is not to be asked for measurements while it gives out batches."""

    def __init__(self, source: Source) -> None:
        self.source, self.open, self.looked_at = source, False, 0
        self.begun: list[int] = []
        self.encoder, self.example, self.shown = source.encoder, source.example, source.shown
        self.exports, self.exported = source.exports, source.exported

    def batches(self, start: int) -> Iterator[Tensor]:
        self.begun.append(start)
        self.open = True
        try:
            yield from self.source.batches(start)
        finally:
            self.open = False

    def subject(self, features: nn.Module) -> Subject:
        assert not self.open
        self.looked_at += 1
        return self.source.subject(features)


def test_no_steps_only_evaluate() -> None:
    evaluations = [KnnConfig(neighbours=5), LinearProbeLbfgsConfig()]
    for encoder in ("resnet18", "pixels"):
        trainer = toy_training({"num_steps": 0, "encoder": encoder}, evaluations=evaluations)
        *before, progress = trainer.run()
        assert [(one.checkpoint_due, one.metrics) for one in before] == [(True, {})], "after the first of two"
        assert progress.step == progress.num_steps == progress.num_images == 0
        assert {"knn", "val_knn", *PROBE} == set(progress.metrics)
    assert progress.metrics["linear_probe_lbfgs"].value > 90, "bars are plain to see in the pixels"


def test_an_exported_encoder_is_where_another_arm_can_start(tmp_path: Any) -> None:
    trained = toy_training()
    *_, last = trained.run()
    file = tmp_path / "encoder.pt"
    file.write_bytes(last.artifacts["encoder.pt"])
    encoder = {"name": "resnet", "width": 2, "weights": str(file)}
    started = toy_training({"encoder": encoder, "num_steps": 0}, seed=5)
    encoders = (contrastive_task(one).source.encoder for one in (started, trained))
    assert differences(*(network.state_dict() for network in encoders)) == []
    with pytest.raises(UserError, match=r"encoder\.pt holds the weights of ResNet-18 of width 2 .* width 4"):
        toy_training({"encoder": {**encoder, "width": 4}})


def test_positives_change_every_view_and_no_raw_image() -> None:
    def grey_out(images: Tensor, *, generator: torch.Generator) -> Tensor:
        return torch.zeros_like(images)

    trainer = toy_training({"nda_source": "raw"}, positive=grey_out, negative=STITCH, lambda_=1.0)
    (pair,) = inputs_of(trainer)
    assert not pair.query.any()
    assert not pair.key.any()
    assert pair.nda[0].any()


@pytest.mark.parametrize("source", ["query", "key"])
def test_nda_keys_are_made_of_the_querys_own_image(source: str) -> None:
    def negate(images: Tensor, *, generator: torch.Generator) -> Tensor:
        return -images

    trainer = toy_training({"nda_source": source, "num_nda_keys": 2}, negative=negate, lambda_=1.0)
    (pair,) = inputs_of(trainer)
    source_view = pair.query[pair.order] if source == "query" else pair.key
    assert [torch.equal(nda, -source_view) for nda in pair.nda] == [True, True]


def test_views_may_have_another_size() -> None:
    for source in ("query", "raw"):
        trainer = toy_training({"views": {"size": 4}, "nda_source": source}, negative=STITCH, lambda_=1.0)
        (pair,) = inputs_of(trainer)
        assert pair.query.shape == pair.nda[0].shape == (8, 3, 4, 4)
    assert toy_settings(views={"size": 4}).shown_shape((3, 8, 8)) == (3, 4, 4)


def test_the_learning_rate_warms_up_and_falls_along_a_cosine() -> None:
    config = toy_settings(num_steps=10, num_warm_up_steps=2, learning_rate=1.0)
    rates = [config.learning_rate_at(step) for step in range(10)]
    assert rates[:3] == [0.5, 1.0, 1.0]
    assert rates[6] == pytest.approx(0.5)
    assert sorted(rates[2:], reverse=True) == rates[2:]
    assert config.learning_rate_at(10) == pytest.approx(0.0)


def test_a_training_that_leaves_the_finite_numbers_says_so() -> None:
    with pytest.raises(DivergedError, match="at step"):
        list(toy_training({"learning_rate": 1e6, "num_steps": 6, "temperature": 1e-3}).run())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lambda_": -1.0, "negative": STITCH}, r"lambda must lie in \[0, ∞\), got -1\.0"),
        ({"lambda_": 1.0}, "lambda 1.0 weighs the keys of a negative, but there is none"),
        ({"workers": Workers(world_size=3)}, "cannot be shared equally by 3 workers"),
        (
            {"config": {"batch_size": 72, "method": "simclr"}},
            "batch_size 72 exceeds the number of training images, 64",
        ),
    ],
)
def test_what_does_not_fit_together_is_refused_at_once(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        toy_training(**changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"encoder": "pixels"}, "the encoder pixels has nothing to train; set num_steps: 0"),
        (
            {"method": {**MOCO, "queue_size": 4}},
            "queue_size 4 is smaller than the 8 keys of a step",
        ),
        (
            {"method": {**MOCO, "queue_size": 20}},
            "queue_size 20 is not a multiple of the 8 keys of a step",
        ),
        (
            {"method": {**MOCO, "symmetric": True, "queue_size": 24}},
            r"queue_size 24 is not a multiple of the 16 keys of a step \(both views of a batch\)",
        ),
        (
            {"method": {**MOCO, "batch_norm_splits": 3}},
            "batch_norm_splits 3 does not divide the batch_size of 8",
        ),
        ({"method": {"name": "simclr", "batch_norm_splits": 2}}, "batch_norm_splits"),
        ({"views": {"crop_scale": (0.9, 0.2)}}, "crop_scale needs 0 < low <= high <= 1"),
        ({"num_warm_up_steps": 5}, "num_warm_up_steps 5 must not exceed num_steps 4"),
    ],
)
def test_a_configuration_that_does_not_fit_together(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        toy_settings(**changes)


def test_grey_pictures_train_too() -> None:
    trainer = build_trainer(
        TrialSetup(toy_settings(), toy_pictures(channels=1), negative=STITCH, lambda_=1.0)
    )
    assert {p.step for p in trainer.run()} == {0, 1, 2, 3, 4}
