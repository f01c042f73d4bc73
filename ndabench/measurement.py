"""A measured number and everything needed to compare it with another one."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Better = Literal["lower", "higher", "neither"]


@dataclass(frozen=True)
class Measurement:
    """One value with its direction, its unit and the protocol it was measured under.

    `protocol` is plain JSON data (samples, reference split and size, extractor, ...). Two values may be
    compared only where their protocols are equal. Training curves carry an empty protocol.
    """

    value: float
    better: Better = "neither"
    unit: str = ""
    protocol: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    """Wall time that the measurement itself took."""
