"""Running out of memory is one line that names the setting to lower, whoever raises it."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from ndabench.errors import OutOfMemoryError, UserError
from ndabench.metrics.generators.config import FrechetConfig
from ndabench.metrics.image_encoders.config import KnnConfig
from ndabench.tasks.memory import is_out_of_memory
from tests.tasks.contrastive_toys import toy_training as toy_contrastive
from tests.tasks.gan_toys import JIGSAW, toy_trainer

ON_CUDA = (
    "CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has a total capacity of 79.10 GiB of which 1.00 "
    "GiB is free.\nSee documentation for Memory Management."
)


def _full(*_: Any, **__: Any) -> Any:
    raise torch.OutOfMemoryError(ON_CUDA)


def _full_cpu(images: torch.Tensor, **_: Any) -> torch.Tensor:
    return torch.cat([images, torch.empty(2**60, dtype=torch.uint8)])


def _raised(run: Callable[[], Any]) -> str:
    with pytest.raises(OutOfMemoryError) as raised:
        run()
    assert isinstance(raised.value, UserError)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_a_step_names_the_batch_and_the_width(monkeypatch: pytest.MonkeyPatch) -> None:
    gan, moco = toy_trainer(), toy_contrastive()
    for trainer in (gan, moco):
        monkeypatch.setattr(trainer.task, "training_step", _full)
    start = "training step 0 ran out of memory (it asked for 2.50 GiB more): lower batch_size (8) or"
    assert _raised(lambda: list(gan.run())) == f"{start} width (2)"
    assert _raised(lambda: gan.try_steps(2)) == f"{start} width (2)"
    assert _raised(lambda: list(moco.run())) == f"{start} encoder.width (2)"


def test_a_batch_is_part_of_a_step() -> None:
    trainer = toy_trainer(positive=_full)
    assert _raised(lambda: trainer.try_steps(1)).startswith("making a batch ran out of memory")


def test_a_cpu_says_so_too() -> None:
    trainer = toy_trainer(negative=_full_cpu, lambda_=0.5)
    assert "ran out of memory" in _raised(lambda: trainer.try_steps(1))
    assert "lower batch_size (8)" in _raised(lambda: trainer.try_steps(1))


def test_an_evaluation_names_what_it_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    evaluations = [FrechetConfig(extractor="classifier", num_samples=32, as_="small")]
    trainer = toy_trainer(evaluations=evaluations)
    monkeypatch.setattr(trainer.task, "subject", _subject_that_fills_memory(trainer))
    expected = "ran out of memory (it asked for 2.50 GiB more): lower num_samples (32)"
    assert _raised(lambda: list(trainer.run())) == f"evaluation 'fd_classifier_small' {expected}"
    without = toy_contrastive(evaluations=[KnnConfig(neighbours=3)], config={"num_steps": 1})
    monkeypatch.setattr(without.task, "subject", _subject_that_fills_memory(without))
    assert _raised(lambda: list(without.run())).endswith("it needs a device with more memory")


def _subject_that_fills_memory(trainer: Any) -> Callable[[int], Any]:
    subject = trainer.task.subject(0)
    subject.plan = _full
    return lambda step: subject


def test_pictures_and_networks_name_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = toy_trainer(negative=JIGSAW, lambda_=0.5)
    monkeypatch.setattr(trainer.task, "artifacts", _full)
    assert "lower num_sheet_rows (1) or width (2)" in _raised(lambda: list(trainer.run()))
    monkeypatch.setattr(torch.nn.Module, "to", _full)
    assert _raised(toy_trainer).startswith("building the networks ran out of memory")


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError(ON_CUDA),
        MemoryError(),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1152 bytes"),
    ],
    ids=str,
)
def test_all_that_say_it_are_known(error: Exception) -> None:
    assert is_out_of_memory(error)


def test_another_error_stays_what_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = toy_trainer()

    def broken(*_: Any) -> None:
        raise RuntimeError("no kernel")

    monkeypatch.setattr(trainer.task, "training_step", broken)
    with pytest.raises(RuntimeError, match=r"^no kernel$"):
        trainer.try_steps(1)
    assert not is_out_of_memory(RuntimeError("no kernel"))
