"""The same training step on two devices and in two precisions, with the same random draws.

A CUDA generator and a CPU generator draw different numbers from one seed, so a step on a card cannot be
compared with one on a CPU as it is. Inside `SharedDraws` every draw comes from a CPU generator that has the
seed of the one that was given; inside `InFloat64` whatever the code calls float32 is float64. Neither needs a
change to what it runs.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

FACTORIES = frozenset({torch.rand, torch.randn, torch.randint, torch.randperm})
IN_PLACE = frozenset({torch.Tensor.normal_, torch.Tensor.uniform_})


class SharedDraws(TorchFunctionMode):
    """Draws with an explicit generator come from its twin on the CPU, always in float32."""

    def __init__(self) -> None:
        super().__init__()
        self._twins: dict[int, tuple[torch.Generator, torch.Generator]] = {}

    def _twin(self, generator: torch.Generator) -> torch.Generator:
        if id(generator) not in self._twins:  # the original is kept, so that no other gets its id
            twin = torch.Generator().manual_seed(generator.initial_seed())
            self._twins[id(generator)] = (twin, generator)
        return self._twins[id(generator)][0]

    def __torch_function__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        keywords = dict(kwargs or {})
        generator = keywords.get("generator")
        if generator is None:
            return func(*args, **keywords)
        keywords["generator"] = self._twin(generator)
        if func in FACTORIES:
            device = keywords.pop("device", generator.device)
            if keywords.get("dtype") in (None, torch.float64) and func not in (torch.randint, torch.randperm):
                keywords["dtype"] = torch.float32
            return self._as_wanted(func(*args, **keywords, device="cpu"), device)
        if func in IN_PLACE:
            target, *rest = args
            drawn = func(torch.empty(target.shape, dtype=torch.float32), *rest, **keywords)
            return target.copy_(drawn)
        if func is torch._sample_dirichlet:
            concentration = args[0]
            drawn = func(concentration.cpu().float(), **keywords)
            return drawn.to(concentration)
        if generator.device.type == "cpu":  # the initial weights of layers
            return func(*args, **keywords)
        raise NotImplementedError(f"{func} draws in a way that SharedDraws does not know")

    @staticmethod
    def _as_wanted(drawn: Tensor, device: torch.device) -> Tensor:
        wanted = torch.get_default_dtype() if drawn.is_floating_point() else drawn.dtype
        return drawn.to(device, wanted)


class InFloat64(TorchFunctionMode):
    """What asks for float32 gets float64."""

    def __enter__(self) -> "InFloat64":
        self._before = torch.get_default_dtype()
        torch.set_default_dtype(torch.float64)
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        torch.set_default_dtype(self._before)

    def __torch_function__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func is torch.Tensor.float:
            return torch.Tensor.double(*args, **(kwargs or {}))
        return func(*map(_wider, args), **{key: _wider(value) for key, value in (kwargs or {}).items()})


def _wider(value: Any) -> Any:
    return torch.float64 if value is torch.float32 else value


def relative_difference(found: Sequence[Tensor], expected: Sequence[Tensor]) -> float:
    """‖found − expected‖ / ‖expected‖ over all tensors together, in float64 on the CPU."""
    one, other = (
        torch.cat([t.detach().cpu().double().flatten() for t in each]) for each in (found, expected)
    )
    return ((one - other).norm() / other.norm().clamp_min(1e-300)).item()


def gradients(networks: Mapping[str, torch.nn.Module]) -> dict[str, list[Tensor]]:
    """Copies of what `backward` left, by network."""
    return {
        name: [p.grad.detach().clone() for p in network.parameters() if p.grad is not None]
        for name, network in networks.items()
    }
