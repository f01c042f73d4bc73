"""What a trial reserved decides on which device it trains."""

from typing import Any

import pytest
import torch

from ndabench.errors import UserError
from ndabench.orchestration.preparation import _prepare_here
from ndabench.orchestration.training_device import training_device
from ndabench.planning.resources import Resources

FOUND, NONE = True, False


@pytest.mark.parametrize(
    ("resources", "cuda", "device"),
    [
        ({}, NONE, "cpu"),
        ({}, FOUND, "cpu"),  # a GPU that others may have reserved
        ({"workers": 2}, FOUND, "cpu"),
        ({"gpus_per_worker": 1}, FOUND, "cuda"),
        ({"gpus_per_worker": 0.5}, FOUND, "cuda"),
        ({"gpus_per_worker": 1, "device": "cpu"}, FOUND, "cpu"),
        ({"gpus_per_worker": 1, "device": "cpu"}, NONE, "cpu"),
    ],
)
def test_the_device_follows_from_what_was_reserved(
    resources: dict[str, Any], cuda: bool, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    assert training_device(Resources(**resources)) == torch.device(device)


def test_each_of_several_workers_has_its_own_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr("ray.train.torch.get_device", lambda: torch.device("cuda", 1))
    assert training_device(Resources(workers=2, gpus_per_worker=1)) == torch.device("cuda", 1)


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(
    ("built", "said"), [(None, "is built without CUDA"), ("12.8", "built for CUDA 12.8")]
)
def test_a_reserved_gpu_that_pytorch_cannot_use_is_one_line(
    workers: int, built: str | None, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", built)
    resources = Resources(workers=workers, gpus_per_worker=1)
    with pytest.raises(UserError, match=r"gpus_per_worker is 1, but PyTorch .* finds no GPU") as raised:
        training_device(resources)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)
    problem, prepared = _prepare_here([], resources, check=True, timed=False)
    assert (problem, prepared) == (str(raised.value), None)
