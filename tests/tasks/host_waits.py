"""A device that cannot be read, to find on a CPU what would make the host wait for a card.

Tensors on PyTorch's "meta" device have shapes and no values. A training whose data and networks lie there
takes its steps, gradients and optimisers included, as long as the host asks for no value. `no_waits` sees
every operation on them and raises `HostWaitError` for one that on CUDA waits for the device, the same that
`torch.cuda.set_sync_debug_mode("error")` refuses on a card: a read, a shape that depends on values, or a copy
in either direction that is not asynchronous.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

CARD = torch.device("meta")
READS = {
    *("_local_scalar_dense", "item", "is_nonzero", "equal", "allclose"),
    *("nonzero", "argwhere", "masked_select", "bincount", "multinomial", "_linalg_check_errors"),
    *("_unique", "_unique2", "unique_dim", "unique_consecutive", "repeat_interleave"),
}
"""They return a value to the host, or need one to know the shape of their result."""
INDEXING = {"index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index", "_unsafe_index_put"}
COPIES = {"_to_copy", "copy_", "copy"}
FROM_VALUES = {torch.tensor, torch.as_tensor, torch.asarray, Tensor.new_tensor}
"""They copy Python values to the device and wait; of a "meta" tensor PyTorch copies nothing, and so no
operation is seen."""


class HostWaitError(AssertionError):
    """The host would wait for the device."""


@contextmanager
def no_waits() -> Iterator[None]:
    """Raises `HostWaitError` where an operation would make the host wait for `CARD`."""
    with _Operations(), _ValuesForTheCard():
        yield


class _Operations(TorchDispatchMode):
    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        keywords = kwargs or {}
        reason = _reason(func.overloadpacket.__name__, args, keywords)
        if reason:
            raise HostWaitError(f"{func}: {reason}")
        return func(*args, **keywords)


def _reason(name: str, args: Sequence[Any], keywords: Mapping[str, Any]) -> str:
    """Why an operation would make the host wait, or an empty string."""
    tensors = [leaf for leaf in tree_leaves((args, keywords)) if isinstance(leaf, Tensor)]
    there = [tensor.device == CARD for tensor in tensors]
    if name in COPIES:
        target = keywords.get("device") or tensors[0].device
        source = tensors[-1].device
        asynchronous = keywords.get("non_blocking") or (name != "_to_copy" and True in args[2:])
        if source == CARD != target:
            return "reads from the device"
        return "copies to the device and waits" if target == CARD != source and not asynchronous else ""
    if not any(there):
        return ""
    if name in READS:
        return "reads from the device"
    if name in INDEXING:
        indices = [index for index in args[1] if index is not None]
        if any(index.dtype in (torch.bool, torch.uint8) for index in indices):
            return "a mask as an index: the host counts its elements"
    if any(tensor.dim() and tensor.device != CARD for tensor in tensors):
        return "takes a tensor from the host"
    return ""


class _ValuesForTheCard(TorchFunctionMode):
    def __torch_function__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if func in FROM_VALUES and result.device == CARD and result is not args[0]:
            raise HostWaitError(f"{func.__name__}: copies values to the device and waits")
        return result


class CardGenerator(torch.Generator):
    """A generator that says it is on the card; nothing is ever drawn from it."""

    def __new__(cls, device: Any = "cpu") -> "CardGenerator":
        return super().__new__(cls)

    def __init__(self, device: Any = "cpu") -> None:
        self._device = torch.device(device)

    @property
    def device(self) -> torch.device:  # type: ignore[override]  # PyTorch declares an attribute
        return self._device


@contextmanager
def card() -> Iterator[torch.device]:
    """Within it trainings can be built on the device that is given; `no_waits` watches them."""
    autocast = torch.autocast

    def of_the_card(device_type: str, **keywords: Any) -> Any:
        return autocast("cpu" if device_type == CARD.type else device_type, **keywords)

    with (
        patch.object(torch, "Generator", CardGenerator),
        patch.object(torch, "autocast", of_the_card),
        patch.object(torch, "_sample_dirichlet", lambda alphas, generator: torch.empty_like(alphas)),
        patch("torch.optim.optimizer._get_fused_kernels_supported_devices", lambda: ["cpu", CARD.type]),
    ):
        yield CARD
