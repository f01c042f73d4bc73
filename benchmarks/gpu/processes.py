"""Memory, and several processes on one card."""

import gc
import math
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from benchmarks.gpu.results import Bench
from benchmarks.gpu.setups import TASKS, small_training, take_steps
from benchmarks.gpu.timing import wait_for
from ndabench.distributed import Workers


def memory_stays_flat(bench: Bench) -> None:
    """Bytes that are allocated after a tenth of the steps and after all of them; 500 steps."""
    steps = bench.sized(500, 20)
    for task in TASKS:
        trainer = small_training(task, bench.device, tiny=bench.rehearse)
        take_steps(trainer, steps // 10)
        early = _allocated(bench)
        take_steps(trainer, steps - steps // 10)
        grown = _allocated(bench) - early
        protocol = {"steps": steps, "what": "allocated" if bench.on_card else "live tensors"}
        bench.proved(f"{task} growth", grown, "B", at_most=0, protocol=protocol)


def _allocated(bench: Bench) -> int:
    gc.collect()
    if bench.on_card:
        torch.cuda.synchronize()
        return torch.cuda.memory_allocated()
    tensors = [one for one in gc.get_objects() if isinstance(one, torch.Tensor)]
    return sum({one.data_ptr(): one.untyped_storage().nbytes() for one in tensors}.values())


def out_of_memory_is_one_line(bench: Bench) -> None:
    """A batch that the card cannot hold ends in one line that names the setting to lower."""
    from ndabench.errors import UserError

    free, _ = torch.cuda.mem_get_info()
    torch.cuda.set_per_process_memory_fraction(min(1.0, 2**30 / free))
    trainer = small_training("gan", bench.device, tiny=False, width=64, batch_size=256)
    reason = "it fitted"
    try:
        list(trainer.run())
    except UserError as error:
        reason = str(error)
    good = "batch_size" in reason and "\n" not in reason
    bench.proved("names the setting", float(good), at_least=1, note=reason[:300])


def two_processes_share(bench: Bench) -> None:
    """Two trainings on one card at once, and how fast they are together compared with one alone."""
    steps = bench.sized(200, 3)
    alone, together = (max(_at_once(count, steps, bench)) for count in (1, 2))
    protocol = {"task": "gan", "steps": steps}
    bench.measured("throughput of two / one", 2 * alone / together, "×", protocol=protocol)


def _at_once(count: int, steps: int, bench: Bench) -> list[float]:
    """The seconds that each of `count` processes takes for its steps, all of them training together."""
    context = multiprocessing.get_context("fork")
    barrier, seconds = context.Barrier(count), context.Queue()
    arguments = (bench.device, bench.rehearse, steps, barrier, seconds)
    _all_end_well([context.Process(target=_train_alone, args=arguments) for _ in range(count)])
    return [seconds.get() for _ in range(count)]


def _train_alone(device: torch.device, tiny: bool, steps: int, barrier: Any, seconds: Any) -> None:
    trainer = small_training("gan", device, tiny=tiny)
    take_steps(trainer, 2)
    wait_for(device)
    barrier.wait()
    start = time.perf_counter()
    take_steps(trainer, steps)
    wait_for(device)
    seconds.put(time.perf_counter() - start)


def _all_end_well(processes: list[Any]) -> None:
    """Runs them together; raises where one fails, and leaves none behind. Forked, they start at once; this
    process must not have started CUDA."""
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    if any(process.exitcode for process in processes):
        raise RuntimeError(f"exit codes {[process.exitcode for process in processes]}; see the log")


def groups_work(bench: Bench) -> None:
    """A step of every task in a group of one (NCCL on a card) and of two workers on one device (gloo)."""
    groups = [("nccl", 1), ("gloo", 2)] if bench.on_card else [("gloo", 2)]
    reasons: dict[str, str] = {}
    for backend, world_size in groups:
        for task in bench.sized(TASKS, ("gan",)):
            name = f"{task}, {backend} group of {world_size}"
            try:
                _in_a_group(backend, world_size, task, bench)
                reasons[name] = ""
            except RuntimeError as error:
                reasons[name] = str(error)
    for name, reason in reasons.items():  # only now: a line asks CUDA for the card's name
        bench.proved(name, float(not reason), at_least=1, note=reason)


def _in_a_group(backend: str, world_size: int, task: str, bench: Bench) -> None:
    context = multiprocessing.get_context("fork")
    with tempfile.TemporaryDirectory() as folder:
        shared = (world_size, backend, f"{folder}/group", task, bench.device, bench.rehearse)
        _all_end_well([context.Process(target=_worker, args=(rank, *shared)) for rank in range(world_size)])


def _worker(
    rank: int, world_size: int, backend: str, file: str, task: str, device: torch.device, tiny: bool
) -> None:
    dist.init_process_group(
        backend, init_method=f"file://{file}", rank=rank, world_size=world_size,
        timeout=timedelta(seconds=15),
    )  # fmt: skip
    trainer = small_training(task, device, tiny=tiny, workers=Workers(rank, world_size, device))
    take_steps(trainer, 2)
    values = trainer.task.curves.read()
    assert all(math.isfinite(value) for value in values.values()), values
    parameters = next(iter(trainer.task.networks().values())).parameters()
    weights = torch.cat([parameter.detach().flatten() for parameter in parameters])
    first = weights.clone()
    dist.broadcast(first, 0)
    assert torch.equal(first, weights), "the workers' weights differ"
    dist.destroy_process_group()


SANITIZER = "compute-sanitizer"


def sanitizer_finds_nothing(bench: Bench) -> None:
    """A tiny training under compute-sanitizer: no access out of bounds, no read of memory nobody wrote."""
    if shutil.which(SANITIZER) is None:
        bench.write("sanitizer", "failed", f"{SANITIZER} is not on the PATH")
        return
    code = (
        "import torch; from benchmarks.gpu.setups import small_training, take_steps; "
        "take_steps(small_training('gan', torch.device('cuda'), tiny=True), 1); torch.cuda.synchronize()"
    )
    command = [SANITIZER, "--tool", "memcheck", "--error-exitcode", "9", sys.executable, "-c", code]
    environment = {**os.environ, "PYTORCH_NO_CUDA_MEMORY_CACHING": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    last = (done.stdout + done.stderr).strip().splitlines()[-1:]
    bench.proved("memcheck", float(done.returncode == 0), at_least=1, note=" ".join(last)[:300])


def copies_are_whole(bench: Bench) -> None:
    """Batches that are decoded, pinned and copied without waiting hold the same pixels as the pictures."""
    import numpy as np

    from ndabench.data.feeding import ResidentSplit, StreamedSplit
    from ndabench.data.source import ArrayPictures

    count, size = bench.sized(2048, 64), 32
    pixels = np.random.default_rng(0).integers(0, 256, (count, size, size, 3), dtype=np.uint8)
    labels, rows = torch.arange(count), torch.arange(count)
    pictures = ArrayPictures(Path("random"), pixels, labels.numpy())
    there = torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous().to(bench.device)
    resident = ResidentSplit(there, labels, rows)
    streamed = StreamedSplit(
        pictures, labels, rows, image_size=None, channels=3, workers=bench.sized(4, 0), device=bench.device
    )
    indices = [index for _ in range(bench.sized(4, 1)) for index in torch.randperm(count).split(64)]
    wrong = torch.zeros((), dtype=torch.long, device=bench.device)
    busy: Any = torch.randn(bench.sized(4096, 32), bench.sized(4096, 32), device=bench.device)
    for (one, _), (other, _) in zip(resident.batches(indices), streamed.batches(indices), strict=True):
        busy = (busy @ busy).clamp(-1, 1)  # the copies overlap with work
        wrong += (one != other).sum()
    bench.proved("pixels that differ", wrong.item(), at_most=0, protocol={"batches": len(indices)})
