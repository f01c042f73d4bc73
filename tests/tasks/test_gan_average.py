"""The moving average of the generator's weights: how long it is, what it holds, and what is said of it."""

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch

from ndabench.config import parse
from ndabench.errors import UserError
from ndabench.metrics.generators.config import FrechetConfig
from ndabench.tasks.gan.config import GanConfig
from ndabench.tasks.gan.task import GanTask
from tests.registrations import toy_registered
from tests.tasks.gan_toys import differences, toy_trainer

IMAGES_PER_STEP = 16
"""Of the toy: two steps of the discriminator with 8 images each."""


def gan(**keys: Any) -> GanConfig:
    return parse(GanConfig, keys, "task")


@pytest.mark.parametrize("images_in_a_step", [1, 32, 128, 1000])
@pytest.mark.parametrize("half_life", [1, 500, 10_000, 10**7])
def test_a_step_weighs_half_as_much_after_the_half_life(images_in_a_step: int, half_life: int) -> None:
    config = gan(ema={"images": half_life}, batch_size=max(2, images_in_a_step), num_discriminator_steps=1)
    steps = Fraction(half_life, config.images_per_step)
    assert config.average["decay"] == 0.5 ** (1 / float(steps))  # of StyleGAN2: 0.5 ** (batch / nimg)
    assert config.average["decay"] ** float(steps) == pytest.approx(0.5, rel=1e-9)


def test_the_half_life_counts_the_images_of_every_discriminator_step() -> None:
    for count in (1, 4):
        keys = {"batch_size": 32, "num_discriminator_steps": count}
        assert gan(ema={"images": 32 * count}, **keys).average["decay"] == 0.5
        assert gan(ema={"images": 64 * count}, **keys).average["decay"] == 0.5**0.5


@pytest.mark.parametrize(
    ("share", "num_steps", "decay"), [(0.05, 200, 0.9), (0.1, 100_000, 0.9999), (1, 4, 0.75)]
)
def test_a_share_is_that_of_the_time_constant(share: float, num_steps: int, decay: float) -> None:
    found = gan(ema={"share": share}, num_steps=num_steps).average["decay"]
    assert found == pytest.approx(decay, rel=1e-12)
    assert 1 / (1 - found) == pytest.approx(share * num_steps, rel=1e-9)
    assert gan(ema={"share": share}, num_steps=1).average["decay"] == 0


def test_by_default_the_average_and_its_start_are_a_twentieth_of_the_run() -> None:
    for num_steps, decay, start in ((200, 0.9, 10), (2000, 0.99, 100), (97_500, 1 - 1 / 4875, 4875)):
        average = gan(num_steps=num_steps).average
        assert average == {"decay": pytest.approx(decay, rel=1e-12), "start": start}
    assert gan(ema={"start": 7}).average == {"decay": 0.99, "start": 7}
    assert gan(ema={"decay": 0.5}, num_steps=60).average == {"decay": 0.5, "start": 3}


@pytest.mark.parametrize(
    "ema", [{"decay": 0.5, "start": 2}, {"images": 3 * IMAGES_PER_STEP, "start": 0}, {"share": 0.25}], ids=str
)
def test_the_average_of_a_run_is_that_of_its_weights_in_float64(ema: Mapping[str, Any]) -> None:
    """Against a loop over the weights that the run saves after every step, for each way to say the length."""
    num_steps = 12
    decay = {"decay": 0.5, "images": 2 ** (-1 / 3), "share": 2 / 3}[next(iter(ema))]
    start = ema.get("start", 0)
    trainer = toy_trainer(config={"num_steps": num_steps, "ema": ema, "conditional": True})
    saved = [trainer.state_dict()["generator"]]
    for progress in trainer.run():
        if progress.step == len(saved):
            saved.append(trainer.state_dict()["generator"])
    assert len(saved) == num_steps + 1
    found = trainer.state_dict()["average"]
    for name, first in saved[0].items():
        expected = first.double()
        for step in range(1, num_steps + 1):
            now = saved[step][name].double()
            expected = now if step < start else decay * expected + (1 - decay) * now
        torch.testing.assert_close(found[f"network.{name}"].double(), expected, rtol=1e-5, atol=1e-6)
        if name.endswith("bias"):
            assert not torch.equal(found[f"network.{name}"], saved[-1][name]), name


def test_a_run_that_is_resumed_longer_must_keep_its_average() -> None:
    """Half of the run with one average and half with another equals no run."""
    short, longer = (toy_trainer(config={"num_steps": n, "ema": {"share": 0.5, "start": 1}}) for n in (4, 8))
    list(short.run())
    with pytest.raises(UserError, match=r"another training: its ema is \{'decay': 0.5"):
        longer.load_state_dict(short.state_dict())
    same = toy_trainer(config={"num_steps": 8, "ema": {"decay": 0.5, "start": 1}})
    same.load_state_dict(short.state_dict())
    whole = toy_trainer(config={"num_steps": 8, "ema": {"decay": 0.5, "start": 1}})
    list(same.run())
    list(whole.run())
    assert differences(same.state_dict(), whole.state_dict()) == []


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        (
            {"ema": {"decay": 0.9, "share": 0.1}},
            "ema: give one of decay, images and share, not decay and share",
        ),
        ({"ema": {"images": 0}}, "ema.images: input should be greater than or equal to 1, got 0"),
        ({"ema": {"share": 1.5}}, "ema.share: input should be less than or equal to 1, got 1.5"),
        ({"ema": {"decay": 1}}, "ema.decay: input should be less than 1, got 1"),
        ({"ema": {"halflife": 5}}, r"unknown key 'ema.halflife' \(known: decay, images, share, start\)"),
        (
            {"ema_decay": 0.9, "ema": {"decay": 0.9}},
            "ema_decay is the former name of ema.decay; keep ema.decay",
        ),
        ({"generator_learning_rate": 0}, "generator_learning_rate: input should be greater"),
    ],
)
def test_a_wrong_average_is_one_line(keys: Mapping[str, Any], line: str) -> None:
    with pytest.raises(UserError, match=f"^task: {line}"):
        gan(**keys)


@pytest.mark.parametrize(
    ("keys", "length"),
    [
        ({"num_steps": 200, "ema": {"decay": 0.99}}, "100"),
        ({"num_steps": 2000, "ema": {"decay": 0.999}}, "1,000"),
        ({"num_steps": 2000, "ema": {"share": 0.21}}, "420"),
        ({"num_steps": 200, "ema": {"images": 10_000}}, "57"),
    ],
)
def test_an_average_above_a_fifth_of_the_run_is_said(keys: Mapping[str, Any], length: str) -> None:
    (caution,) = gan(**keys).cautions
    assert caution == (
        f"task.ema: the moving average is {length} steps long and the training {keys['num_steps']:,}; "
        "above 20% of it the average lags behind the generator (default: 5%)"
    )


@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"num_steps": 4},
        {"num_steps": 200, "ema": {"decay": 0}},
        {"num_steps": 200, "ema": {"share": 0.2}},
        {"num_steps": 97_500, "ema": {"decay": 0.9999}},
    ],
    ids=str,
)
def test_nothing_is_said_of_any_other(keys: Mapping[str, Any]) -> None:
    assert gan(**keys).cautions == ()


def test_the_generators_rate_is_its_own() -> None:
    for keys, rates in (
        ({"learning_rate": 1e-3}, [1e-3, 1e-3]),
        ({"learning_rate": 1e-3, "generator_learning_rate": 2.5e-4}, [2.5e-4, 1e-3]),
    ):
        task = toy_trainer(config=keys).task
        assert isinstance(task, GanTask)
        optimizers = (task.generator_optimizer, task.discriminator_optimizer)
        assert [optimizer.param_groups[0]["lr"] for optimizer in optimizers] == rates


def test_the_weights_in_training_are_measured_once_the_average_differs_from_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NDABENCH_CACHE", str(tmp_path))
    with toy_registered():
        evaluations = [FrechetConfig(num_samples=40, extractor="toy_pixels", every=2)]
        for decay, equal in ((0.9, False), (0.0, True)):
            config = {"num_steps": 6, "ema": {"decay": decay, "start": 4}}
            progress = list(toy_trainer(config=config, evaluations=evaluations).run())
            found = {p.step: p.metrics for p in progress if "val_fd_toy_pixels" in p.metrics}
            live = {step: one for step in found if (one := found[step].get("val_fd_toy_pixels_live"))}
            assert set(found) == {0, 2, 4, 6}
            assert set(live) == {4, 6}
            for step, one in live.items():
                assert (one.value == found[step]["val_fd_toy_pixels"].value) == equal
                assert one.protocol["weights"] == "live"
            assert "fd_toy_pixels" in found[6]
            assert "fd_toy_pixels_live" not in found[6]
