"""How long a sweep will take and how much room its checkpoints, from what a few steps of each arm took."""

from collections.abc import Iterator, Sequence

from ndabench.planning.sweep_file import Arm, SweepConfig
from ndabench.trials.checkpoints import KEPT
from ndabench.trials.config import Cost

GIB = 2**30


def estimate(config: SweepConfig, costs: Sequence[Cost], at_a_time: int) -> Iterator[str]:
    """A line for each arm, and one for the sweep; one more where a limit of the file would be reached."""
    by_arm = {cost.arm: cost for cost in costs}
    total = longest = size = memory = 0.0
    for arm in config.arms:
        cost, trials = by_arm[arm.name], _trials_of(config, arm)
        total += trials * cost.seconds
        longest = max(longest, cost.seconds)
        size += trials * KEPT * cost.checkpoint_bytes
        memory = max(memory, cost.memory_bytes)
        yield (
            f"{arm.name}: {trials} × {_time(cost.seconds)} ({cost.num_steps:,} steps of "
            f"{cost.seconds_per_step:.3g} s, {_time(cost.seconds_measuring)} measuring)"
        )
    gpus = config.resources.workers * config.resources.gpus_per_worker
    hours = total * gpus / 3600
    yield (
        f"in all about {_time(max(total / at_a_time, longest))} with {at_a_time} at a time, {hours:.3g} "
        f"GPU-hours; checkpoints take up to {size / GIB:.2g} GiB, a trial {memory / GIB:.2g} GiB of memory"
    )
    limits = config.limits
    if limits.gpu_hours is not None and hours > limits.gpu_hours:
        yield f"caution: limits.gpu_hours: {limits.gpu_hours:g} will end the sweep before its last trial"
    if limits.disk_gib is not None and size / GIB > limits.disk_gib:
        yield f"caution: limits.disk_gib: {limits.disk_gib:g} may end the sweep before its last trial"


def _trials_of(config: SweepConfig, arm: Arm) -> int:
    if config.search.is_grid:
        return sum(1 for _ in config.settings_of(arm)) * len(config.seeds)
    return bool(config.dimensions_of(arm)) * config.search.trials_per_arm + config.most_repeated(arm) * len(
        config.seeds
    )


def _time(seconds: float) -> str:
    """`12 s`, `8 min`, `3.5 h`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
