"""What a task hands out: its trained networks, as files that torch opens without ndabench.

Each network is written twice: its weights as safetensors, by its own names, and a program, what
`torch.export.save` writes, which holds its architecture, too.
"""

import io
import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from ndabench.models.weight_files import safetensors_of

PROGRAM = ".pt2"
FACTS = "ndabench.json"
"""The file in a program that says, as JSON, how ndabench feeds the network."""


@dataclass(frozen=True)
class Exported:
    """A network as evaluations measured it."""

    network: nn.Module
    inputs: tuple[Tensor, ...]
    """Zeros in the shape of its inputs, for two samples."""
    takes: str
    gives: str
    """Its inputs and its output, in words."""
    keywords: Mapping[str, Any] = field(default_factory=dict)
    """Further arguments, always the same."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What ndabench needs to feed it again as it was measured: plain data."""


@runtime_checkable
class ExportsNetworks(Protocol):
    """A task that hands out networks; of one that does not, `Task.networks` gives the weights alone."""

    def exports(self, step: int) -> Mapping[str, Exported]:
        """The networks by name, as the evaluations after `step` steps measure them."""
        ...


@runtime_checkable
class RecordsWeights(Protocol):
    """A task whose last step records the weights of all that evaluations measure, by `export_encoder`."""

    def weight_files(self) -> Mapping[str, nn.Module]:
        """The networks by the names of their files."""
        ...


def exported_encoder(
    features: nn.Module, holds: str, shape: Sequence[int], facts: Mapping[str, Any] | None = None
) -> Exported:
    """An encoder of images or clips (which of them, `holds` says) of one shape in [-1, 1]."""
    return Exported(
        features,
        (torch.zeros(2, *shape),),
        takes=f"{holds} float32 [N, {', '.join(map(str, shape))}] in [-1, 1]",
        gives=f"features float32 [N, {features.dimension}]",
        facts=facts or {},
    )


def weights_file(network: nn.Module) -> bytes:
    """The weights as safetensors: float32, by the network's own names."""
    return safetensors_of(network.state_dict())


def program_file(exported: Exported, **facts: Any) -> bytes:
    """The network with its weights as a program for the CPU, for any number of samples.

    `facts` are added to its own.

    The network is left in eval mode. Raises what `torch.export` raises for a network that it cannot trace.
    """
    called = _Called(exported.network, exported.keywords).eval()
    samples = tuple({0: torch.export.Dim.DYNAMIC} for _ in exported.inputs)
    with torch.no_grad(), warnings.catch_warnings():
        # of weights in channels_last, which are saved rightly
        warnings.filterwarnings("ignore", "No complete tensor found in the group")
        program = torch.export.export(called, exported.inputs, dynamic_shapes=(samples,))
        buffer = io.BytesIO()
        torch.export.save(program, buffer, extra_files={FACTS: json.dumps({**exported.facts, **facts})})
    return buffer.getvalue()


class _Called(nn.Module):
    """The network with its further arguments filled in."""

    def __init__(self, network: nn.Module, keywords: Mapping[str, Any]) -> None:
        super().__init__()
        self.network, self.keywords = network, dict(keywords)

    def forward(self, *inputs: Tensor) -> Tensor:
        outputs: Tensor = self.network(*inputs, **self.keywords)
        return outputs
