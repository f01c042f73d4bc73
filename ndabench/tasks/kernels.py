"""The choice of faster kernels: TF32, and `torch.compile` with a way back where it does not work."""

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn


def choose_cuda_kernels(*, tf32: bool) -> None:
    """Sets, for this process, whether CUDA rounds float32 products to TF32, and lets cuDNN measure its
    algorithms for shapes that stay the same."""
    torch.backends.cuda.matmul.allow_tf32 = tf32
    torch.backends.cudnn.allow_tf32 = tf32
    torch.backends.cudnn.benchmark = True


def compiled_if_possible(
    network: nn.Module, *example: Tensor, trains: bool = True
) -> tuple[Callable[..., Tensor], str]:
    """The compiled network and an empty string, or the network itself and why it could not be compiled.

    Whether it works shows only in use, so the network is tried, forward and, where it `trains`, backward, on
    `example`; its weights and buffers are afterwards what they were before.
    """
    state = copy.deepcopy(network.state_dict())
    compiled = torch.compile(network, dynamic=False)
    try:
        with torch.set_grad_enabled(trains):
            output = compiled(*example)
        if trains:
            output.sum().backward()
    except Exception as error:  # whatever a missing compiler, driver or kernel raises
        reason = str(error).strip().partition("\n")[0]
        return network, f"{type(error).__name__}: {reason}"[:300]
    finally:
        network.load_state_dict(state)
        network.zero_grad()
    return compiled, ""
