"""Independent random streams of one trial, distinguished by name.

Streams never share numbers: an arm that draws negatives sees the same noise, labels and data order as the
arm that draws none.
"""

import hashlib

import torch
from torch import Tensor


def stream_seed(seed: int, name: str) -> int:
    """The seed of the stream `name` of a trial, in [0, 2^63); a fixed function of both."""
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def random_stream(seed: int, name: str, device: torch.device | None = None) -> torch.Generator:
    """A fresh generator at the beginning of the stream `name`."""
    return torch.Generator(device or "cpu").manual_seed(stream_seed(seed, name))


def continue_stream(stream: torch.Generator, state: Tensor) -> bool:
    """Continues `stream` from what `get_state` of a generator gave; whether the same numbers follow.

    A generator cannot use the state of one on another kind of device: on a CPU it is 5056 bytes of a Mersenne
    twister, on CUDA 16 bytes, a seed and an offset. The stream then begins anew at a seed that is a fixed
    function of that state: it differs between streams and between steps, and is the same whenever the same
    checkpoint is continued.
    """
    state = state.cpu()
    if len(state) == len(stream.get_state()):
        stream.set_state(state)
        return True
    digest = hashlib.sha256(state.numpy().tobytes()).digest()
    stream.manual_seed(int.from_bytes(digest[:8], "big") >> 1)
    return False
