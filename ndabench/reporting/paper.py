"""The paper's own FIDs (Sinha et al., ICLR 2021: positive, negative, conditional, λ), each with its standing.

A verified value was read in a public record (the authors' leaderboard entries, code and checkpoints); a
recalled one was not read in the primary text and is shown with a dagger, as a target and not as a quotation.
"""

import re
from dataclasses import dataclass
from typing import Literal

from ndabench.reporting.formatting import NOTHING
from ndabench.reporting.specs import Cell, Column, TableSpec

METRIC = "fid"
RELEASED_LAMBDA = 0.25
PROTOCOL = (
    "The paper's FIDs: TensorFlow's Inception of 2015-12-05, 10,000 samples against the 10,000 test images, "
    "EMA generator with batch statistics, λ = 0.25."
)
STANDINGS = (
    "† recalled, not verified in the primary text: a target, not a quotation. "
    "‡ the value is verified, the transform it belongs to is recalled. Without a sign: verified."
)


@dataclass(frozen=True)
class PaperValue:
    """One published value. `arm` is the negative's name, or the positive's where `positive` is set."""

    dataset: str
    conditional: bool
    arm: str
    value: float
    lambda_: float | None = RELEASED_LAMBDA
    """None where λ plays no part."""
    positive: bool = False
    standing: Literal["verified", "column recalled", "recalled"] = "recalled"

    @property
    def text(self) -> str:
        return f"{self.value:.2f}{_SIGNS[self.standing]}"


_SIGNS = {"verified": "", "column recalled": " ‡", "recalled": " †"}
_STANDINGS: dict[tuple[str, bool, str], Literal["verified", "column recalled"]] = {
    ("cifar10", False, "jigsaw"): "verified",
    ("cifar100", False, "jigsaw"): "verified",
    ("celeba", False, "stitch"): "column recalled",
    ("cifar10", True, "jigsaw"): "verified",
    ("cifar100", True, "stitch"): "column recalled",
}
_COLUMNS = ("none", "jigsaw", "stitch", "mixup", "cutout", "cutmix", "CR-BigGAN")
_NEGATIVES = {  # tables B and C
    ("cifar10", False): (18.64, 12.61, 13.97, 17.29, 14.69, 15.01, 14.56),
    ("cifar100", False): (22.19, 19.72, 20.99, 22.21, 22.08, 20.78, None),
    ("celeba", False): (38.14, 37.24, 37.17, 37.51, 37.39, 37.46, None),
    ("stl10", False): (26.80, 23.94, 26.08, 24.45, 24.91, 25.34, None),
    ("cifar10", True): (11.51, 9.42, 9.47, 13.87, 10.52, 10.3, 11.48),
    ("cifar100", True): (15.04, 14.12, 13.9, 15.27, 14.21, 13.99, None),
}
_OTHER_NEGATIVES = {"random_crop": 15.05, "flip": 124.32, "gaussian_noise": 18.72}  # table A
_POSITIVES = {  # table A
    "jigsaw": 98.09,
    "cutout": 79.72,
    "stitch": 108.69,
    "mixup": 70.64,
    "cutmix": 90.81,
    "random_crop": 20.02,
    "flip": 16.65,
    "gaussian_noise": 44.41,
}
_JIGSAW_BY_LAMBDA = {0.75: 16.61, 0.5: 14.95, 0.15: 13.01}  # table D; 1 and 0.25 stand in table B

VALUES = (
    *(
        PaperValue(
            dataset,
            conditional,
            arm,
            value,
            lambda_=None if arm in ("none", "CR-BigGAN") else RELEASED_LAMBDA,
            standing=_STANDINGS.get((dataset, conditional, arm), "recalled"),
        )
        for (dataset, conditional), row in _NEGATIVES.items()
        for arm, value in zip(_COLUMNS, row, strict=True)
        if value is not None
    ),
    *(PaperValue("cifar10", False, arm, value) for arm, value in _OTHER_NEGATIVES.items()),
    *(
        PaperValue("cifar10", False, arm, value, lambda_=None, positive=True)
        for arm, value in _POSITIVES.items()
    ),
    *(
        PaperValue("cifar10", False, "jigsaw", value, lambda_=weight)
        for weight, value in _JIGSAW_BY_LAMBDA.items()
    ),
)


def paper_dataset(name: str) -> str:
    """The paper's name of a data set: `image_parquet:CIFAR-10` is `cifar10`."""
    return re.sub(r"[^a-z0-9]", "", name.rsplit(":", 1)[-1].lower())


def values_for(dataset: str, conditional: bool) -> list[PaperValue]:
    """Everything published for this data set and setting."""
    known = paper_dataset(dataset)
    return [value for value in VALUES if value.dataset == known and value.conditional == conditional]


def paper_value(
    dataset: str, conditional: bool, negative: str, positive: str, lambda_: float | None
) -> PaperValue | None:
    """The published FID of exactly this arm: same transform (any variant) at default parameters, same λ."""
    if negative and positive:
        return None
    transform = re.sub(r"\[(released|corrected)\]$", "", negative or positive or "none")
    for value in values_for(dataset, conditional):
        if value.arm == transform and value.positive == bool(positive) and value.lambda_ == lambda_:
            return value
    return None


def reference_table(dataset: str, conditional: bool) -> TableSpec:
    """Everything published for this data set, set apart from what was measured with another metric."""
    kind = "conditional" if conditional else "unconditional"
    name = paper_dataset(dataset)
    rows = [
        [
            Cell(f"{value.arm} as positive" if value.positive else value.arm, value.arm),
            Cell(NOTHING) if value.lambda_ is None else Cell(f"{value.lambda_:g}", value.lambda_),
            Cell(value.text, value.value),
            Cell(value.standing, value.standing),
        ]
        for value in values_for(dataset, conditional)
    ]
    return TableSpec(
        id=f"paper-{name}-{kind}",
        title=f"For orientation: the paper's FIDs on {name}, {kind}",
        columns=[Column("arm"), Column("λ", numeric=True), Column("FID ↓", numeric=True), Column("standing")],
        rows=rows,
        notes=[
            "A different metric: not comparable with any value in this report that is not called fid.",
            PROTOCOL,
            STANDINGS,
        ],
        folded=True,
    )
