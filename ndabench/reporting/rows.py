"""The numbers of the report's tables, in full precision, for other programs."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

from ndabench.reporting.comparison import Compared, Comparison
from ndabench.reporting.frames import decoded


def rows(comparisons: Sequence[Comparison]) -> list[dict[str, Any]]:
    """One mapping for each setting of each comparison; docs/commands.md describes the keys.

    What is not known is None, also where it was not finite.
    """
    return [row for comparison in comparisons for row in _rows(comparison)]


def _rows(comparison: Comparison) -> Iterator[dict[str, Any]]:
    measured = {
        "task": comparison.group.task,
        "dataset": comparison.group.dataset,
        "dataset_hash": comparison.group.dataset_hash,
        "metric": comparison.name,
        "split": comparison.split,
        "unit": comparison.unit,
        "better": comparison.better,
    }
    for row in comparison.rows:
        setting = row.setting
        yield {
            **measured,
            "arm": setting.arm,
            "lambda": setting.lambda_,
            "parameters": {name: decoded(value) for name, value in setting.parameters},
            "sweep": setting.sweep,
            "repeated": row.repeated,
            "n": row.summary.n,
            "missing": row.missing,
            "mean": _finite(row.summary.mean),
            "low": row.summary.low,
            "high": row.summary.high,
            "best": row.best,
            "near_best": row.near_best,
            **_difference(row),
            "tests": comparison.num_tests,
            "claimed": comparison.claimed,
            "values": {str(seed): _finite(value) for seed, value in sorted(row.values.items())},
            "protocol": decoded(comparison.protocol_json),
        }


def _difference(row: Compared) -> dict[str, Any]:
    found, summary = row.difference, row.difference.summary if row.difference else None
    return {
        "against": row.against.label if row.against else None,
        "pairs": summary.n if summary else None,
        "difference": _finite(summary.mean) if summary else None,
        "difference_low": summary.low if summary else None,
        "difference_high": summary.high if summary else None,
        "confidence": found.confidence if found and found.p is not None else None,
        "p": found.p if found else None,
        "p_adjusted": found.p_adjusted if found else None,
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
