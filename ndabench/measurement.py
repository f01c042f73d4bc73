"""A measured number and everything needed to compare it with another one."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Better = Literal["lower", "higher", "neither"]
MetricKind = Literal["curve", "metric", "check"]
MeasuredSplit = Literal["", "validation", "test"]

NEGATIVES_EQUAL = "negatives_equal"
"""The share of a negative's outputs that equal their input; see `trials/negative_changes.py`."""
NEGATIVES_NEARLY_EQUAL = "negatives_nearly_equal"
"""The share of them that change almost nothing."""
NEGATIVES_INSIDE = "negatives_inside"
"""The share of a negative's outputs that lie in the support of the data, where that is known."""

OF_LIVE_WEIGHTS = "_live"
"""Ends the name of a metric of a generator's weights in training, where the metric itself is of their moving
average."""


@dataclass(frozen=True)
class Measurement:
    """One value with its direction, its unit and the protocol it was measured under.

    `protocol` is plain JSON data (samples, reference split and size, extractor, ...). Two values may be
    compared only where their protocols are equal.
    """

    value: float
    better: Better = "neither"
    unit: str = ""
    protocol: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    """Wall time that the measurement itself took."""
    kind: MetricKind = "curve"
    """A training curve, a metric (the result of an evaluation), or a check of a machine (benchmarks/gpu)."""
    metric: str = ""
    """The metric's own name, such as `fd_classifier`; empty where the key it is stored under is the name."""
    split: MeasuredSplit = ""
    """The split of the data that a metric was measured on; empty for a curve."""
    label: str = ""
    """The label given by the evaluation's `as`, which distinguishes two measurements of the same metric."""


def displayed_name(metric: str, split: str = "", label: str = "") -> str:
    """The one name of a value in progress lines, trackers and reports, derived from its three parts.

    The metric comes first, `val_` in front of it if it was measured on the validation split, and the label
    that `as` adds behind it: `val_fd_classifier`, `dpc_finetune_hmdb51`. No code splits such a name into its
    parts again.
    """
    return ("val_" if split == "validation" else "") + metric + (f"_{label}" if label else "")
