"""Stopped anywhere and gone on with, a training ends as one never stopped, to the bit."""

import io
from typing import Any

import pytest
import torch

from ndabench.errors import UserError
from ndabench.tasks.trainer import Trainer
from tests.tasks.gan_toys import JIGSAW, differences, toy_trainer

CONFIG = {"num_steps": 6, "log_every": 4, "checkpoint_every": 1, "conditional": True, "sample_every": 3}


def _task(**changes: Any) -> Trainer:
    arguments = {"negative": JIGSAW, "lambda_": 0.25, "horizontal_flip": True, "seed": 3}
    config = {**CONFIG, **changes.pop("config", {})}
    return toy_trainer(config=config, **{**arguments, **changes})


def _through_a_file(state: dict[str, Any]) -> dict[str, Any]:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return torch.load(io.BytesIO(buffer.getvalue()), weights_only=True)


@pytest.fixture(scope="module")
def uninterrupted() -> tuple[dict[int, Any], dict[str, Any]]:
    trainer = _task()
    progress = {p.step: p for p in trainer.run()}
    return progress, trainer.state_dict()


@pytest.mark.parametrize("stop", [0, 1, 3, 5, 6])
def test_resumed_at_any_pause_it_ends_the_same(stop: int, uninterrupted: Any) -> None:
    expected_progress, expected_state = uninterrupted
    first = _task()
    for progress in first.run():
        if progress.step == stop:
            break
    second = _task()
    second.load_state_dict(_through_a_file(first.state_dict()))
    remaining = {p.step: p for p in second.run()}
    assert differences(second.state_dict(), expected_state) == []
    for step in [step for step in expected_progress if step > stop]:
        assert remaining[step] == expected_progress[step]


def test_the_state_holds_all_there_is(uninterrupted: Any) -> None:
    _, state = uninterrupted
    kinds = {
        "streams": "negatives",
        "generator": "blocks.0.norm1.moments.mean",
        "discriminator": "blocks.0.conv1.weight.u",
        "average": "network.linear.weight.u",
        "generator_optimizer": "state",
        "discriminator_optimizer": "state",
        "curves": "sums",
    }
    for part, key in kinds.items():
        assert key in state[part], part
    assert state["made_by"]["width"] == 2
    assert state["step"] == 6


def test_a_state_is_a_copy() -> None:
    trainer = _task()
    run = trainer.run()
    next(run)
    state = trainer.state_dict()
    before = _through_a_file(state)
    other = _task()
    other.load_state_dict(state)
    list(run)
    list(other.run())
    assert differences(state, before) == []


@pytest.mark.parametrize("num_steps", [3, 4])
def test_a_longer_run_may_go_on_from_a_shorter_one(num_steps: int, uninterrupted: Any) -> None:
    expected, _ = uninterrupted
    short = _task(config={"num_steps": num_steps})
    list(short.run())
    long = _task()
    long.load_state_dict(short.state_dict())
    assert list(long.run()) == [expected[step] for step in range(num_steps + 1, 7)]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"config": {"width": 4}}, "its width is 2, this one's is 4"),
        ({"config": {"conditional": False}}, "its conditional is True, this one's is False"),
        ({"seed": 4}, "its seed is 3, this one's is 4"),
        ({"lambda_": 0.5}, "its lambda is 0.25, this one's is 0.5"),
    ],
)
def test_the_state_of_another_training_is_refused(changes: Any, message: str, uninterrupted: Any) -> None:
    _, state = uninterrupted
    with pytest.raises(UserError, match=message) as raised:
        _task(**changes).load_state_dict(state)
    assert "\n" not in str(raised.value)


def test_something_that_is_no_state_is_refused() -> None:
    with pytest.raises(UserError, match="belongs to another training"):
        _task().load_state_dict({"weights": torch.zeros(3)})
