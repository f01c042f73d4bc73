"""Checkpoints of other projects: the weights of a backbone, under whatever names they were saved.

A checkpoint puts a prefix before the names (`module.` by data-parallel training, `module.encoder_q.` in MoCo,
`backbone.` in solo-learn and lightly, `module.backbone.` in DPC), and may number the layers (lightly wraps
`children()[:-1]` of a ResNet in a Sequential). What remains after that are torchvision's names.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from ndabench.errors import UserError, first_of
from ndabench.models.weight_files import State
from ndabench.models.weights import COUNTER, HEADS

NUMBERED: Mapping[str, Mapping[str, str]] = {
    "as saved": {},
    "children of torchvision's ResNet, numbered": {
        "0": "conv1",
        "1": "bn1",
        **{str(number + 3): f"layer{number}" for number in (1, 2, 3, 4)},
    },
    "children of lightly's ResNet, numbered": {
        "0": "conv1",
        "1": "bn1",
        **{str(number + 1): f"layer{number}" for number in (1, 2, 3, 4)},
    },
}
"""What the first part of a name stands for, by the layout's description."""
SECOND_CHOICE = re.compile(r"encoder_k|momentum|teacher|target|ema")
"""Parts of prefixes of networks that follow another by a moving average: taken only where they fit better."""


@dataclass(frozen=True)
class Match:
    """How the weights of a checkpoint fit a backbone."""

    prefix: str
    layout: str
    state: State
    """The weights that fit, by the backbone's names."""
    missing: tuple[str, ...]
    """Names of the backbone that the checkpoint lacks or has in another shape."""
    surplus: tuple[str, ...]
    """Names in the checkpoint that are not the backbone's, its heads included."""
    others: tuple[str, ...] = ()
    """Prefixes that fit as well, and were not taken."""

    @property
    def report(self) -> str:
        """`122 matched, 0 missing, 8 surplus (module.encoder_q.fc.0.weight, …)`."""
        missing = f" ({first_of(self.missing, 3)})" if self.missing else ""
        surplus = f" ({first_of(self.surplus, 3)})" if self.surplus else ""
        also = f"; {first_of(self.others, 3)} would fit, too" if self.others else ""
        return (
            f"prefix {self.prefix!r}, {self.layout}: {len(self.state)} matched, {len(self.missing)} missing"
            f"{missing}, {len(self.surplus)} surplus{surplus}{also}"
        )


def match(state: State, backbone: State, prefix: str | None = None) -> Match:
    """The prefix and the layout under which most of the backbone's weights are in `state`.

    `prefix` allows only that one.
    """
    wanted = {name: one.shape for name, one in backbone.items() if not name.endswith(COUNTER)}
    prefixes = [prefix] if prefix is not None else list(dict.fromkeys(prefixes_of(state)))
    found = [_matched(state, wanted, one, layout) for one in prefixes for layout in NUMBERED]
    most = max(len(one.state) for one in found)
    best = [one for one in found if len(one.state) == most]
    best.sort(key=lambda one: SECOND_CHOICE.search(one.prefix) is not None)
    chosen = best[0]
    others = tuple(dict.fromkeys(one.prefix for one in best[1:] if one.prefix != chosen.prefix))
    return Match(
        chosen.prefix, chosen.layout, chosen.state, chosen.missing, chosen.surplus, others if most else ()
    )


def renamed(state: State, prefix: str, layout: str) -> dict[str, tuple[str, Tensor]]:
    """The weights below `prefix`, with their names in the file, by the names that `layout` gives them."""
    first_parts, found = NUMBERED[layout], {}
    for name, tensor in state.items():
        if not name.startswith(prefix) or name.endswith(COUNTER):
            continue
        first, dot, rest = name.removeprefix(prefix).partition(".")
        ours = first_parts.get(first, first) + dot + rest
        found[ours.replace(".shortcut.", ".downsample.")] = (name, tensor)
    return found


def prefixes_of(state: State) -> Iterator[str]:
    """Every beginning of a name, up to a dot, the shortest first."""
    yield ""
    for depth in (1, 2, 3, 4):
        for name in state:
            parts = name.split(".")
            if len(parts) > depth:
                yield ".".join(parts[:depth]) + "."


def _matched(state: State, wanted: Mapping[str, Any], prefix: str, layout: str) -> Match:
    theirs = renamed(state, prefix, layout)
    fitting = {
        name: theirs[name] for name in wanted if name in theirs and theirs[name][1].shape == wanted[name]
    }
    used = {name for name, _ in fitting.values()}
    return Match(
        prefix,
        layout,
        {name: tensor for name, (_, tensor) in fitting.items()},
        tuple(name for name in wanted if name not in fitting),
        tuple(name for name in state if name not in used and not name.endswith(COUNTER)),
    )


def require_whole(found: Match, path: Path, title: str, *, partly: bool) -> None:
    """`UserError` where less than the whole backbone is in the checkpoint, unless `partly` allows it."""
    if not found.state:
        names = first_of([name for name in found.surplus if not HEADS.match(name)], 3)
        raise UserError(f"{path}: no weight fits {title}; the file's names begin with {names}")
    if not found.missing or partly:
        return
    moments = [name for name in found.missing if name.endswith(("running_mean", "running_var"))]
    if len(moments) == len(found.missing):
        raise UserError(
            f"{path}: lacks the running moments of all batch norms of {title} ({found.report}); it was "
            "trained without them; --partly normalises by zeros and ones"
        )
    raise UserError(
        f"{path}: only {len(found.state)} of {len(found.state) + len(found.missing)} weights of {title} are "
        f"in it ({found.report}); name another --encoder or --prefix, or say --partly"
    )
