"""The choice of faster kernels: TF32, and `torch.compile`, which is left out where it does not work."""

import copy
from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor, nn

from ndabench.measurement import Measurement


class KernelKeys(Protocol):
    """The keys of a task's configuration that choose kernels."""

    @property
    def tf32(self) -> bool: ...

    @property
    def compile(self) -> bool: ...


def choose_kernels(
    config: KernelKeys, device: torch.device, compile_networks: Callable[[], str]
) -> dict[str, Measurement]:
    """Sets, for this process, whether CUDA rounds float32 products to TF32, and lets cuDNN measure its
    algorithms for shapes that stay the same; compiles if the configuration asks for it.

    `compile_networks` returns an empty string, or the reason why it failed, which the metric `compiled` then
    reports.
    """
    if device.type == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = config.tf32
        torch.backends.cudnn.allow_tf32 = config.tf32
        torch.backends.cudnn.benchmark = True
    if not config.compile:
        return {}
    failure = compile_networks()
    return {"compiled": Measurement(float(not failure), protocol={"failure": failure} if failure else {})}


def compiled_if_possible(
    network: nn.Module, *example: Tensor, trains: bool = True
) -> tuple[Callable[..., Tensor], str]:
    """The compiled network and an empty string, or the network itself and why it could not be compiled.

    Only use shows whether compilation works, so the network runs forward on `example` and, if it `trains`,
    backward; afterwards its weights and buffers are what they were before.
    """
    state = copy.deepcopy(network.state_dict())
    compiled = torch.compile(network, dynamic=False)
    try:
        with torch.set_grad_enabled(trains):
            output = compiled(*example)
        if trains:
            output.sum().backward()
    except Exception as error:  # a missing compiler, driver or kernel may raise anything
        reason = str(error).strip().partition("\n")[0]
        return network, f"{type(error).__name__}: {reason}"[:300]
    finally:
        network.load_state_dict(state)
        network.zero_grad()
    return compiled, ""
