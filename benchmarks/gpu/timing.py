"""Timing contestants in turns for a number of seconds, and the share of the card's peak that they reach."""

import random
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.gpu.results import Bench

Take = Callable[[], Any]

PEAK_TFLOPS: Mapping[str, float] = {"bf16": 989, "tf32": 495, "fp32": 67}
"""Dense, of the H100 SXM and the H200 alike (NVIDIA H100 and H200 data sheets; the H100 sheet's figures with
sparsity, 1,979 and 989 for bf16 and TF32, are twice these)."""


def wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def race_for(
    contestants: Mapping[str, Take], seconds: float, bench: Bench, *, least_rounds: int = 3
) -> dict[str, list[float]]:
    """Seconds of every call of each contestant, in rounds with a new order, until `seconds` have passed.

    One round before them is not counted.
    """
    samples: dict[str, list[float]] = {name: [] for name in contestants}
    order = random.Random(0)
    least = bench.sized(least_rounds, 1)
    end, rounds = 0.0, -1
    while rounds < least or time.monotonic() < end:
        for name in order.sample(list(contestants), len(contestants)):
            wait_for(bench.device)
            start = time.perf_counter()
            contestants[name]()
            wait_for(bench.device)
            if rounds >= 0:
                samples[name].append(time.perf_counter() - start)
        rounds += 1
        if rounds == 0:
            end = time.monotonic() + bench.sized(seconds, 0)
    return samples


def seconds_per_call(run: Take, bench: Bench, *, seconds: float = 0.05, rounds: int = 9) -> list[float]:
    """Seconds of one call, `rounds` times, each the mean of as many calls as fill `seconds`."""
    run()
    wait_for(bench.device)
    start = time.perf_counter()
    run()
    wait_for(bench.device)
    calls = max(1, int(bench.sized(seconds, 0) / max(time.perf_counter() - start, 1e-6)))
    samples = []
    for _ in range(bench.sized(rounds, 2)):
        start = time.perf_counter()
        for _ in range(calls):
            run()
        wait_for(bench.device)
        samples.append((time.perf_counter() - start) / calls)
    return samples


def rates(samples: list[float], count: float) -> list[float]:
    """`count` things a call, as things a second."""
    return [count / seconds for seconds in samples]


def median(samples: list[float]) -> float:
    return statistics.median(samples)


def flops_of(run: Take) -> int:
    """Floating-point operations of the matrix products and convolutions that `run` makes, forward and
    backward (`torch.utils.flop_counter`)."""
    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops()


def share_of_peak(flops: float, seconds: float, precision: str) -> float:
    """Of the H100's and H200's peak; means nothing on another device."""
    return flops / seconds / (PEAK_TFLOPS[precision] * 1e12)
