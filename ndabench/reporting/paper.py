"""The paper's own values beside those measured here, and by themselves for orientation."""

import re

from ndabench.reporting.formatting import NOTHING
from ndabench.reporting.paper_values import PUBLISHED, PaperValue, Published
from ndabench.reporting.specs import Cell, Column, TableSpec

STANDINGS = (
    "† recalled, not verified in the primary text: a target, not a quotation. "
    "‡ the value is verified, the transform it belongs to is recalled. Without a sign: verified."
)


NAMED_BY_READER = ("ucf101", "hmdb51")
"""Data sets whose title begins with what reads them; the folder may have any name."""


def paper_dataset(name: str) -> str:
    """The paper's name of a data set: `image_parquet:CIFAR-10` is `cifar10`, `ucf101:videos split 2` is
    `ucf101`."""
    reader = name.partition(":")[0]
    return reader if reader in NAMED_BY_READER else re.sub(r"[^a-z0-9]", "", name.rsplit(":", 1)[-1].lower())


def published(task: str, dataset: str, conditional: bool) -> list[Published]:
    """Everything that the paper published of this task on this data set."""
    return [one for one in PUBLISHED if one.task == task and values_for(one, dataset, conditional)]


def values_for(measure: Published, dataset: str, conditional: bool) -> list[PaperValue]:
    known = paper_dataset(dataset)
    return [v for v in measure.values if v.dataset == known and v.conditional == conditional]


def paper_value(
    measure: Published,
    dataset: str,
    conditional: bool,
    negative: str,
    positive: str,
    lambda_: float | None,
) -> PaperValue | None:
    """The value of exactly this arm: same transform (any variant) at default parameters, same λ."""
    if negative and positive:
        return None
    transform = re.sub(r"\[(released|corrected)\]$", "", negative or positive or "none")
    for value in values_for(measure, dataset, conditional):
        same_arm = value.arm == transform and value.positive == bool(positive)
        if same_arm and value.lambda_ in (None, lambda_):
            return value
    return None


def reference_table(measure: Published, dataset: str, conditional: bool) -> TableSpec:
    """Everything published for this data set, set apart from what was measured with another metric."""
    name = paper_dataset(dataset)
    kind = "" if measure.task != "gan" else ", conditional" if conditional else ", unconditional"
    rows = [
        [
            Cell(f"{value.arm} as positive" if value.positive else value.arm, value.arm),
            Cell(NOTHING) if value.lambda_ is None else Cell(f"{value.lambda_:g}", value.lambda_),
            Cell(value.text, value.value),
            Cell(value.standing, value.standing),
        ]
        for value in values_for(measure, dataset, conditional)
    ]
    return TableSpec(
        id=f"paper-{measure.metric}-{name}{kind.replace(', ', '-')}",
        title=f"For orientation: the paper's {measure.title.rstrip(' ↑↓')} on {name}{kind}",
        columns=[
            Column("arm"),
            Column("λ", numeric=True),
            Column(measure.title, numeric=True),
            Column("standing"),
        ],
        rows=rows,
        notes=[
            f"A different metric: not comparable with any value here that is not called {measure.metric}.",
            measure.protocol,
            STANDINGS,
        ],
        folded=True,
    )
