"""Consistency regularisation: its transform, and its term in the discriminator's loss."""

from itertools import product

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from ndabench.tasks.gan.consistency import consistency, flip_and_shift
from tests.tasks.gan_toys import toy_trainer


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
