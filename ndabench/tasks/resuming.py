"""What a task's state is made of, alike for all tasks, and whose state it is."""

import copy
from collections.abc import Mapping
from typing import Any, Protocol

import torch

from ndabench.errors import UserError


class Stateful(Protocol):
    """A network, an optimiser, or anything else that can be saved and set back."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state_dict: Any) -> Any: ...


def snapshot(
    identity: Mapping[str, Any],
    step: int,
    streams: Mapping[str, torch.Generator],
    parts: Mapping[str, Stateful],
) -> dict[str, Any]:
    """A copy of everything that the next step depends on, and of the `identity` that it belongs to."""
    return copy.deepcopy(
        {
            "made_by": dict(identity),
            "step": step,
            "streams": {name: stream.get_state() for name, stream in streams.items()},
            **{name: part.state_dict() for name, part in parts.items()},
        }
    )


def restore(
    state: Mapping[str, Any],
    identity: Mapping[str, Any],
    streams: Mapping[str, torch.Generator],
    parts: Mapping[str, Stateful],
) -> int:
    """Sets `streams` and `parts` back to a `snapshot` and returns its step.

    `UserError` if that is the state of another training.
    """
    _check_identity(state.get("made_by", {}), identity)
    missing = [name for name in parts if name not in state]
    missing += [name for name in streams if name not in state["streams"]]
    if missing:
        raise UserError(f"the checkpoint has no {missing[0]}; another version of ndabench wrote it")
    for name, part in parts.items():
        part.load_state_dict(copy.deepcopy(state[name]))  # optimisers would keep the state's own tensors
    for name, stream in streams.items():
        stream.set_state(state["streams"][name].cpu())
    return int(state["step"])


def _check_identity(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> None:
    for key, value in ours.items():
        if key not in theirs or theirs[key] != value:
            raise UserError(
                f"the checkpoint belongs to another training: its {key} is {theirs.get(key)!r}, "
                f"this one's is {value!r}"
            )
