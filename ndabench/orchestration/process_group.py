"""Connects the workers of a nested trial in one `torch.distributed` process group.

Ray Train's `TorchConfig` does the same, but importing its module imports PyTorch, some 3 s, in the trial's
coordinator and in Train's controller. Neither needs it. This module imports PyTorch in the workers only.
"""

import contextlib
import fcntl
import os
import socket
import struct
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import ray
import ray.train
from ray.exceptions import GetTimeoutError
from ray.train.backend import Backend, BackendConfig

OPERATION_TIMEOUT_SECONDS = 1800
SHUTDOWN_TIMEOUT_SECONDS = 30
SIOCGIFADDR = 0x8915
"""Linux's request for an interface's IPv4 address; see netdevice(7)."""


@dataclass
class ProcessGroupConfig(BackendConfig):
    """Asks Ray Train for a process group over the `communication` backend of PyTorch, `gloo` or `nccl`."""

    communication: str

    @property
    def backend_cls(self) -> type[Backend]:
        return ProcessGroupBackend

    @property
    def train_func_context(self) -> type["_OnOwnDevice"]:
        return _OnOwnDevice


class ProcessGroupBackend(Backend):
    """Runs in Train's controller and tells the workers, by rank, how to find one another."""

    share_cuda_visible_devices = True  # NCCL needs every worker to see the GPUs of its node

    def on_start(self, worker_group: Any, backend_config: ProcessGroupConfig) -> None:  # type: ignore[override] # its own config
        address, port = worker_group.execute_single(0, _free_address)
        communication, size = backend_config.communication, len(worker_group)
        joined = [  # by position: a worker group's methods have a parameter named `rank`
            worker_group.execute_single_async(rank, _join, communication, address, port, rank, size)
            for rank in range(size)
        ]
        ray.get(joined)

    def on_shutdown(self, worker_group: Any, backend_config: ProcessGroupConfig) -> None:  # type: ignore[override] # its own config
        left = worker_group.execute_async(_leave)
        with contextlib.suppress(GetTimeoutError):  # a worker hangs: its process ends with the trial
            ray.get(left, timeout=SHUTDOWN_TIMEOUT_SECONDS)


class _OnOwnDevice:
    """While a worker trains, its GPU is PyTorch's current device."""

    def __enter__(self) -> None:
        # late: only in a worker, see above
        import ray.train.torch
        import torch

        if torch.cuda.is_available() and (device := ray.train.torch.get_device()).type == "cuda":
            torch.cuda.set_device(device)

    def __exit__(self, *_: object) -> None:
        pass


def _free_address() -> tuple[str, int]:
    """This worker's address in the cluster's network, and a port that is free now."""
    address = ray.util.get_node_ip_address()
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
        probe.bind(("", 0))
        return address, probe.getsockname()[1]


def interface_of(address: str) -> str | None:
    """The network interface of this machine that has an IPv4 address; None where none has."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        for _, name in socket.if_nameindex():
            with contextlib.suppress(OSError):  # an interface without an address
                answer = fcntl.ioctl(asked, SIOCGIFADDR, struct.pack("256s", name.encode()[:15]))
                if socket.inet_ntoa(answer[20:24]) == address:
                    return name
    return None


def _join(communication: str, address: str, port: int, rank: int, size: int) -> None:
    # late: only in a worker, see above
    import torch
    import torch.distributed as dist

    if not torch.cuda.is_available():  # a trial that needs GPUs will say so
        communication = "gloo"
    context = ray.train.get_context()
    os.environ |= {
        "MASTER_ADDR": address,
        "MASTER_PORT": str(port),
        "RANK": str(rank),
        "WORLD_SIZE": str(size),
        "LOCAL_RANK": str(context.get_local_rank()),
        "LOCAL_WORLD_SIZE": str(context.get_local_world_size()),
    }
    if communication == "gloo" and (interface := interface_of(ray.util.get_node_ip_address())) is not None:
        # else gloo takes the address of this machine's name, which on many is 127.0.1.1
        os.environ.setdefault("GLOO_SOCKET_IFNAME", interface)
    if communication == "nccl":  # a failed operation ends the process; it would hang otherwise
        os.environ.setdefault("TORCH_NCCL_ASYNC_ERROR_HANDLING", "1")
    timeout = timedelta(seconds=OPERATION_TIMEOUT_SECONDS)
    dist.init_process_group(communication, "env://", rank=rank, world_size=size, timeout=timeout)


def _leave() -> None:
    # late: only in a worker, see above
    import torch
    import torch.distributed as dist

    if dist.is_initialized():
        dist.destroy_process_group()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
