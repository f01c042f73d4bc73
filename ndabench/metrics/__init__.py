"""Measures of generated images, of image encoders and of clip encoders; `registry.py` lists them.

For anybody's own features: `__all__` has the functions that need nothing else, each imported when it is first
used.

    >>> import torch
    >>> from ndabench.metrics import frechet_between
    >>> frechet_between(torch.tensor([[0.0], [2.0]]), torch.tensor([[3.0], [5.0]]))
    9.0
"""

from typing import TYPE_CHECKING

from ndabench.lazy_names import lazy_names

if TYPE_CHECKING:
    from ndabench.metrics.generators.cmmd import cmmd
    from ndabench.metrics.generators.frechet import frechet_between
    from ndabench.metrics.generators.inception_score import inception_score
    from ndabench.metrics.generators.kid import kernel_distance
    from ndabench.metrics.generators.manifolds import density_coverage, precision_recall
    from ndabench.metrics.generators.memorization import memorization

__all__ = [
    "cmmd",
    "density_coverage",
    "frechet_between",
    "inception_score",
    "kernel_distance",
    "memorization",
    "precision_recall",
]

__getattr__ = lazy_names(
    __name__,
    {
        "cmmd": "ndabench.metrics.generators.cmmd",
        "density_coverage": "ndabench.metrics.generators.manifolds",
        "frechet_between": "ndabench.metrics.generators.frechet",
        "inception_score": "ndabench.metrics.generators.inception_score",
        "kernel_distance": "ndabench.metrics.generators.kid",
        "memorization": "ndabench.metrics.generators.memorization",
        "precision_recall": "ndabench.metrics.generators.manifolds",
    },
)
