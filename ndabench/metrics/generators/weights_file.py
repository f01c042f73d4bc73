"""Weights of pretrained networks, from a file that the user names or from caches that the user filled.

Nothing here downloads anything, and nothing but tensors is ever unpickled.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ndabench.errors import UserError

WRAPPERS = ("state_dict", "model")
"""The keys under which checkpoints keep the weights."""


def find_weights(
    extractor: str, given: Path | None, *, published: str, in_hub: tuple[str, str] | None = None
) -> Path:
    """The file `given`, or `published` in torch's hub cache, or (repository, file) in that of Hugging Face.

    `published` is a file name or a URL that ends in one. Raises `UserError` that says what to get.
    """
    if given is not None:
        path = given.expanduser().absolute()
        if not path.is_file():
            raise UserError(f"{path}: no such file (weights must name those of the {extractor} extractor)")
        return path
    if published:
        cached = Path(torch.hub.get_dir()) / "checkpoints" / published.rpartition("/")[2]
        if cached.is_file():
            return cached
    if in_hub is not None:
        try:
            # late: an optional package
            from huggingface_hub import try_to_load_from_cache
        except ImportError:
            pass
        else:
            found = try_to_load_from_cache(*in_hub)
            if isinstance(found, str):
                return Path(found)
    source = published or (f"{in_hub[1]} of {in_hub[0]} (Hugging Face)" if in_hub else "its weights")
    raise UserError(
        f"the {extractor} extractor needs its weights: get {source} and name the file in `weights`; "
        "neither torch's hub cache nor that of Hugging Face has it, and nothing is downloaded"
    )


def file_sha256(path: Path) -> str:
    """Hex SHA-256 of the file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(1 << 24):
            digest.update(part)
    return digest.hexdigest()


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a `.safetensors` file or of a pickled checkpoint, without the prefix `module.`.

    Raises `UserError` where the file holds no tensors, or anything that could run code.
    """
    try:
        if path.suffix == ".safetensors":
            # late: only for such files
            from safetensors.torch import load_file

            content: Any = load_file(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except ImportError:
        raise UserError(f"{path}: reading it needs safetensors: pip install safetensors") from None
    except Exception:  # unpickling strange bytes may raise anything
        raise UserError(f"{path}: does not hold weights alone, as a state dict or safetensors") from None
    for wrapper in WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    if not isinstance(content, dict):
        raise UserError(f"{path}: does not hold weights by name")
    return {
        name.removeprefix("module."): tensor for name, tensor in content.items() if isinstance(tensor, Tensor)
    }


def load_fully(
    network: nn.Module, weights: dict[str, Tensor], path: Path, *, ignore: Sequence[str] = ()
) -> None:
    """Loads every weight of the network; `UserError`, which names one key, where one does not fit.

    Keys that begin with one of `ignore` may be in the file.
    """
    wanted = network.state_dict()
    kept = {name: one for name, one in weights.items() if not name.startswith(tuple(ignore) or ("\0",))}
    missing = [name for name in wanted if name not in kept and not name.endswith("num_batches_tracked")]
    surplus = [name for name in kept if name not in wanted]
    reshaped = [name for name in kept if name in wanted and kept[name].shape != wanted[name].shape]
    for problem, names in (("lacks", missing), ("has in another shape", reshaped), ("also has", surplus)):
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise UserError(
                f"{path}: are not the weights of this network: the file {problem} {names[0]!r}{more}"
            )
    network.load_state_dict(kept, strict=False)
