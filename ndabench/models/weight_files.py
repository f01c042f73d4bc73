"""Files of weights: written as safetensors, and read from whatever torch or safetensors saved.

Reading runs no code from a file. Projects nest the state dict (`state_dict` in Lightning, MoCo and DPC,
`model` in timm and DINO); it is found under any of `NESTS`.
"""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save
from torch import Tensor

from ndabench.errors import UserError
from ndabench.foreign_text import shown_text

State = Mapping[str, Tensor]

SAFETENSORS = ".safetensors"
NESTS = (
    "state_dict",
    "model_state_dict",
    "model_state",
    "model",
    "net",
    "encoder",
    "backbone",
    "student",
    "teacher",
)
"""The keys under which projects keep a state dict, in the order in which they are tried."""
ANSI = re.compile(r"\x1b\[[0-9;]*m")
"""What torch colours parts of its messages with."""


def read_state(path: Path) -> dict[str, Tensor]:
    """The state dict in a file of torch or safetensors, on the CPU, by the names in the file.

    Raises `UserError` for a file that is missing, that cannot be read without running code from it, or that
    holds no weights by name.
    """
    if not path.is_file():
        raise UserError(f"{path}: there is no such file of weights")
    try:
        content: Any = (
            load_file(path)
            if path.suffix == SAFETENSORS
            else torch.load(path, map_location="cpu", weights_only=True)
        )
    except Exception as error:  # a damaged or foreign file makes torch raise a dozen kinds
        reason = shown_text(ANSI.sub("", str(error)).strip().partition("\n")[0])[:100]
        raise UserError(
            f"{path}: cannot be read as weights without running code from it ({reason})"
        ) from None
    found = _state_in(content, depth=3)
    if found is None:
        raise UserError(f"{path}: holds no state dict (looked under {', '.join(NESTS)})")
    return found


def _state_in(value: Any, depth: int) -> dict[str, Tensor] | None:
    """The tensors of the first mapping that has any, in the order of `NESTS`."""
    if not isinstance(value, Mapping):
        return None
    tensors = {name: one for name, one in value.items() if isinstance(name, str) and isinstance(one, Tensor)}
    if len(tensors) > 1 or depth == 0:
        return tensors or None
    nested = (_state_in(value[name], depth - 1) for name in NESTS if name in value)
    return next((one for one in nested if one), tensors or None)


def file_sha256(path: Path) -> str:
    """Hex SHA-256 of the file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(1 << 24):
            digest.update(part)
    return digest.hexdigest()


def plain_state(state: State) -> dict[str, Tensor]:
    """The tensors on the CPU, contiguous, floats in float32."""
    return {name: _plain(tensor) for name, tensor in state.items()}


def _plain(tensor: Tensor) -> Tensor:
    tensor = tensor.detach().cpu()
    return (tensor.float() if tensor.is_floating_point() else tensor).contiguous()


def safetensors_of(state: State, **metadata: str) -> bytes:
    """A safetensors file of `plain_state(state)`, with `metadata` in its header."""
    copies = {name: tensor.clone() for name, tensor in plain_state(state).items()}  # no two share memory
    return save(copies, metadata or None)
