"""The tasks by name, and checks of data, evaluations and augmentations against their definitions.

A new task is a `Task`, its configuration, and one entry here; see `definition.py`.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

from ndabench.augmentations.specification import (
    NegativeSpec,
    Rule,
    build_redrawn,
    check,
    configurations,
    registered,
    require_rule,
    resolve,
)
from ndabench.data.registry import MODALITIES, DataConfig, Modality, modality_of, of_modality
from ndabench.errors import UserError, unknown
from ndabench.metrics.registry import EvaluationConfig, EvaluationEntry
from ndabench.metrics.registry import evaluations_of as evaluations_of_subject
from ndabench.registry import OneOf, Registry
from ndabench.tasks.contrastive.config import (
    ImageContrastiveConfig,
    VideoContrastiveConfig,
    check_image_evaluations,
)
from ndabench.tasks.definition import LambdaRule, TaskConfig, TaskDefinition
from ndabench.tasks.density_gan.config import DensityGanConfig, check_closed_form
from ndabench.tasks.gan.config import GanConfig
from ndabench.tasks.paired.config import PairedGanConfig

if TYPE_CHECKING:
    from ndabench.augmentations.compose import Augmentation

NDA_KEYS = LambdaRule(
    baseline=0.0,
    default=1.0,
    low=0.0,
    high=math.inf,
    high_open=True,
    weighs="weighs the keys of a negative",
    meaning="weight of the NDA keys among the negatives, 0 being the plain loss",
)
"""λ of the contrastive tasks: the weight of the NDA keys among the negatives; 0 is the plain loss."""
FAKES_SHARE = LambdaRule(
    baseline=1.0,
    default=0.25,
    low=0.0,
    high=1.0,
    low_open=True,
    weighs="shares the fakes' weight with a negative",
    meaning="weight of the generated fakes, 1 being the plain objective; the negatives weigh 1 − λ",
)
"""λ of the adversarial tasks: the weight of the generated fakes; 1 is the plain objective."""
NDA_SETTINGS = frozenset({"num_nda_keys", "nda_scale", "nda_source"})


TASKS: Registry[TaskDefinition] = Registry(
    "task",
    "ndabench.tasks",
    {
        "gan": TaskDefinition(
            config=GanConfig,
            build="ndabench.tasks.gan.task:GanTask",
            learns_from="images",
            produces="generator",
            lambda_rule=FAKES_SHARE,
            changeable_on_resume=frozenset(
                {"num_steps", "log_every", "checkpoint_every", "sample_every", "num_sheet_rows", "compile"}
                | {"cuda_graph"}
            ),
        ),
        "paired_gan": TaskDefinition(
            config=PairedGanConfig,
            build="ndabench.tasks.paired.task:PairedGanTask",
            learns_from="pairs",
            produces="translator",
            lambda_rule=FAKES_SHARE,
            treatment=frozenset({"negative_pair"}),
        ),
        "density_gan": TaskDefinition(
            config=DensityGanConfig,
            build="ndabench.tasks.density_gan.task:DensityGanTask",
            learns_from="points",
            produces="point_generator",
            lambda_rule=FAKES_SHARE,
            changeable_on_resume=frozenset({"log_every", "checkpoint_every", "picture_every", "compile"}),
            check=check_closed_form,
        ),
        "image_contrastive": TaskDefinition(
            config=ImageContrastiveConfig,
            build="ndabench.tasks.contrastive.images:image_contrastive",
            learns_from="images",
            produces="image_encoder",
            lambda_rule=NDA_KEYS,
            treatment=NDA_SETTINGS,
            check=check_image_evaluations,
        ),
        "video_contrastive": TaskDefinition(
            config=VideoContrastiveConfig,
            build="ndabench.tasks.contrastive.clips:video_contrastive",
            learns_from="videos",
            produces="clip_encoder",
            lambda_rule=NDA_KEYS,
            treatment=NDA_SETTINGS,
        ),
    },
)

RULES: Mapping[Modality, Rule] = {
    "images": "corrected",
    "videos": "clips",
    "points": "points",
    "pairs": "pairs",
    "detection": "corrected",
}
"""By which rules the negatives of each modality are built."""

AnyTaskConfig = Annotated[TaskConfig, OneOf(TASKS)]
"""The type of a field that holds the configuration of any task."""


def check_data(task: TaskConfig, data: DataConfig) -> None:
    """`UserError` where the data set does not hold what the task learns from."""
    wanted, found = TASKS[task.name].learns_from, modality_of(data)
    if found != wanted:
        raise UserError(
            f"data: task {task.name} learns from {MODALITIES[wanted].holds}; "
            f"{data.name} holds {MODALITIES[found].holds} (take {', '.join(sorted(of_modality(wanted)))})"
        )


def evaluations_of(task: TaskConfig) -> Mapping[str, EvaluationEntry]:
    """The evaluations that the task can be measured by, the usual one first."""
    return evaluations_of_subject(TASKS[task.name].produces)


def check_evaluations(task: TaskConfig, evaluations: Sequence[EvaluationConfig]) -> None:
    """`UserError` where the task cannot be measured like that, or two would report the same name."""
    known = evaluations_of(task)
    for evaluation in evaluations:
        if evaluation.name not in known:
            raise UserError(f"evaluate: task {task.name}: {unknown('evaluation', evaluation.name, known)}")
    named_by = [(name, evaluation.name) for evaluation in evaluations for name in evaluation.reported]
    counts = Counter(name for name, _ in named_by)
    for name, of_evaluation in named_by:
        if counts[name] > 1:
            raise UserError(
                f"evaluate: {counts[name]} evaluations report {name}; keep one, or label the other's values, "
                f"for example {{name: {of_evaluation}, as: again}}"
            )


def build_positive(task: TaskConfig, spec: NegativeSpec | None, data: Any) -> "Augmentation | None":
    """The augmentation of the loaded `data` by the task's rule; `UserError` for what they do not have."""
    return spec.build(rule_of(task), data) if spec is not None else None


def build_negative(task: TaskConfig, spec: NegativeSpec | None, data: Any) -> "Augmentation | None":
    """As `build_positive`, but outputs that equal their inputs are drawn again."""
    return build_redrawn(spec, rule_of(task), data) if spec is not None else None


def check_augmentation(task: TaskConfig, spec: NegativeSpec, data: Any) -> None:
    """`UserError` where what the task shows of the loaded `data` does not fit the augmentation."""
    check(spec, task.shown_shape(data.image_shape), rule_of(task), data)


def require_negative(task: TaskConfig, spec: NegativeSpec) -> None:
    """`UserError` where a part of the augmentation does not have the task's rule, or needs labels that the
    task's networks do not see; imports no torch."""
    require_rule(spec, rule_of(task))
    for config in configurations(spec):
        if config.needs_labels and not getattr(task, "conditional", False):
            raise UserError(
                f"{config.label}: is drawn by the labels of the images, which only a conditional gan sees; "
                "set task.conditional, or leave labels out"
            )


def augmentation_label(task: TaskConfig, spec: NegativeSpec | None) -> str:
    """The augmentation's name in tables, with its rule if that is the released one; empty for none."""
    return "" if spec is None else resolve(spec, rule_of(task)).label


def all_negatives(task: TaskConfig, data: Any) -> "dict[str, Augmentation]":
    """Every negative of the loaded `data` for the modality that the task learns from, in each of its
    variants, by its name in tables."""
    rule = RULES[TASKS[task.name].learns_from]
    return {negative.label: build_redrawn(negative, rule, data) for negative in registered(rule)}


def rule_of(task: TaskConfig) -> Rule:
    """The rule of a negative that names no variant; the reference mode of a GAN follows the released code."""
    return "released" if task.released_negatives else RULES[TASKS[task.name].learns_from]
