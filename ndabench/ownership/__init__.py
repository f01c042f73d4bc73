"""Which sweep a folder of results belongs to, and which driver may write in it now."""

from ndabench.ownership.sweep_ownership import (
    RECORDED,
    check_ownership,
    recorded_sweep,
    require_owned,
    require_same_data,
    sole_driver,
    take_ownership,
)

__all__ = [
    "RECORDED",
    "check_ownership",
    "recorded_sweep",
    "require_owned",
    "require_same_data",
    "sole_driver",
    "take_ownership",
]
