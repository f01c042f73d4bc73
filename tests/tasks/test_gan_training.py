"""What a training of the GAN task does: its arms, its curves, its pauses, its errors."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import relu

from ndabench.config import parse
from ndabench.distributed import Workers
from ndabench.errors import UserError
from ndabench.tasks.gan.config import GanConfig
from ndabench.tasks.setup import TrialSetup
from ndabench.tasks.task import DivergedError
from ndabench.tasks.trainer import Trainer, build_trainer
from tests.tasks.gan_toys import JIGSAW, differences, gan_task, toy_config, toy_data, toy_trainer


def _trained(**arguments: Any) -> tuple[Trainer, dict[str, Any]]:
    trainer = toy_trainer(**arguments)
    list(trainer.run())
    state = trainer.state_dict()
    return trainer, {key: value for key, value in state.items() if key not in ("made_by", "streams")}


def _never(images: Tensor, *, generator: torch.Generator) -> Tensor:
    raise AssertionError("must not be called")


def test_lambda_one_is_the_plain_gan_to_the_bit_and_draws_no_negative() -> None:
    _, plain = _trained()
    _, with_negative = _trained(negative=_never, lambda_=1.0)
    assert differences(plain, with_negative) == []


def test_negatives_change_the_training_but_not_its_noise_labels_or_order() -> None:
    plain_task, plain = _trained(config={"conditional": True})
    trainer, state = _trained(config={"conditional": True}, negative=JIGSAW, lambda_=0.25)
    changed = differences(plain["generator"], state["generator"])
    assert "/to_image.weight.value" in changed
    for name in ("noise", "labels", "flips", "positives"):
        assert torch.equal(
            trainer.task.streams[name].get_state(), plain_task.task.streams[name].get_state()
        ), name


def test_a_negative_sees_each_global_real_batch_and_keeps_its_labels() -> None:
    seen: list[Tensor] = []

    def spy(images: Tensor, *, generator: torch.Generator) -> Tensor:
        seen.append(images)
        return -images

    trainer = toy_trainer(negative=spy, lambda_=0.5, config={"conditional": True})
    judged: list[tuple[Tensor, Tensor]] = []
    discriminate = gan_task(trainer).discriminator.forward

    def record(images: Tensor, labels: Tensor) -> Tensor:
        judged.append((images, labels))
        return discriminate(images, labels)

    gan_task(trainer).discriminate = record
    real = gan_task(trainer).real.batches(trainer.task.streams, start=0)
    images, labels = next(real)
    gan_task(trainer)._train_discriminator(images, labels)
    ((all_images, all_labels),) = judged
    assert torch.equal(seen[0], images)
    assert torch.equal(all_images[:8], images)
    assert torch.equal(all_images[16:], -images)
    assert torch.equal(all_labels[:8], labels)
    assert torch.equal(all_labels[16:], labels)


def test_more_fakes_are_further_draws_of_the_same_generator() -> None:
    """Their loss is the mean over all of them, each batch with its own noise; the real side is unchanged."""
    trainer = toy_trainer(config={"fakes_per_real": 3, "num_discriminator_steps": 1})
    task = gan_task(trainer)
    noise, labels = (torch.Generator().set_state(task.streams[n].get_state()) for n in ("noise", "labels"))
    seen: list[tuple[Tensor, Tensor]] = []
    forward = task.discriminator_forward

    def watched(discriminate: Any, batches: Any) -> Any:
        seen.extend(batches)
        return forward(discriminate, batches)

    task.discriminator_forward = watched
    [(real, real_labels)] = next(task.batches(0))
    generator = copy.deepcopy(task.generator)  # each forward pass is a power iteration of its spectral norms
    with torch.no_grad():
        expected = [generator(*task.latents.draw(8, noise=noise, labels=labels)) for _ in range(3)]
    values = task._train_discriminator(real, real_labels)
    assert [len(images) for images, _ in seen] == [8, 24]
    assert torch.equal(seen[0][0], real)
    torch.testing.assert_close(seen[1][0], torch.cat(expected))
    cost = relu(1 - values["logit_real"]).mean() + relu(1 + values["logit_fake"]).mean()
    torch.testing.assert_close(values["loss_discriminator"], cost)


def test_reference_mode_judges_the_negatives_apart() -> None:
    sizes: dict[bool, list[int]] = {}
    for reference in (False, True):
        trainer = toy_trainer(negative=JIGSAW, lambda_=0.25, config={"reference": reference})
        sizes[reference] = []
        gan_task(trainer).discriminator.register_forward_hook(
            lambda _, inputs, __, sizes=sizes[reference]: sizes.append(len(inputs[0]))
        )
        gan_task(trainer)._train_discriminator(
            *next(gan_task(trainer).real.batches(trainer.task.streams, start=0))
        )
        assert gan_task(trainer).sampler.batch_statistics is reference
    assert sizes == {False: [24], True: [16, 8]}


def test_a_positive_augmentation_enters_where_the_real_images_do() -> None:
    trainer = toy_trainer(positive=lambda images, *, generator: images * 0 + 0.5)
    images, labels = next(gan_task(trainer).real.batches(trainer.task.streams, start=0))
    assert torch.equal(images, torch.full_like(images, 0.5))
    assert torch.equal(labels, torch.zeros(8, dtype=torch.long))


def test_flips_mirror_about_half_of_the_real_images() -> None:
    plain, flipped = (
        toy_trainer(config={"batch_size": 64}),
        toy_trainer(config={"batch_size": 64}, horizontal_flip=True),
    )
    before, _ = next(gan_task(plain).real.batches(plain.task.streams, start=0))
    after, _ = next(gan_task(flipped).real.batches(flipped.task.streams, start=0))
    mirrored = (after == before.flip(-1)).flatten(1).all(1)
    kept = (after == before).flatten(1).all(1)
    assert (mirrored ^ kept).all()
    assert 16 < mirrored.sum() < 48


def test_several_discriminator_steps_take_a_new_batch_each() -> None:
    seen: list[Tensor] = []

    def spy(images: Tensor, *, generator: torch.Generator) -> Tensor:
        seen.append(images)
        return images

    config = {"num_steps": 2, "num_discriminator_steps": 4}
    trainer = toy_trainer(positive=spy, config=config)
    progress = list(trainer.run())
    batches = [batch for batch in seen if len(batch) == 8][:8]
    assert len({tuple(batch.flatten().tolist()) for batch in batches}) == 8
    assert progress[-1].num_images == 2 * 4 * 8


@pytest.mark.parametrize("losses", ["hinge", "non_saturating"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_every_loss_and_precision_trains_on_finite_numbers(losses: str, precision: str) -> None:
    trainer, _ = _trained(negative=JIGSAW, lambda_=0.5, config={"losses": losses, "precision": precision})
    assert all(parameter.dtype == torch.float32 for parameter in gan_task(trainer).generator.parameters())


def test_progress_comes_when_something_is_due_once_a_step() -> None:
    config = {"num_steps": 7, "log_every": 3, "checkpoint_every": 2, "sample_every": 6}
    trainer = toy_trainer(config=config, negative=JIGSAW, lambda_=0.25)
    progress = {p.step: p for p in trainer.run()}
    assert list(progress) == [0, 2, 3, 4, 6, 7]
    assert [step for step, p in progress.items() if p.checkpoint_due] == [2, 4, 6, 7]
    assert [step for step, p in progress.items() if "samples.png" in p.artifacts] == [0, 6, 7]
    assert [step for step, p in progress.items() if "negatives.png" in p.artifacts] == [0]
    curves = {"loss_discriminator", "loss_generator", "logit_real", "logit_fake", "logit_negative"}
    assert {step: set(p.metrics) for step, p in progress.items()} == {
        0: set(),
        2: set(),
        3: curves,
        4: set(),
        6: curves,
        7: curves,
    }
    assert all(p.num_steps == 7 for p in progress.values())


def test_curves_are_means_since_the_last_log() -> None:
    each = [p.metrics for p in toy_trainer().run()][1:]
    (mean,) = [p.metrics for p in toy_trainer(config={"log_every": 4}).run()][1:]
    for name, measurement in mean.items():
        expected = sum(metrics[name].value for metrics in each) / 4
        assert measurement.value == pytest.approx(expected, rel=1e-5)


def test_divergence_ends_the_training_with_step_and_reason() -> None:
    trainer = toy_trainer(config={"num_steps": 10, "log_every": 3})
    run = trainer.run()
    next(run)
    with torch.no_grad():
        gan_task(trainer).generator.get_parameter("to_image.bias").fill_(float("nan"))
    with pytest.raises(DivergedError, match=r"^loss_discriminator is nan at step 3$"):
        list(run)


def test_a_weight_that_is_not_finite_is_a_divergence() -> None:
    trainer = toy_trainer()
    with torch.no_grad():
        gan_task(trainer).discriminator.get_parameter("linear.bias").fill_(float("inf"))
    with pytest.raises(DivergedError, match="discriminator's weights is inf at step 0"):
        next(trainer.run())


def test_nothing_touches_the_global_random_state() -> None:
    state = torch.get_rng_state()
    list(toy_trainer(negative=JIGSAW, lambda_=0.25, horizontal_flip=True).run())
    assert torch.equal(torch.get_rng_state(), state)


def test_the_callers_gradient_mode_is_its_own() -> None:
    for _ in toy_trainer().run():
        assert torch.is_grad_enabled()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"lambda_": 0.25}, "lambda 0.25 .* there is none"),
        ({"lambda_": 0.0, "negative": JIGSAW}, r"lambda must lie in \(0, 1\], got 0.0"),
        ({"workers": Workers(0, 3)}, "batch_size 8 cannot be shared equally by 3 workers"),
    ],
)
def test_what_does_not_fit_together_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        toy_trainer(**arguments)


def test_images_must_fit_the_networks() -> None:
    with pytest.raises(UserError, match="set the data's image_size"):
        build_trainer(TrialSetup(toy_config(), toy_data(size=10)))


def test_too_few_images_for_a_batch_are_refused_before_the_first_step() -> None:
    with pytest.raises(UserError, match="batch_size 65"):
        next(toy_trainer(config={"batch_size": 65}).run())


def test_configuration_names_the_nearest_key() -> None:
    with pytest.raises(UserError, match=r"unknown key 'num_step'; did you mean 'num_steps'\?"):
        parse(GanConfig, {"num_step": 3}, "task")
