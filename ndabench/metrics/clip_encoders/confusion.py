"""Counts of which class was mistaken for which; the report draws them."""

import json
from collections.abc import Sequence

from torch import Tensor


def confusion_counts(predicted: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    """int64 `[k, k]` on the CPU: how often the class of the row was predicted as the class of the column."""
    places = labels.cpu() * num_classes + predicted.cpu()
    return places.bincount(minlength=num_classes**2).view(num_classes, num_classes)


def class_accuracies(counts: Tensor) -> list[float | None]:
    """Percent of each class's examples that were recognised; None for a class without any."""
    rows = zip(counts.diag().tolist(), counts.sum(1).tolist(), strict=True)
    return [100.0 * right / total if total else None for right, total in rows]


def confusion_json(counts: Tensor, class_names: Sequence[str]) -> bytes:
    """The counts (rows: true, columns: predicted) and each class's accuracy in percent, as a JSON file."""
    content = {
        "rows": "true class",
        "columns": "predicted class",
        "class_names": list(class_names),
        "class_accuracies": class_accuracies(counts),
        "counts": counts.tolist(),
    }
    return json.dumps(content).encode()
