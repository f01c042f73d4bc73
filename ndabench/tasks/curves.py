"""Training curves: means of values since they were last looked at, kept on the device until then."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ndabench.distributed import Workers


class Curves:
    """Running means by name; adding to them never waits for the device."""

    def __init__(self, workers: Workers) -> None:
        self.workers = workers
        self.sums: dict[str, Tensor] = {}
        self.counts: dict[str, int] = {}

    def add(self, values: Mapping[str, Tensor]) -> None:
        """Counts each tensor's mean once."""
        for name, value in values.items():
            mean = value.detach().float().mean()
            self.sums[name] = self.sums[name] + mean if name in self.sums else mean
            self.counts[name] = self.counts.get(name, 0) + 1

    def read(self) -> dict[str, float]:
        """The means over all workers since the last `clear`.

        Afterwards the sums are equal on every worker, so that the main worker's state is that of all workers.
        """
        if not self.sums:
            return {}
        total = self.workers.all_reduce_sum(torch.stack(list(self.sums.values())))
        world_size = self.workers.world_size
        self.sums = dict(zip(self.sums, (total / world_size).unbind(), strict=True))
        return {
            name: value / self.counts[name] / world_size
            for name, value in zip(self.sums, total.tolist(), strict=True)
        }

    def clear(self) -> None:
        self.sums, self.counts = {}, {}

    def state_dict(self) -> dict[str, Any]:
        return {"sums": dict(self.sums), "counts": dict(self.counts)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.sums = {name: value.to(self.workers.device) for name, value in state["sums"].items()}
        self.counts = dict(state["counts"])
