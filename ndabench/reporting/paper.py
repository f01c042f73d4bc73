"""What the paper published (Sinha et al., ICLR 2021): the values, and which of them fits which arm.

Each value has a status. A verified value was read in a public record (the authors' leaderboard entries, code
and checkpoints); a recalled one was not read in the primary text, so the report shows it with a dagger, as a
target and not as a quotation. The report shows a value next to the measured one where setting and metric are
the paper's, and all of them by themselves for orientation.
"""

import re
from dataclasses import dataclass
from typing import Literal

from ndabench.reporting.formatting import NOTHING
from ndabench.reporting.specs import Cell, Column, TableSpec

Standing = Literal["verified", "column recalled", "recalled"]
RELEASED_LAMBDA = 0.25


@dataclass(frozen=True)
class PaperValue:
    """One published value. `arm` is the negative's name, or the positive's where `positive` is set."""

    dataset: str
    arm: str
    value: float | None
    """None where the paper has only a figure."""
    lambda_: float | None = None
    """None where λ has no effect or is not known: the value then goes with any λ."""
    conditional: bool = False
    positive: bool = False
    standing: Standing = "recalled"
    table: str = ""
    """One of `TABLES`."""

    @property
    def text(self) -> str:
        number = "a figure only" if self.value is None else f"{self.value:.2f}"
        return f"{number}{_SIGNS[self.standing]}"


@dataclass(frozen=True)
class Published:
    """All values of one of the paper's measures, and our metric that follows its protocol."""

    task: str
    metric: str
    title: str
    protocol: str
    values: tuple[PaperValue, ...]
    only_next_to_measured: bool = False
    """Shown only next to a measured value, never in a table by itself."""


_TRANSLATORS = ("cGAN", "cGAN with NDA", "L1+cGAN", "L1+cGAN with NDA")
_TRANSLATION = {  # table E, in percent
    "pixel_accuracy": (80, 84, 72, 75),
    "class_accuracy": (24, 34, 23, 28),
    "mean_iou": (27, 28, 18, 22),
}
NAMED_ARMS = _TRANSLATORS
"""Rows whose negative is not known: an arm of that name, whatever its negative, is the paper's."""
OTHER_METHODS = ("CR-BigGAN",)
"""Columns that are no transform: an arm of that name, with its own task settings, is the paper's."""

_SIGNS = {"verified": "", "column recalled": " ‡", "recalled": " †"}
_STANDINGS: dict[tuple[str, bool, str], Standing] = {
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
_JIGSAW_BY_LAMBDA = {0.75: 16.61, 0.5: 14.95, 0.15: 13.01}  # table D; 1 and 0.25 are in table B

_FIDS = (
    *(
        PaperValue(
            dataset,
            arm,
            value,
            lambda_=None if arm in ("none", "CR-BigGAN") else RELEASED_LAMBDA,
            conditional=conditional,
            standing=_STANDINGS.get((dataset, conditional, arm), "recalled"),
            table="C" if conditional else "B",
        )
        for (dataset, conditional), row in _NEGATIVES.items()
        for arm, value in zip(_COLUMNS, row, strict=True)
        if value is not None
    ),
    *(
        PaperValue("cifar10", arm, value, RELEASED_LAMBDA, table="A")
        for arm, value in _OTHER_NEGATIVES.items()
    ),
    *(PaperValue("cifar10", arm, value, positive=True, table="A") for arm, value in _POSITIVES.items()),
    *(
        PaperValue("cifar10", "jigsaw", value, weight, table="D")
        for weight, value in _JIGSAW_BY_LAMBDA.items()
    ),
)

_CONTRASTIVE_COLUMNS = ("none", "jigsaw", "stitch", "cutout", "cutmix", "mixup")
_PROBES = {  # table G
    "cifar10": (91.20, 91.66, 91.59, 92.26, 91.51, 91.36),
    "cifar100": (69.63, 70.17, 69.21, 70.81, 69.83, 69.99),
    "imagenet100": (69.41, 69.95, 69.54, 69.77, 69.61, 70.01),
}
_FINE_TUNING = {  # table I
    "ucf101": (61.35, 64.54, 66.07, 64.52, 63.52, 63.65),
    "hmdb51": (45.31, 46.88, 45.31, 45.31, 48.43, 43.75),
}
_DETECTION = {  # table H
    "ap": {"none": 38.47, "mixup": 38.72},
    "ap50": {"none": 65.99, "mixup": 66.23},
    "ap75": {"none": 38.81, "mixup": 39.16},
}
_ANOMALY_COLUMNS = ("none", "jigsaw", "EBM")
_ANOMALY = {  # table F, AUROC in percent
    "dtd": (70, 69, 48),
    "svhn": (75, 61, 63),
    "places365": (35, 58, 68),
    "tiny_imagenet": (40, 62, 67),
    "cifar100": (63, 64, 50),
    "cifar10_c_severity5": (56, 63, 60),
}

_NUMEROSITY = {  # table J: the data set, and the negatives as tables call them
    "dots6": "dataset(dots 4+5+7)",
    "clevrdots2": "dataset(clevr dots 1+3)",
}

PUBLISHED = (
    Published(
        "gan",
        "fid",
        "FID ↓",
        "The paper's FIDs: TensorFlow's Inception of 2015-12-05, 10,000 samples against the 10,000 test "
        "images, EMA generator with batch statistics, λ = 0.25.",
        _FIDS,
    ),
    *(
        Published(
            "gan",
            f"anomaly_auroc_{outliers}",
            f"AUROC against {outliers} in % ↑",
            "The paper's anomaly detection: the raw logit of a BigGAN's discriminator, trained on CIFAR-10. "
            "Which images of the outlier set it took, and how it resized them, is not known.",
            tuple(
                PaperValue("cifar10", arm, v, table="F") for arm, v in zip(_ANOMALY_COLUMNS, row, strict=True)
            ),
            only_next_to_measured=True,
        )
        for outliers, row in _ANOMALY.items()
    ),
    *(
        Published(
            "paired_gan",
            f"{score}_fcn_resnet50",
            f"{score.replace('_', ' ').replace('iou', 'IoU')} in % ↑",
            "The paper's pix2pix on Cityscapes (recalled with little confidence); its segmenter, its "
            "negative and λ are not known.",
            tuple(
                PaperValue("cityscapes", arm, v, table="E") for arm, v in zip(_TRANSLATORS, row, strict=True)
            ),
            only_next_to_measured=True,
        )
        for score, row in _TRANSLATION.items()
    ),
    Published(
        "gan",
        "count_wrong",
        "wrong counts in % ↓",
        "The paper's numerosity experiment: a GAN trained on images of six dots, or of two objects of CLEVR, "
        "with and without images of other counts as negatives. That it did so is verified, the counts are "
        "recalled. It shows histograms, no numbers. Ours are drawn anew, and those of CLEVR are flat.",
        tuple(
            PaperValue(dataset, arm, None, table="J")
            for dataset, negatives in _NUMEROSITY.items()
            for arm in ("none", negatives)
        ),
        only_next_to_measured=True,
    ),
    Published(
        "image_contrastive",
        "linear_probe_sgd",
        "linear probe, top-1 in % ↑",
        "The paper's linear probes: MoCo-v2, one NDA term a query; number of keys, λ and the probe's recipe "
        "are not known.",
        tuple(
            PaperValue(dataset, arm, value, table="G")
            for dataset, row in _PROBES.items()
            for arm, value in zip(_CONTRASTIVE_COLUMNS, row, strict=True)
        ),
    ),
    *(
        Published(
            "image_contrastive",
            f"voc07_{name}",
            f"Pascal VOC {name.upper()} ↑",
            "The paper's detection transfer to Pascal VOC from MoCo-v2; that it trained on VOC 07+12 and "
            "averaged over 11 points, as MoCo did, is assumed; its pre-training data are not known.",
            tuple(PaperValue("voc0712", arm, value, table="H") for arm, value in row.items()),
        )
        for name, row in _DETECTION.items()
    ),
    Published(
        "video_contrastive",
        "dpc_finetune",
        "fine-tuning, top-1 in % ↑",
        "The paper's action recognition: DPC pre-trained on UCF-101, then fine-tuned on the official UCF-101 "
        "or HMDB-51 (not another set in their layout). The README of the published DPC also has the values "
        "without NDA, for its ResNet-18 at 128×128. Split, λ and number of keys are not known.",
        tuple(
            PaperValue(dataset, arm, value, table="I")
            for dataset, row in _FINE_TUNING.items()
            for arm, value in zip(_CONTRASTIVE_COLUMNS, row, strict=True)
        ),
    ),
)

STANDINGS = (
    "† recalled, not verified in the primary text: a target, not a quotation. "
    "‡ the value is verified, the transform it belongs to is recalled. Without a sign: verified."
)


TABLES = {
    "A": "FID of a GAN on CIFAR-10: more negatives, and the same transforms as positives",
    "B": "FID of unconditional GANs with each negative",
    "C": "FID of class-conditional GANs with each negative",
    "D": "FID over λ for jigsaw on CIFAR-10; λ = 1 and 0.25 are those of table B",
    "E": "pix2pix on Cityscapes",
    "F": "anomaly detection by the discriminator",
    "G": "linear probes of MoCo-v2",
    "H": "detection on Pascal VOC after MoCo-v2",
    "I": "action recognition after DPC",
    "J": "numbers of objects in generated images; a figure, without numbers",
}
"""The paper's results by the letters that ndabench's files and documents call them; they are not the paper's
numbers."""


NAMED_BY_READER = ("ucf101", "hmdb51")
"""Data sets whose title begins with their reader; the folder may have any name."""


def paper_dataset(name: str) -> str:
    """The paper's name of a data set: `image_parquet:CIFAR-10` is `cifar10`, `ucf101:videos split 2` is
    `ucf101`."""
    reader = name.partition(":")[0]
    return reader if reader in NAMED_BY_READER else re.sub(r"[^a-z0-9]", "", name.rsplit(":", 1)[-1].lower())


def published(task: str, dataset: str, conditional: bool) -> list[Published]:
    """Everything that the paper published about this task on this data set."""
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
    arm: str = "",
) -> PaperValue | None:
    """The value of exactly this arm: the same transform (any variant) with default parameters, the same λ;
    or one of `NAMED_ARMS` or, where there is no transform, of `OTHER_METHODS` by the arm's name."""
    if negative and positive:
        return None
    plain = arm if arm in OTHER_METHODS else "none"
    transform = (
        arm if arm in NAMED_ARMS else re.sub(r"\[(released|corrected)\]$", "", negative or positive or plain)
    )
    for value in values_for(measure, dataset, conditional):
        same_arm = value.arm == transform and value.positive == bool(positive)
        if same_arm and value.lambda_ in (None, lambda_):
            return value
    return None


def values_table(table: str) -> TableSpec:
    """All values of one of `TABLES`, with the standing of each."""
    measures = [one for one in PUBLISHED if any(value.table == table for value in one.values)]
    rows = [
        [
            Cell(measure.title),
            Cell(value.dataset + (", conditional" if value.conditional else "")),
            Cell(f"{value.arm} as positive" if value.positive else value.arm),
            Cell(NOTHING) if value.lambda_ is None else Cell(f"{value.lambda_:g}", value.lambda_),
            Cell(value.text, value.value),
            Cell(value.standing),
        ]
        for measure in measures
        for value in measure.values
        if value.table == table
    ]
    return TableSpec(
        id=f"paper-table-{table}",
        title=f"Table {table}: {TABLES[table]}",
        columns=[
            *(Column(name) for name in ("measure", "data", "arm")),
            Column("λ", numeric=True),
            Column("value", numeric=True),
            Column("standing"),
        ],
        rows=rows,
        notes=list(dict.fromkeys(measure.protocol for measure in measures)),
    )


def reference_table(measure: Published, dataset: str, conditional: bool) -> TableSpec:
    """Everything published for this data set, in a separate table: another metric is not comparable."""
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
        collapsed=True,
    )
