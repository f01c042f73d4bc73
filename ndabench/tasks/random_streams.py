"""Independent random streams of one trial, distinguished by name.

Streams never share numbers: an arm that draws negatives sees the same noise, labels and data order as the
arm that draws none.
"""

import hashlib

import torch


def stream_seed(seed: int, name: str) -> int:
    """The seed of the stream `name` of a trial, in [0, 2^63); a fixed function of both."""
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def random_stream(seed: int, name: str, device: torch.device | None = None) -> torch.Generator:
    """A fresh generator at the beginning of the stream `name`."""
    return torch.Generator(device or "cpu").manual_seed(stream_seed(seed, name))
