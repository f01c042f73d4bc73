"""Weights of pretrained extractors, from a file that the user names or from caches that the user filled.

Nothing here downloads anything. `inception.py` finds its own weights.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from ndabench.errors import UserError
from ndabench.models.weight_files import read_state


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


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a file, without the prefix `module.`; `UserError` as `read_state` raises it."""
    return {name.removeprefix("module."): tensor for name, tensor in read_state(path).items()}


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
