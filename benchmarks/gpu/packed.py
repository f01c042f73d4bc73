"""The files that `pack.sh` packed for a machine without a network."""

import os
from pathlib import Path

FOLDER = Path(__file__).parent / "packed"


def released() -> Path | None:
    """The paper's code, a checkout of github.com/ermongroup/NDA, where it was packed or is named."""
    named = os.environ.get("NDABENCH_RELEASED")
    path = Path(named) if named else FOLDER / "released"
    return path if (path / "train_fns_aug.py").is_file() else None


def cifar10() -> Path | None:
    """The folder of CIFAR-10's two Parquet files: packed, or that of `NDABENCH_DATA`."""
    places = [FOLDER / "cifar10"]
    if os.environ.get("NDABENCH_DATA"):
        places.append(Path(os.environ["NDABENCH_DATA"]) / "cifar10")
    return next((place for place in places if any(place.glob("train-*.parquet"))), None)
