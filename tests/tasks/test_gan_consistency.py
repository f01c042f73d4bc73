"""Consistency regularisation: its transform, and its term in the discriminator's loss."""

from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.func import grad, vmap
from torch.nn import functional

from ndabench.tasks.gan.consistency import consistency, flip_and_shift
from tests.tasks.gan_toys import JIGSAW, judged_batches, toy_trainer
from tests.tasks.test_gan_gradient_penalty import CONFIG, LAMBDA, RATE, Weights, critic

WEIGHT = 10.0


def test_every_image_is_one_of_the_shifted_and_mirrored_ones() -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(400, 1, 16, 16, generator=generator)
    changed = flip_and_shift(images, generator=generator)
    assert changed.shape == images.shape
    counts: dict[tuple[bool, int, int], int] = {}
    for image, found in zip(images, changed, strict=True):
        for flipped, down, right in product((False, True), range(5), range(5)):
            whole = functional.pad(image.flip(-1) if flipped else image, (2, 2, 2, 2), mode="reflect")
            if torch.equal(whole[:, down : down + 16, right : right + 16], found):
                key = (flipped, down, right)
                counts[key] = counts.get(key, 0) + 1
    assert sum(counts.values()) == 400
    assert len(counts) == 50  # each of the 2 · 5 · 5 occurs: 8 are expected of each
    mirrored = sum(count for (flipped, *_), count in counts.items() if flipped)
    assert 160 < mirrored < 240


def test_the_term_is_the_mean_squared_difference() -> None:
    real, changed = torch.tensor([1.0, 2.0, 4.0]), torch.tensor([1.0, 0.0, 1.0])
    assert consistency(real, changed).item() == pytest.approx((0 + 4 + 9) / 3)


def expected_loss(weights: Weights, batches: list[tuple[Tensor, Tensor]]) -> Tensor:
    """The hinge loss with λ, and 10 times the mean squared difference between D(x) and D(T(x))."""
    logits = vmap(critic, in_dims=(None, 0, 0))
    real, fake, negative, changed = (logits(weights, *batch) for batch in batches)
    on_fakes = LAMBDA * functional.relu(1 + fake).mean() + (1 - LAMBDA) * functional.relu(1 + negative).mean()
    return functional.relu(1 - real).mean() + on_fakes + WEIGHT * ((real - changed) ** 2).mean()


def test_a_step_of_the_discriminator_is_that_of_one_in_float64() -> None:
    config = {**CONFIG, "losses": "hinge", "consistency_weight": WEIGHT}
    task: Any = toy_trainer(config=config, negative=JIGSAW, lambda_=LAMBDA, seed=1).task
    task.discriminator_optimizer = torch.optim.SGD(task.discriminator.parameters(), lr=RATE)
    before = {name: weight.detach().double() for name, weight in task.discriminator.named_parameters()}
    seen = judged_batches(task)
    draws = torch.Generator()
    draws.set_state(task.streams["consistency"].get_state())
    task._train_discriminator(*next(task.batches(0))[0])
    assert len(seen) == 4
    assert torch.equal(seen[3][0], flip_and_shift(seen[0][0].float(), generator=draws).double())
    gradients = grad(expected_loss)(before, seen)
    for name, weight in task.discriminator.named_parameters():
        expected = before[name] - RATE * gradients[name]
        torch.testing.assert_close(weight.detach().double(), expected, rtol=1e-5, atol=1e-7, msg=name)
        assert not torch.equal(expected, before[name])


def first_losses(weight: float) -> Tensor:
    """The discriminator's loss at the first step; everything but the weight is equal."""
    trainer = toy_trainer(config={"consistency_weight": weight, "num_steps": 1, "num_discriminator_steps": 1})
    [*_, last] = trainer.run()
    return torch.tensor(last.metrics["loss_discriminator"].value, dtype=torch.float64)


def test_the_loss_grows_in_proportion_to_the_weight() -> None:
    plain, light, heavy = (first_losses(weight) for weight in (0.0, 10.0, 40.0))
    term = (light - plain) / 10
    assert term > 0
    torch.testing.assert_close((heavy - plain) / 40, term, rtol=1e-4, atol=1e-9)


def test_without_a_weight_nothing_is_drawn() -> None:
    assert "consistency" not in toy_trainer().task.streams
    assert "consistency" in toy_trainer(config={"consistency_weight": 1.0}).task.streams
