"""Several measures at once: no trial is the best by all, so searches and reports look at a Pareto set."""

from collections.abc import Sequence
from typing import Literal

import numpy as np

SECONDS = "seconds"
"""The objective that no evaluation measures: a trial's wall time over all its attempts, from its row."""


def pareto_set(values: Sequence[Sequence[float]], modes: Sequence[Literal["min", "max"]]) -> list[int]:
    """The places of the rows that no other row dominates, by being as good in every column and better in one.

    `modes` says of each column what is better. Equal rows do not dominate each other.

    >>> pareto_set([(3.0, 1.0), (2.0, 2.0), (3.0, 2.0)], ["min", "min"])
    [0, 1]
    >>> pareto_set([(3.0, 1.0), (2.0, 2.0), (3.0, 2.0)], ["min", "max"])
    [1]
    """
    costs = np.array(values, float).reshape(len(values), len(modes))
    costs *= [-1 if mode == "max" else 1 for mode in modes]
    return [
        place
        for place, one in enumerate(costs)
        if not ((costs <= one).all(axis=1) & (costs < one).any(axis=1)).any()
    ]
