"""The workers of one trial, over plain `torch.distributed`.

The same object serves a run alone, under torchrun and under Ray Train, so that a task needs no branch
for any of them. The convention throughout: every worker makes the same random draws and batches for the
*global* batch, and keeps its equal slice of it; a run on two workers then takes the same step as a run on
one.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from ndabench.errors import UserError


@dataclass(frozen=True)
class Workers:
    """This worker's rank among the workers of its trial, and the operations that they do together."""

    rank: int = 0
    world_size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @classmethod
    def current(cls, device: torch.device) -> "Workers":
        """The workers of the initialised process group, or a lone worker where there is none."""
        if dist.is_available() and dist.is_initialized():
            return cls(dist.get_rank(), dist.get_world_size(), device)
        return cls(device=device)

    @property
    def is_main(self) -> bool:
        return self.rank == 0

    def shard(self, batch: Tensor) -> Tensor:
        """This worker's slice of a global batch, `[N, ...] -> [N / world_size, ...]`."""
        if len(batch) % self.world_size:
            raise UserError(
                f"a batch of {len(batch)} cannot be shared equally by {self.world_size} workers; "
                f"make the batch size a multiple of {self.world_size}"
            )
        size = len(batch) // self.world_size
        return batch[self.rank * size : (self.rank + 1) * size]

    def all_reduce_sum(self, tensor: Tensor) -> Tensor:
        """Sums `tensor` over the workers in place and returns it (no gradient)."""
        if self.world_size > 1:
            dist.all_reduce(tensor)
        return tensor

    def all_gather(self, tensor: Tensor) -> Tensor:
        """The workers' equally sized `[n, ...]` tensors as one `[n * world_size, ...]`, in rank order."""
        if self.world_size == 1:
            return tensor
        # contiguous, because some backends exchange the memory without regard to its strides
        parts = [
            torch.empty_like(tensor, memory_format=torch.contiguous_format) for _ in range(self.world_size)
        ]
        dist.all_gather(parts, tensor.contiguous())
        return torch.cat(parts)

    def all_gather_with_gradient(self, tensor: Tensor) -> Tensor:
        """`all_gather` through which gradients flow: this worker's rows get the sum of all workers' gradients
        for them. All workers must also run its backward pass."""
        return tensor if self.world_size == 1 else _Gathered.apply(tensor, self)

    def average_gradients(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """Replaces every gradient by its mean over the workers, in one flat all-reduce."""
        if self.world_size == 1:
            return
        gradients = [p.grad for p in parameters if p.grad is not None]
        flat = torch.cat([g.reshape(-1) for g in gradients])
        self.all_reduce_sum(flat).div_(self.world_size)
        for gradient, mean in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(mean.view_as(gradient))

    def require_equal(self, value: str, what: str, remedy: str) -> None:
        """Raises `UserError` on every worker if they do not all have the same `value`."""
        if self.world_size == 1:
            return
        values: list[str | None] = [None] * self.world_size
        dist.all_gather_object(values, value)
        if len(set(values)) > 1:
            raise UserError(f"the workers of one trial have different {what}; {remedy}")

    def barrier(self) -> None:
        if self.world_size > 1:
            dist.barrier()


class _Gathered(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: Tensor, workers: Workers) -> Tensor:
        ctx.workers = workers
        return workers.all_gather(tensor)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        total = ctx.workers.all_reduce_sum(gradients[0].clone(memory_format=torch.contiguous_format))
        return ctx.workers.shard(total), None


def usual_device() -> torch.device:
    """A GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
