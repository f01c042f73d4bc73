"""torch.compile as a setting: it trains to the same values, and where it fails the training continues without
it."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from ndabench.tasks import acceleration
from ndabench.tasks.acceleration import compiled_if_possible
from tests.tasks.gan_toys import JIGSAW, differences, gan_task, toy_trainer


def test_where_compiling_fails_the_network_runs_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(network: nn.Module, **_: object) -> Callable[..., torch.Tensor]:
        def call(*_: object) -> torch.Tensor:
            raise RuntimeError("no compiler here\nand a long story")

        return call

    monkeypatch.setattr(acceleration.torch, "compile", broken)
    plain, compiling = toy_trainer(), toy_trainer(config={"compile": True})
    list(plain.run())
    first, *_ = compiling.run()
    assert first.metrics["compiled"].value == 0
    assert first.metrics["compiled"].protocol == {"failure": "RuntimeError: no compiler here"}
    states = (plain.state_dict(), compiling.state_dict())
    assert differences(states[0]["generator"], states[1]["generator"]) == []


@pytest.mark.slow
@pytest.mark.release
@pytest.mark.filterwarnings("default")
def test_compiled_training_stays_near_eager_training() -> None:
    arguments = {"negative": JIGSAW, "lambda_": 0.25}
    config = {"num_steps": 1, "learning_rate": 1e-4}
    eager, compiled = (
        toy_trainer(config=config, **arguments),
        toy_trainer(config={**config, "compile": True}, **arguments),
    )
    expected = [p.metrics for p in eager.run()]
    measured = [p.metrics for p in compiled.run()]
    assert measured[0]["compiled"].value == 1, measured[0]["compiled"].protocol
    for name, measurement in expected[-1].items():
        assert measured[-1][name].value == pytest.approx(measurement.value, rel=1e-3, abs=1e-3), name


def test_trying_to_compile_leaves_the_network_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acceleration.torch, "compile", lambda network, **_: network)
    network = gan_task(toy_trainer()).discriminator
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    _, failure = compiled_if_possible(network, torch.zeros(2, 1, 8, 8), torch.zeros(2, dtype=torch.long))
    assert failure == ""
    assert differences(before, dict(network.state_dict())) == []
    assert all(parameter.grad is None for parameter in network.parameters())
