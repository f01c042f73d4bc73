"""Which sweep a folder of results belongs to, and which driver may write in it now."""

from ndabench.ownership.sweep_ownership import check_ownership, require_owned, sole_driver, take_ownership

__all__ = ["check_ownership", "require_owned", "sole_driver", "take_ownership"]
