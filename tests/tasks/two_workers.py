"""A function run by two workers in processes of their own, and states compared with tolerance."""

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from gan_toys import leaves
from torch import Tensor

from ndabench.distributed import Workers


def on_two_workers(function: Callable[[Workers], Any], folder: Path) -> tuple[Any, Any]:
    """What `function`, importable by name, gives on each of two workers."""
    torch.multiprocessing.spawn(_worker, args=(function, _free_port(), str(folder)), nprocs=2)
    main, other = (torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(2))
    return main, other


def by_one_worker(function: Callable[[Workers], Any]) -> Any:
    """What `function` gives here, with one thread as the two workers have: others round otherwise."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return function(Workers())
    finally:
        torch.set_num_threads(threads)


def _worker(rank: int, function: Callable[[Workers], Any], port: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    torch.save(function(Workers.current(torch.device("cpu"))), Path(folder) / f"{rank}.pt")
    dist.destroy_process_group()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def assert_close(left: Any, right: Any, tolerance: float) -> None:
    one, other = leaves(left), leaves(right)
    assert one.keys() == other.keys()
    for path, value in one.items():
        if isinstance(value, Tensor | float):
            torch.testing.assert_close(
                torch.as_tensor(value), torch.as_tensor(other[path]), atol=tolerance, rtol=tolerance, msg=path
            )
        else:
            assert value == other[path], path
