"""ndabench: the benchmark runner for negative data augmentation (Sinha et al., ICLR 2021).

As a library: `run_sweep` runs a sweep, `load` reads the results of one; `negatives`, `losses` and `metrics`
are for anybody's own training loop. Each name is imported when it is first used. What `__all__` lists here
and in these three modules is what docs/library.md promises to keep.
"""

from typing import TYPE_CHECKING

from ndabench.lazy_names import lazy_names
from ndabench.version import __version__

if TYPE_CHECKING:
    from ndabench import losses, metrics, negatives
    from ndabench.errors import UserError
    from ndabench.planning.sweep_file import SweepConfig
    from ndabench.results import Results, load
    from ndabench.sweep import run_sweep

__all__ = [
    "Results",
    "SweepConfig",
    "UserError",
    "__version__",
    "load",
    "losses",
    "metrics",
    "negatives",
    "run_sweep",
]

__getattr__ = lazy_names(
    __name__,
    {
        "Results": "ndabench.results",
        "SweepConfig": "ndabench.planning.sweep_file",
        "UserError": "ndabench.errors",
        "load": "ndabench.results",
        "losses": "ndabench.losses",
        "metrics": "ndabench.metrics",
        "negatives": "ndabench.negatives",
        "run_sweep": "ndabench.sweep",
    },
)


def __dir__() -> list[str]:
    return __all__
