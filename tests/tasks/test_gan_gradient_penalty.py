"""WGAN-GP: one step of the critic against an independent critic in float64, differentiated twice."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.func import grad, vmap

from ndabench.losses.gradient_penalties import wasserstein_penalty
from ndabench.tasks.gan.losses import WassersteinGpConfig
from tests.tasks.gan_toys import JIGSAW, judged_batches, toy_config, toy_trainer

LAMBDA, WEIGHT, RATE = 0.25, 10.0, 1e-2
CONFIG = {
    "losses": "wasserstein_gp",
    "network": "dcgan",
    "width": 2,
    "conditional": True,
    "num_discriminator_steps": 1,
    "channels_last": False,
}
Weights = dict[str, Tensor]


def critic(weights: Weights, image: Tensor, label: Tensor) -> Tensor:
    """The logit of one image `[1, 8, 8]`: a strided convolution of patches, then both heads."""
    padded = torch.nn.functional.pad(image, (1, 1, 1, 1))
    products = sum(
        torch.einsum(
            "chw,oc->ohw", padded[:, i : i + 8 : 2, j : j + 8 : 2], weights["downs.0.weight"][:, :, i, j]
        )
        for i in range(4)
        for j in range(4)
    )
    summed = products + weights["downs.0.bias"][:, None, None]
    features = torch.where(summed > 0, summed, 0.2 * summed)
    logit = weights["linear.weight"][0] @ features.reshape(-1) + weights["linear.bias"][0]
    return logit + weights["embedding.weight"].index_select(0, label[None])[0] @ features.mean((1, 2))


def expected_loss(weights: Weights, batches: list[tuple[Tensor, Tensor]], uniform: Tensor) -> Tensor:
    (real, labels), (fake, fake_labels), (negative, _) = batches
    logits = vmap(critic, in_dims=(None, 0, 0))
    kind = uniform[1] < LAMBDA
    mixed = uniform[0] * real + (1 - uniform[0]) * torch.where(kind, fake, negative)
    slopes = vmap(grad(critic, argnums=1), in_dims=(None, 0, 0))(weights, mixed, labels)
    norms = slopes.reshape(len(mixed), -1).square().sum(1).sqrt()
    fakes = LAMBDA * logits(weights, fake, fake_labels).mean()
    negatives = (1 - LAMBDA) * logits(weights, negative, labels).mean()
    penalty = WEIGHT * ((norms - 1) ** 2).mean()
    return fakes + negatives - logits(weights, real, labels).mean() + penalty


def test_a_step_of_the_critic_is_that_of_a_critic_in_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = toy_trainer(config=CONFIG, negative=JIGSAW, lambda_=LAMBDA, seed=1)
    task: Any = trainer.task
    task.discriminator_optimizer = torch.optim.SGD(task.discriminator.parameters(), lr=RATE)
    with torch.no_grad():  # larger than the initial ones, so that no gradient's norm is near 0
        for weight in task.discriminator.parameters():
            weight.mul_(20)
    before = {name: weight.detach().double() for name, weight in task.discriminator.named_parameters()}
    seen = judged_batches(task)
    draws = torch.Generator()
    draws.set_state(task.streams["interpolation"].get_state())
    task._train_discriminator(*next(task.batches(0))[0])
    assert len(seen) == 3
    uniform = torch.rand(2, len(seen[0][0]), 1, 1, 1, generator=draws).double()
    assert (uniform[1] < LAMBDA).any()
    assert (uniform[1] >= LAMBDA).any(), "both kinds of fakes are among those between which D is measured"
    gradients = grad(expected_loss)(before, seen, uniform)
    for name, weight in task.discriminator.named_parameters():
        expected = before[name] - RATE * gradients[name]
        torch.testing.assert_close(weight.detach().double(), expected, rtol=1e-5, atol=1e-7, msg=name)
        # real and fake logits share the last bias, and their weights sum to zero
        assert torch.equal(expected, before[name]) == (name == "linear.bias")


def test_the_penalty_of_a_linear_critic_is_known() -> None:
    slope = torch.tensor([3.0, 4.0], requires_grad=True)
    penalty = wasserstein_penalty(lambda points: points @ slope, torch.randn(5, 2))
    assert penalty.item() == pytest.approx((5 - 1) ** 2)
    penalty.backward()
    assert slope.grad is not None
    assert slope.grad.tolist() == pytest.approx([2 * 4 * 3 / 5, 2 * 4 * 4 / 5])


def test_without_negatives_the_stream_and_the_loss_are_the_plain_ones() -> None:
    plain = toy_trainer(config={**CONFIG, "losses": {"name": "wasserstein_gp", "gradient_penalty": 0}})
    assert "interpolation" not in plain.task.streams
    assert "interpolation" in toy_trainer(config=CONFIG).task.streams
    assert "interpolation" not in toy_trainer(config={"losses": "hinge"}).task.streams
    assert toy_config(losses="wasserstein_gp").losses == WassersteinGpConfig(gradient_penalty=WEIGHT)
