"""That a training stopped at any checkpoint and gone on with ends as one that nothing stopped."""

import io
from collections.abc import Callable

import torch

from ndabench.tasks.trainer import Trainer
from tests.tasks.gan_toys import differences


def assert_resumes_exactly(trainer: Callable[[], Trainer], metric: str) -> None:
    """For `task`s of four steps that make a checkpoint at each; `metric` is one of the last step's."""
    whole = trainer()
    expected = {progress.step: progress for progress in whole.run()}
    assert metric in expected[4].metrics
    for stop in (1, 3, 4):
        first = trainer()
        for progress in first.run():
            if progress.step == stop:
                break
        buffer = io.BytesIO()
        torch.save(first.state_dict(), buffer)
        second = trainer()
        second.load_state_dict(torch.load(io.BytesIO(buffer.getvalue()), weights_only=True))
        for step, progress in {progress.step: progress for progress in second.run()}.items():
            values = {name: m.value for name, m in progress.metrics.items()}
            assert values == {name: m.value for name, m in expected[step].metrics.items()}
        assert differences(second.state_dict(), whole.state_dict()) == []
