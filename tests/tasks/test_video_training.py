"""What a contrastive training on clips does: its methods, its arms, its pauses, its errors."""

from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ndabench.data.videos.feeding import greyscale_clips
from ndabench.distributed import Workers
from ndabench.errors import UserError
from ndabench.metrics.clip_encoders.config import ClipLinearProbeConfig, RetrievalConfig
from ndabench.models.dpc import Dpc
from ndabench.tasks.contrastive.dpc import DpcMethod
from ndabench.tasks.setup import TrialSetup
from ndabench.tasks.trainer import Trainer, build_trainer
from tests.tasks.contrastive_toys import contrastive_task, inputs_of
from tests.tasks.gan_toys import differences
from tests.tasks.stopping import assert_resumes_exactly
from tests.tasks.video_toys import (
    DPC,
    METHODS,
    MOCO,
    SPLICE,
    toy_settings,
    toy_training,
    toy_videos,
)


def _never(clips: Tensor, *, generator: torch.Generator) -> Tensor:
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
def test_a_vanishing_lambda_trains_as_the_plain_loss(method: str) -> None:
    plain = toy_training(METHODS[method])
    vanishing = toy_training(METHODS[method], negative=SPLICE, lambda_=1e-30)
    list(plain.run())
    list(vanishing.run())
    assert differences(_state(plain)["network"], _state(vanishing)["network"]) == []


@pytest.mark.parametrize("method", METHODS)
def test_negatives_change_the_training_but_not_its_views_or_order(method: str) -> None:
    plain = toy_training(METHODS[method])
    trainer = toy_training(METHODS[method], negative=SPLICE, lambda_=1.0)
    list(plain.run())
    list(trainer.run())
    changed = differences(_state(plain)["network"], _state(trainer)["network"])
    assert any(name.endswith("conv1.weight") for name in changed)
    for name in ("views", "order", "positives", "dropout"):
        assert torch.equal(trainer.task.streams[name].get_state(), plain.task.streams[name].get_state()), name


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_stopped_anywhere_and_gone_on_with_it_ends_the_same(method: str) -> None:
    def trainer() -> Trainer:
        config = {**METHODS[method], "checkpoint_every": 1, "log_every": 3}
        return toy_training(config, negative=SPLICE, lambda_=0.5, seed=3, evaluations=[RetrievalConfig()])

    assert_resumes_exactly(trainer, "retrieval_r1")


def test_positives_change_every_view() -> None:
    def grey_out(clips: Tensor, *, generator: torch.Generator) -> Tensor:
        return torch.zeros_like(clips)

    inputs = inputs_of(toy_training(positive=grey_out, negative=SPLICE, lambda_=1.0))
    assert not inputs.clips.any()
    (pair,) = inputs_of(toy_training({"method": MOCO}, positive=grey_out))
    assert not pair.query.any()
    assert not pair.key.any()


def test_pairs_of_clips_may_have_another_size_and_negatives_of_the_clip_itself() -> None:
    for source in ("query", "raw"):
        config = {"method": MOCO, "views": {"size": 12}, "nda_source": source}
        (pair,) = inputs_of(toy_training(config, negative=SPLICE, lambda_=1.0))
        assert pair.query.shape == pair.nda[0].shape == (8, 3, 8, 12, 12)


def test_it_measures_validation_on_the_way_and_the_test_split_at_the_end() -> None:
    trainer = toy_training(evaluations=[RetrievalConfig(every=2), ClipLinearProbeConfig()])
    found = {
        p.step: {n for n in p.metrics if n.removeprefix("val_") == "retrieval_r1" or "probe" in n}
        for p in trainer.run()
    }
    probe = {"val_linear_probe", "linear_probe", "linear_probe_penalty"}
    curve = {"val_retrieval_r1"}
    assert found == {0: curve, 1: set(), 2: curve, 3: set(), 4: curve | {"retrieval_r1"} | probe}


def test_its_files_are_film_strips_at_first_and_the_encoder_at_last(tmp_path: Any) -> None:
    trainer = toy_training(negative=SPLICE, lambda_=1.0)
    files = {p.step: dict(p.artifacts) for p in trainer.run()}
    assert {step: set(found) for step, found in files.items()} == {
        0: {"views.png", "negatives.png"}, 1: set(), 2: set(), 3: set(), 4: {"encoder.pt", "dpc.pt"}
    }  # fmt: skip
    (tmp_path / "encoder.pt").write_bytes(files[4]["encoder.pt"])
    encoder = {"name": "resnet2d3d", "width": 2, "stem": "cifar", "weights": str(tmp_path / "encoder.pt")}
    started = toy_training({"encoder": encoder, "method": MOCO, "num_steps": 0}, seed=5)
    bodies = (contrastive_task(one).source.encoder.get_submodule("body") for one in (trainer, started))
    assert differences(*(body.state_dict() for body in bodies)) == []
    (tmp_path / "dpc.pt").write_bytes(files[4]["dpc.pt"])
    whole = {**DPC, "weights": str(tmp_path / "dpc.pt")}
    measured = toy_training({"method": whole, "num_steps": 0}, seed=5)
    assert (
        differences(
            contrastive_task(measured).method.features.state_dict(),
            contrastive_task(trainer).method.features.state_dict(),
        )
        == []
    )
    with pytest.raises(UserError, match=r"dpc\.pt does not fit DPC over this encoder"):
        toy_training({"method": whole, "encoder": {**encoder, "width": 4, "weights": None}, "num_steps": 0})
    with pytest.raises(ValueError, match="leave the ConvGRU of dpc untrained"):
        toy_training({"encoder": encoder, "num_steps": 0})


@pytest.mark.parametrize("method", METHODS)
def test_no_steps_only_evaluate(method: str) -> None:
    trainer = toy_training({**METHODS[method], "num_steps": 0}, evaluations=[RetrievalConfig()])
    (progress,) = list(trainer.run())
    assert progress.num_images == 0
    assert {"retrieval_r1", "val_retrieval_r1"} <= set(progress.metrics)
    assert not {"views.png", "negatives.png"} & set(progress.artifacts)


def test_recomputing_saves_memory_and_changes_nothing() -> None:
    encoder = {"name": "resnet2d3d", "width": 2, "stem": "cifar"}
    plain = toy_training({"num_steps": 2}, negative=SPLICE, lambda_=1.0)
    again = toy_training(
        {"encoder": {**encoder, "recompute": True}, "num_steps": 2}, negative=SPLICE, lambda_=1.0
    )
    list(plain.run())
    list(again.run())
    assert differences(_state(plain)["network"], _state(again)["network"]) == []


def test_half_precision_is_close() -> None:
    losses = {}
    for precision in ("fp32", "bf16"):
        trainer = toy_training({"precision": precision, "num_steps": 1}, negative=SPLICE, lambda_=1.0)
        losses[precision] = [*trainer.run()][-1].metrics["loss"].value
    assert losses["bf16"] == pytest.approx(losses["fp32"], rel=0.05)
    assert losses["bf16"] != losses["fp32"]


def test_the_learning_rate_drops_or_falls_along_a_cosine() -> None:
    drops = toy_settings(num_steps=10, num_warm_up_steps=2, learning_rate=1.0, lr_milestones=(0.5, 0.8))
    assert [drops.learning_rate_at(step) for step in range(10)] == pytest.approx(
        [0.5, 1, 1, 1, 1, 0.1, 0.1, 0.1, 0.01, 0.01]
    )
    cosine = toy_settings(num_steps=10, learning_rate=1.0)
    assert cosine.learning_rate_at(5) == pytest.approx(0.5)


def test_colours_may_be_drawn_for_each_frame() -> None:
    views = {
        "color_jitter_per": "frame",
        "crop_scale": (1.0, 1.0),
        "flip": 0.0,
        "jitter": (0.9, 0.0, 0.0, 0.0),
    }
    inputs = inputs_of(toy_training({"views": {**views, "jitter_probability": 1.0, "grayscale": 0.0}}))
    still = F.avg_pool3d(inputs.clips, (1, 16, 16))
    assert (still.std(2) > 0.02).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lambda_": 1.0}, "lambda 1.0 weighs the keys of a negative, but there is none"),
        ({"workers": Workers(world_size=3)}, "cannot be shared equally by 3 workers"),
        ({"config": {"batch_size": 30}}, "batch_size 30 exceeds the number of training videos, 24"),
        ({"config": {"views": {"size": 24}}}, "its frames are 16×16, but the encoder looks at 24×24"),
    ],
)
def test_what_does_not_fit_together_is_refused_at_once(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        toy_training(**changes)


def test_clips_that_the_memory_cannot_hold_are_refused_with_what_would_fit() -> None:
    videos = toy_videos()
    pixels = torch.empty(1, 1, 1, 1, dtype=torch.uint8).expand(48, 10, 4096, 4096)
    train = greyscale_clips(pixels, torch.zeros(24, dtype=torch.int64), torch.arange(24))
    huge = replace(videos, train=train, frame_shape=(3, 4096, 4096))
    with pytest.raises(UserError, match=r"8 clips of 1024 frames of 4096×4096 take .* GiB.*would fit"):
        build_trainer(TrialSetup(toy_settings(clip_frames=1024), huge))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"encoder": "r3d_18"},
            "method dpc predicts the maps of a resnet2d3d; r3d_18 goes with moco or simclr",
        ),
        ({"clip_frames": 10}, "clip_frames 10 cannot be cut into 4 equal blocks"),
        ({"method": {**DPC, "num_predicted": 4}}, "num_predicted 4 of 4 blocks leaves none to predict from"),
        ({"temperature": 0.2}, "temperature means nothing to method dpc"),
        ({"views": {"color_jitter_per": "pixel"}}, "color_jitter_per"),
        ({"views": {"crop_ratio": (2.0, 1.0)}}, "crop_ratio needs 0 < low <= high"),
        (
            {"method": {**DPC, "batch_norm_splits": 3}},
            "batch_norm_splits 3 does not divide the batch_size",
        ),
        ({"views": {"crop_scale": (0.9, 0.2)}}, "crop_scale needs 0 < low <= high <= 1"),
        ({"lr_milestones": (1.5,)}, "lr_milestones"),
    ],
)
def test_a_configuration_that_does_not_fit_together(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        toy_settings(**changes)


def test_the_network_that_is_measured_is_the_one_that_is_trained() -> None:
    trainer = toy_training()
    task = contrastive_task(trainer)
    assert isinstance(task.method, DpcMethod)
    assert isinstance(task.method.network, Dpc)
    trained = {id(p) for p in task.method.network.parameters()}
    measured = {id(p) for p in task.method.features.parameters()}
    exported = {id(p) for p in task.source.encoder.get_submodule("body").parameters()}
    assert exported < measured < trained
