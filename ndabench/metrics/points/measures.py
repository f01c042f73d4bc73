"""Measuring a generator of points against the distribution that it is to learn."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from ndabench.data.points.config import WINDOW
from ndabench.data.points.load import PointData
from ndabench.measurement import MeasuredSplit, Measurement
from ndabench.metrics.points.config import (
    DiscriminatorDistanceConfig,
    GridEvaluation,
    ModeImbalanceConfig,
    ModesCoveredConfig,
    PointEvaluation,
    Wasserstein2Config,
)
from ndabench.metrics.points.grid import Grid, jensen_shannon, total_variation
from ndabench.metrics.points.subject import PointGeneratorSubject
from ndabench.metrics.results import Evaluated, by_name

COMPARED = 20_000
"""Points at which two discriminators are compared."""


def measure_mass_outside(config: PointEvaluation, subject: PointGeneratorSubject, *, test: bool) -> Evaluated:
    def measure(split: MeasuredSplit) -> float:
        points = subject.generated(config.num_samples, split)
        return float((~subject.data.distribution.inside(points)).double().mean())

    return _on_splits(config, subject, measure, test=test)


def measure_modes_covered(
    config: ModesCoveredConfig, subject: PointGeneratorSubject, *, test: bool
) -> Evaluated:
    def measure(split: MeasuredSplit) -> float:
        counts = mode_counts(subject.data, subject.generated(config.num_samples, split))
        wanted = config.least_share * config.num_samples * subject.data.mode_masses
        return float((counts >= wanted.clamp(min=1)).sum())

    return _on_splits(config, subject, measure, test=test, least_share=config.least_share)


def measure_mode_imbalance(
    config: ModeImbalanceConfig, subject: PointGeneratorSubject, *, test: bool
) -> Evaluated:
    """1 where no point at all is inside."""

    def measure(split: MeasuredSplit) -> float:
        counts = mode_counts(subject.data, subject.generated(config.num_samples, split))
        if counts.sum() == 0:
            return 1.0
        return float(total_variation(counts / counts.sum(), subject.data.mode_masses))

    return _on_splits(config, subject, measure, test=test)


def measure_total_variation(
    config: GridEvaluation, subject: PointGeneratorSubject, *, test: bool
) -> Evaluated:
    return _on_grid(config, subject, total_variation, test=test)


def measure_jensen_shannon(
    config: GridEvaluation, subject: PointGeneratorSubject, *, test: bool
) -> Evaluated:
    return _on_grid(config, subject, jensen_shannon, test=test)


def measure_wasserstein_2(
    config: Wasserstein2Config, subject: PointGeneratorSubject, *, test: bool
) -> Evaluated:
    def measure(split: MeasuredSplit) -> float:
        real = subject.real(config.num_samples, split)
        return wasserstein_2(subject.generated(config.num_samples, split), real)

    return _on_splits(config, subject, measure, test=test, real_points=config.num_samples)


def measure_discriminator_distance(
    config: DiscriminatorDistanceConfig, subject: PointGeneratorSubject, *, test: bool
) -> Evaluated:
    assert subject.ratio is not None, "the task refuses losses without a closed form"
    ratio, data, grid = subject.ratio, subject.data, Grid(config.bins)

    def measure(split: MeasuredSplit) -> float:
        fakes, weights = [subject.generated(config.num_samples, split)], [subject.lambda_]
        if subject.negative is not None:
            fakes.append(subject.negatives(config.num_samples, f"negatives/{split}"))
            weights.append(1 - subject.lambda_)
        shares = sum(weight * grid.shares(points) for weight, points in zip(weights, fakes, strict=True))
        assert isinstance(shares, Tensor)
        of_fakes = [points[: round(COMPARED / 2 * w)] for points, w in zip(fakes, weights, strict=True)]
        compared = torch.cat([subject.real(COMPARED // 2, split), *of_fakes])
        at = grid.cells(compared)
        seen = at < grid.bins**2
        compared, at = compared[seen], at[seen]
        optimal = data.distribution.density(compared)
        optimal = optimal / (optimal + shares[at] / grid.cell_area)
        given = ratio(subject.logits(compared).double())
        return float((1 - 1 / (1 + given) - optimal).abs().mean())

    return _on_splits(config, subject, measure, test=test, **_grid_protocol(config), compared_points=COMPARED)


def mode_counts(data: PointData, points: Tensor) -> Tensor:
    """float64 `[modes]`: how many of the points `[N, 2]` lie in the support, in each mode."""
    inside = points[data.distribution.inside(points)]
    modes = data.modes[data.distribution.nearest(inside)] if len(inside) else data.modes[:0]
    return modes.bincount(minlength=len(data.class_names)).double()


def wasserstein_2(first: Tensor, second: Tensor) -> float:
    """The 2-Wasserstein distance of two equally large sets of points `[N, 2]`."""
    squared = torch.cdist(first.double(), second.double()).square().cpu().numpy()
    rows, columns = linear_sum_assignment(squared)
    return math.sqrt(squared[rows, columns].mean())


def _on_grid(
    config: GridEvaluation,
    subject: PointGeneratorSubject,
    divergence: Callable[[Tensor, Tensor], Tensor],
    *,
    test: bool,
) -> Evaluated:
    grid = Grid(config.bins)
    exact = subject.shared.get("samples", grid, lambda: grid.masses(subject.data.distribution))

    def measure(split: MeasuredSplit) -> float:
        return float(divergence(grid.shares(subject.generated(config.num_samples, split)), exact))

    return _on_splits(config, subject, measure, test=test, **_grid_protocol(config))


def _grid_protocol(config: GridEvaluation) -> Mapping[str, Any]:
    return {"bins": f"{config.bins}×{config.bins} and the rest", "window": f"±{WINDOW:g}"}


def _on_splits(
    config: PointEvaluation,
    subject: PointGeneratorSubject,
    measure: Callable[[MeasuredSplit], float],
    *,
    test: bool,
    **protocol: Any,
) -> Evaluated:
    """What `measure` gives for the validation split, and for `test` also for the test split."""
    splits: tuple[MeasuredSplit, ...] = ("validation", "test") if test else ("validation",)
    measured = []
    for split in splits:
        start = subject.shared.clock()
        value = measure(split)
        measured.append(
            Measurement(
                value,
                better=config.better,
                kind="metric",
                metric=config.name,
                split=split,
                protocol={
                    "num_samples": config.num_samples,
                    "weights": "ema",
                    "data_hash": subject.data.content_hash,
                    "split": split,
                    **protocol,
                },
                seconds=subject.shared.clock() - start,
            )
        )
    return Evaluated(by_name(measured))
