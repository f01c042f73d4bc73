"""Which sweep a folder of results belongs to, and which driver may write in it now."""

from ndabench.ownership.sweep_ownership import (
    check_ownership,
    recorded_sweep,
    require_owned,
    require_same_data,
    sole_driver,
    take_ownership,
)
from ndabench.records import RECORDED

__all__ = [
    "RECORDED",
    "check_ownership",
    "recorded_sweep",
    "require_owned",
    "require_same_data",
    "sole_driver",
    "take_ownership",
]
