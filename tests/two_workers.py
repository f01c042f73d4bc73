"""A function run by two workers in processes of their own, and by one in this."""

import multiprocessing
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.multiprocessing import start_processes

from ndabench.distributed import Workers

NUM_WORKERS = 2
# Every worker is forked from one process that has imported what takes seconds, and has no threads.
multiprocessing.set_forkserver_preload(
    ["pytest", "torch.distributed", "torch._dynamo", "torchvision", "ndabench.tasks.registry"]
)
FORKSERVER = multiprocessing.get_context("forkserver")
"""Starts processes at once; a child of this process itself may hang in its OpenMP."""


def on_two_workers(function: Callable[[Workers], Any], folder: Path) -> tuple[Any, Any]:
    """What `function`, importable by name, gives on each of two workers."""
    arguments = (function, str(folder), dict(os.environ))
    start_processes(_worker, arguments, nprocs=NUM_WORKERS, start_method="forkserver")
    main, other = (torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(NUM_WORKERS))
    return main, other


def by_one_worker(function: Callable[[Workers], Any]) -> Any:
    """What `function` gives here, with one thread as the two workers have: others round otherwise."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return function(Workers())
    finally:
        torch.set_num_threads(threads)


def _worker(rank: int, function: Callable[[Workers], Any], folder: str, environment: dict[str, str]) -> None:
    os.environ.update(environment)
    torch.set_num_threads(1)
    store = dist.FileStore(f"{folder}/store", NUM_WORKERS)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=NUM_WORKERS)
    torch.save(function(Workers.current(torch.device("cpu"))), Path(folder) / f"{rank}.pt")
    dist.destroy_process_group()
