"""How many examples a loaded data set has, in one line: by split and by class."""

from typing import Any

import torch

from ndabench.errors import first_of

SPLITS = {"train": "training", "validation": "validation", "test": "test"}


def split_counts(data: Any, holds: str) -> str:
    """`digits: 1,293 training, 144 validation and 360 test images; 10 classes of 123 to 131 training images`.

    `data` has the three splits and, where its examples have labels, the names of the classes; `holds` says
    what an example is, in the plural. Names the classes that a split has nothing of.
    """
    sizes = [f"{len(getattr(data, split)):,} {word}" for split, word in SPLITS.items()]
    text = f"{data.name}: {sizes[0]}, {sizes[1]} and {sizes[2]} {holds}"
    labels: dict[str, Any] = {split: getattr(getattr(data, split), "labels", None) for split in SPLITS}
    if len(data.class_names) < 2 or labels["train"] is None:
        return text
    counts = {
        split: torch.bincount(own, minlength=len(data.class_names)).tolist() for split, own in labels.items()
    }
    low, high = min(counts["train"]), max(counts["train"])
    each = f"{low:,}" if low == high else f"{low:,} to {high:,}"
    text += f"; {len(data.class_names):,} classes of {each} training {holds}"
    for split, word in SPLITS.items():
        absent = [name for name, count in zip(data.class_names, counts[split], strict=True) if not count]
        if absent:
            text += f"; no {word} {holds} of {first_of(absent)}"
    return text
