"""The GAN of points: one step against an independent reference in float64, and what training finds."""

import copy
from typing import get_args

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ndabench.data.points.negatives import between
from ndabench.errors import UserError
from ndabench.metrics.points.config import DiscriminatorDistanceConfig
from ndabench.models.perceptron import Critic
from ndabench.tasks.density_gan.config import Losses
from ndabench.tasks.density_gan.task import DensityGanTask
from tests.tasks.density_toys import between as toy_between
from tests.tasks.density_toys import toy_config, toy_points, toy_trainer

REFERENCE = {
    # (cost of real, cost of fake, the generator's cost) of a logit v, as the papers print them
    "non_saturating": ("-log(s(v))", "-log(1-s(v))", "-log(s(v))"),
    "saturating": ("-log(s(v))", "-log(1-s(v))", "log(1-s(v))"),
    "hinge": ("relu(1-v)", "relu(1+v)", "-v"),
    "wasserstein_gp": ("-v", "v", "-v"),
    "kl": ("-v", "exp(v-1)", "-exp(v-1)"),
    "reverse_kl": ("exp(-v)", "-1-log(exp(-v))", "1+log(exp(-v))"),
    "pearson": ("-v", "v**2/4+v", "-(v**2/4+v)"),
    "squared_hellinger": ("-(1-exp(-v))", "(1-exp(-v))/exp(-v)", "-(1-exp(-v))/exp(-v)"),
    "jensen_shannon": ("-(log(2)-log(1+exp(-v)))", "-log(2-2*s(v))", "log(2-2*s(v))"),
}
NAMES = {
    "log": lambda v: torch.log(torch.as_tensor(v, dtype=torch.float64)),
    "exp": torch.exp,
    "relu": torch.relu,
    "s": torch.sigmoid,
}


def cost(text: str, v: Tensor) -> Tensor:
    value: Tensor = eval(text, {**NAMES, "v": v})
    return value.mean()


def test_every_loss_has_a_reference() -> None:
    assert set(REFERENCE) == set(get_args(Losses))


def network64(network: nn.Module) -> nn.Module:
    return copy.deepcopy(network).double()


@pytest.mark.parametrize("losses", REFERENCE)
@pytest.mark.parametrize(("lambda_", "fakes_per_real"), [(0.25, 1), (1.0, 1), (1.0, 2)])
def test_one_step_is_that_of_a_float64_reference(losses: str, lambda_: float, fakes_per_real: int) -> None:
    """Both losses and both networks after a step, with each loss' gradient penalty."""
    config = {"losses": losses, "num_discriminator_steps": 1, "gradient_penalty": 0.7, "learning_rate": 1e-3}
    config["fakes_per_real"] = fakes_per_real
    negative = toy_between(0.2) if lambda_ < 1 else None
    task = toy_trainer(config=config, negative=negative, lambda_=lambda_, seed=3).task
    assert isinstance(task, DensityGanTask)
    generator, discriminator = network64(task.generator), network64(task.discriminator)
    [real] = next(iter(task.batches(0)))
    draws = {name: task.setup.stream(name) for name in ("noise", "negatives", "interpolation")}
    *first, last = [torch.randn(16, 4, generator=draws["noise"]).double() for _ in range(fakes_per_real + 1)]

    fake = generator(torch.cat(first)).detach()
    real_cost, fake_cost, generator_cost = REFERENCE[losses]
    loss_d = cost(real_cost, discriminator(real.double())) + lambda_ * cost(fake_cost, discriminator(fake))
    penalised, fakes = real.double(), fake[:16]
    if negative is not None:
        made = negative(real, generator=draws["negatives"]).double()
        loss_d = loss_d + (1 - lambda_) * cost(fake_cost, discriminator(made))
    if losses == "wasserstein_gp":
        place, kind = torch.rand(2, 16, 1, generator=draws["interpolation"]).double()
        if negative is not None:
            fakes = torch.where(kind < lambda_, fake, made)
        penalised = fakes + place * (real.double() - fakes)
    penalty = torch.zeros((), dtype=torch.float64)
    for point in penalised:
        point = point.clone().requires_grad_()
        (slope,) = torch.autograd.grad(discriminator(point[None]).sum(), point, create_graph=True)
        norm = slope.norm()
        penalty = penalty + ((norm - 1) ** 2 if losses == "wasserstein_gp" else norm**2 / 2) / 16
    loss_d = loss_d + 0.7 * penalty
    adam = [torch.optim.Adam(net.parameters(), 1e-3, (0.0, 0.99)) for net in (discriminator, generator)]
    loss_d.backward()
    adam[0].step()
    loss_g = cost(generator_cost, discriminator(generator(last)))
    loss_g.backward()
    adam[1].step()

    task.training_step([real], 0)
    curves = task.curves.read()
    assert curves["loss_discriminator"] == pytest.approx(float(loss_d.detach()), rel=1e-4, abs=1e-5)
    assert curves["loss_generator"] == pytest.approx(float(loss_g.detach()), rel=1e-4, abs=1e-5)
    for ours, theirs in ((task.discriminator, discriminator), (task.generator, generator)):
        for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
            # Adam's first step is the sign of a gradient, which float32 may not know where it is nearly 0.
            wrong = (one.double() - other).abs() > 1e-5
            assert float(wrong.double().mean()) < 0.02


def test_the_rate_falls_linearly_to_zero() -> None:
    task = toy_trainer(config={"num_steps": 100, "decay_from": 0.6, "learning_rate": 0.01}).task
    assert isinstance(task, DensityGanTask)
    rates = []
    for step, batch in zip(range(100), task.batches(0), strict=False):
        task.training_step(batch, step)
        rates.append(task.generator_optimizer.param_groups[0]["lr"])
    assert rates[:61] == pytest.approx([0.01] * 61)
    assert rates[60:] == pytest.approx(np.linspace(0.01, 0.01 / 40, 40).tolist())
    assert task.discriminator_optimizer.param_groups[0]["lr"] == rates[-1]


def test_against_a_generator_that_is_known_the_discriminator_finds_the_closed_form() -> None:
    """p_G frozen at another known mixture, λ = 1/4: D is trained alone, and equals p/(p + q) at points."""
    data = toy_points()
    own, negatives = data.distribution, between(data).distribution
    frozen = own.restricted(torch.arange(8) < 5)  # it has dropped three modes
    fakes = negatives.mixed(frozen, 0.25)
    stream = torch.Generator().manual_seed(0)
    critic = Critic(2, scale=8, width=64, depth=3, generator=stream)
    optimizer = torch.optim.Adam(critic.parameters(), fused=True)
    for step in range(800):
        optimizer.param_groups[0]["lr"] = 1e-2 * (1 - step / 800)
        logits = critic(torch.cat([own.sample(256, stream), fakes.sample(256, stream)]))
        loss = nn.functional.softplus(-logits[:256]).mean() + nn.functional.softplus(logits[256:]).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    points = torch.cat([own.sample(1000, stream), fakes.sample(1000, stream)])
    p, q = own.density(points), fakes.density(points)
    with torch.no_grad():
        given = critic(points).sigmoid().double()
    distance = (given - p / (p + q)).abs()
    assert float(distance.mean()) < 0.02
    plain = p / (p + frozen.density(points))
    assert float((given - plain)[:1000].abs().mean()) > 0.2, "not the form without negatives"


@pytest.mark.parametrize("losses", ["hinge", "wasserstein_gp"])
def test_a_loss_without_closed_form_refuses_to_be_compared_with_it(losses: str) -> None:
    line = f"discriminator_distance: the optimal discriminator of losses {losses} does not determine"
    with pytest.raises(UserError, match=line):
        toy_trainer(config={"losses": losses}, evaluations=[DiscriminatorDistanceConfig()])


def test_points_of_another_task_are_refused() -> None:
    with pytest.raises(UserError, match="batch_size 2000 exceeds the number of training points, 1000"):
        toy_trainer(config={"batch_size": 2000})


def test_pictures_are_part_of_the_state_and_drawn_once() -> None:
    trainer = toy_trainer(config={"picture_every": 2}, negative=toy_between(), lambda_=0.25)
    strips = [one.artifacts["contours.png"] for one in trainer.run() if "contours.png" in one.artifacts]
    widths = [int.from_bytes(strip[16:20], "big") for strip in strips]
    assert widths == sorted(widths)
    assert len(trainer.state_dict()["film"]["panels"]) == 3


def test_the_config_is_what_a_sweep_file_may_say() -> None:
    assert toy_config(losses="wasserstein_gp").penalty_weight == 10
    assert toy_config(losses="hinge").penalty_weight == 0
    assert toy_config(losses="wasserstein_gp", gradient_penalty=0).penalty_weight == 0
    assert toy_config(num_discriminator_steps=3).images_per_step == 48


def test_the_moving_average_follows_every_step() -> None:
    """Against the recursion in float64: the weights themselves before step `ema.start`, then the average."""
    task = toy_trainer(config={"ema": {"decay": 0.5, "start": 2}}).task
    assert isinstance(task, DensityGanTask)
    expected = [torch.zeros_like(one).double() for one in task.generator.parameters()]
    for step, batch in zip(range(4), task.batches(0), strict=False):
        task.training_step(batch, step)
        decay = 0.0 if step == 0 else 0.5
        weights = [one.detach().double() for one in task.generator.parameters()]
        expected = [decay * old + (1 - decay) * new for old, new in zip(expected, weights, strict=True)]
    for one, value in zip(task.average.network.parameters(), expected, strict=True):
        torch.testing.assert_close(one.double(), value, rtol=1e-5, atol=1e-6)
