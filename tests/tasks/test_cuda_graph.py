"""A step as a CUDA graph, as far as a CPU can tell: what is recorded, with which tensors, and no trace of it.

The recording itself is replaced by a function that runs the step again; on a card `benchmarks/gpu` compares a
real one with eager steps (`captured_matches_eager`).
"""

from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any

import pytest
import torch

from ndabench.distributed import Workers
from ndabench.errors import UserError
from ndabench.tasks import cuda_graph
from ndabench.tasks.cuda_graph import Outputs
from ndabench.tasks.trainer import Trainer
from tests.tasks.gan_toys import JIGSAW, differences, toy_trainer

NUM_STEPS = 4


def _record(
    run: Callable[[], Outputs], streams: Sequence[torch.Generator]
) -> tuple[Outputs, Callable[[], None]]:
    """As CUDA does: steps to warm up, then a recording, which writes to the same tensors at every replay."""
    for _ in range(cuda_graph.WARM_UPS):
        run()
    outputs = run()

    def replay() -> None:
        for old, new in zip(outputs, run(), strict=True):
            for name, value in new.items():
                old[name].copy_(value)

    return outputs, replay


def _trainer(**config: Any) -> Trainer:
    keys = {"consistency_weight": 10.0, "conditional": True, **config}
    return toy_trainer(config=keys, negative=JIGSAW, lambda_=0.25, horizontal_flip=True)


def _steps(trainer: Trainer, start: int, count: int, *, captured: bool) -> list[dict[str, float]]:
    task: Any = trainer.task
    curves = []
    batches = task.batches(start)
    for step, batch in zip(range(start, start + count), islice(batches, count), strict=True):
        if captured and task._captured is None:
            task._captured = task.captured([one for pair in batch for one in pair])
        task.training_step(batch, step)
        curves.append(task.curves.read())
    return curves


def test_recorded_steps_are_the_steps_bit_for_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda_graph, "record", _record)
    eager, recorded = _trainer(), _trainer()
    expected = _steps(eager, 0, NUM_STEPS, captured=False)
    assert _steps(recorded, 0, NUM_STEPS, captured=True) == expected
    assert differences(recorded.state_dict(), eager.state_dict()) == []


def test_a_resumed_training_is_recorded_with_the_state_of_its_checkpoint(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cuda_graph, "record", _record)
    whole, first, second = (_trainer() for _ in range(3))
    _steps(whole, 0, NUM_STEPS, captured=False)
    _steps(first, 0, NUM_STEPS // 2, captured=True)
    second.load_state_dict(first.state_dict())
    _steps(second, NUM_STEPS // 2, NUM_STEPS // 2, captured=True)
    assert differences(second.state_dict(), whole.state_dict()) == []


def test_what_cannot_be_recorded_is_refused() -> None:
    for workers in (Workers(), Workers(world_size=2)):
        with pytest.raises(UserError, match="cuda_graph: needs a GPU, a trial of one worker and fused: true"):
            toy_trainer(config={"cuda_graph": True}, workers=workers)
