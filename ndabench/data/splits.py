"""Cutting a split in two, class by class, by a seed."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ndabench.errors import UserError

Rows = npt.NDArray[np.int64]

TEST_FRACTION, TEST_SEED = 0.2, 0
"""The cut where a source has no test split: fixed, so that test results stay comparable."""


def stratified_cut(
    labels: Rows, fraction: float, *, seed: int, key: str, class_names: Sequence[str]
) -> tuple[Rows, Rows]:
    """Rows `(kept, cut)`, both ascending; `cut` holds about `fraction` of every class, drawn by `seed`.

    The shares of the classes are rounded by largest remainder, so that the total is as near to `fraction` as
    whole images allow; every class keeps an image. `key` names the fraction's configuration key in
    the `UserError` for a fraction that leaves one side without images.
    """
    available = np.bincount(labels, minlength=len(class_names))
    taken = _images_per_class(available, fraction)
    if not taken.any():
        raise UserError(
            f"{key} {fraction:g} of {len(labels)} images in {len(class_names)} classes cuts off no image; "
            "make it larger"
        )
    # RandomState, because numpy promises that its stream never changes: splits are part of the content hash.
    random = np.random.RandomState(seed)
    by_class = np.split(np.argsort(labels, kind="stable"), np.cumsum(available)[:-1])
    shuffled = [random.permutation(rows) for rows in by_class]
    cut = np.sort(np.concatenate([rows[:count] for rows, count in zip(shuffled, taken, strict=True)]))
    kept = np.setdiff1d(np.arange(len(labels)), cut, assume_unique=True)
    return kept.astype(np.int64), cut.astype(np.int64)


def _images_per_class(available: Rows, fraction: float) -> Rows:
    exact = available * fraction
    taken = np.floor(exact).astype(np.int64)
    missing = round(float(exact.sum())) - int(taken.sum())
    by_remainder = np.argsort(taken - exact, kind="stable")
    taken[by_remainder[:missing]] += 1
    return np.minimum(taken, np.maximum(available - 1, 0))
