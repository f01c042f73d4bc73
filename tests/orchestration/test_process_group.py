"""The workers of a nested trial find one another; here with one worker, in this process."""

import inspect
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import ray
import ray.train
import torch
import torch.distributed as dist

from ndabench.orchestration import process_group
from ndabench.orchestration.process_group import ProcessGroupBackend, ProcessGroupConfig, interface_of


class OneWorker:
    """A worker group as Ray Train passes it, which runs everything here and now."""

    def __len__(self) -> int:
        return 1

    def execute_async(self, fn: Callable[..., Any], *fn_args: Any, **fn_kwargs: Any) -> list[Any]:
        return [fn(*fn_args, **fn_kwargs)]

    def execute_single_async(self, rank: int, fn: Callable[..., Any], *fn_args: Any, **fn_kwargs: Any) -> Any:
        assert rank == 0
        return fn(*fn_args, **fn_kwargs)

    def execute_single(self, rank: int, fn: Callable[..., Any], *fn_args: Any, **fn_kwargs: Any) -> Any:
        return self.execute_single_async(rank, fn, *fn_args, **fn_kwargs)


@pytest.fixture
def group(monkeypatch: pytest.MonkeyPatch) -> OneWorker:
    for name in (
        "MASTER_ADDR",
        "MASTER_PORT",
        "RANK",
        "WORLD_SIZE",
        "LOCAL_RANK",
        "LOCAL_WORLD_SIZE",
        "GLOO_SOCKET_IFNAME",
    ):
        monkeypatch.setenv(name, "")  # restored afterwards
    context = SimpleNamespace(get_local_rank=lambda: 0, get_local_world_size=lambda: 1)
    monkeypatch.setattr(ray.train, "get_context", lambda: context)
    monkeypatch.setattr(ray, "get", lambda done, timeout=None: done)
    monkeypatch.setattr(ray.util, "get_node_ip_address", lambda: "127.0.0.1")
    return OneWorker()


def test_a_group_is_joined_and_left(group: OneWorker) -> None:
    config, backend = ProcessGroupConfig("gloo"), ProcessGroupBackend()
    backend.on_start(group, config)
    try:
        assert (dist.get_rank(), dist.get_world_size(), dist.get_backend()) == (0, 1, "gloo")
        ones = torch.ones(3)
        dist.all_reduce(ones)
        assert ones.tolist() == [1.0, 1.0, 1.0]
    finally:
        backend.on_shutdown(group, config)
    assert not dist.is_initialized()
    backend.on_shutdown(group, config)  # again does no harm


def test_the_stand_in_has_the_methods_of_rays_group() -> None:
    from ray.train.v2._internal.execution.worker_group import ExecutionGroup

    for name in ("execute_async", "execute_single_async", "execute_single"):
        theirs, ours = (inspect.signature(getattr(kind, name)) for kind in (ExecutionGroup, OneWorker))
        assert list(theirs.parameters) == list(ours.parameters)


def test_the_configuration_names_its_backend() -> None:
    config = ProcessGroupConfig("nccl")
    assert config.backend_cls is ProcessGroupBackend
    with config.train_func_context():
        pass
    assert process_group.ProcessGroupBackend.share_cuda_visible_devices, "NCCL needs every GPU of the node"


def test_the_interface_of_an_address() -> None:
    """By which gloo goes; by itself it would take the address of this machine's name, often 127.0.1.1."""
    assert interface_of("127.0.0.1") == "lo"
    assert interface_of("203.0.113.9") is None, "an address for documentation, which nobody has"
