"""The tasks by name, and what their definitions mean for data, evaluations and augmentations.

A new task is one file with a `Task`, its configuration, and one entry here; see `definition.py`.
"""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, TypeAlias

import torch
from pydantic import BeforeValidator, Field

from ndabench.augmentations.compose import Augmentation
from ndabench.augmentations.specification import NegativeSpec, Rule, check, registered, resolve
from ndabench.config import named
from ndabench.data import registry as data_sets
from ndabench.data.images import ImageData
from ndabench.data.registry import MODALITIES, DataConfig, modality_of, of_modality
from ndabench.data.videos.clips import ClipData
from ndabench.errors import UserError, unknown
from ndabench.metrics import (
    GENERATIVE,
    RECOGNITION,
    REPRESENTATION,
    ClipLinearProbeConfig,
    DpcFinetuneConfig,
    RetrievalConfig,
    prepare,
    prepare_recognition,
    prepare_representation,
)
from ndabench.metrics.generative import FrechetConfig, InceptionScoreConfig, KernelConfig
from ndabench.metrics.representation import (
    DetectionConfig,
    KnnConfig,
    LinearProbeLbfgsConfig,
    LinearProbeSgdConfig,
)
from ndabench.registry import OneOf, Registry
from ndabench.tasks.contrastive.config import (
    ImageContrastiveConfig,
    VideoContrastiveConfig,
    check_image_evaluations,
)
from ndabench.tasks.definition import TaskConfig, TaskDefinition
from ndabench.tasks.gan.config import GanConfig
from ndabench.tasks.task import LambdaRule

NDA_KEYS = LambdaRule(
    plain=0.0,
    default=1.0,
    low=0.0,
    high=math.inf,
    high_open=True,
    weighs="weighs the keys of a negative",
    meaning="weight of the NDA keys among the negatives, 0 being the plain loss",
)
"""λ of the contrastive tasks: the weight of the NDA keys among the negatives; 0 is the plain loss."""
NDA_SETTINGS = frozenset({"num_nda_keys", "nda_scale", "nda_source"})

Data: TypeAlias = ImageData | ClipData


EvaluationConfig = Annotated[
    FrechetConfig
    | KernelConfig
    | InceptionScoreConfig
    | KnnConfig
    | LinearProbeLbfgsConfig
    | LinearProbeSgdConfig
    | DetectionConfig
    | DpcFinetuneConfig
    | ClipLinearProbeConfig
    | RetrievalConfig,
    Field(discriminator="name"),
    BeforeValidator(named),
]


TASKS: Registry[TaskDefinition] = Registry(
    "task",
    {
        "gan": TaskDefinition(
            config=GanConfig,
            build="ndabench.tasks.gan.task:GanTask",
            learns_from="images",
            produces="generator",
            lambda_rule=LambdaRule(
                plain=1.0,
                default=0.25,
                low=0.0,
                high=1.0,
                low_open=True,
                weighs="shares the fakes' weight with a negative",
                meaning="weight of the generated fakes, 1 being the plain objective; "
                "the negatives weigh 1 − λ",
            ),
            default_objective="fd_classifier",
            summary="a GAN whose discriminator sees negatives as further fakes",
            changeable_on_resume=frozenset(
                {"num_steps", "log_every", "checkpoint_every", "sample_every", "num_sheet_rows", "compile"}
            ),
        ),
        "image_contrastive": TaskDefinition(
            config=ImageContrastiveConfig,
            build="ndabench.tasks.contrastive.images:image_contrastive",
            learns_from="images",
            produces="image_encoder",
            lambda_rule=NDA_KEYS,
            default_objective="knn",
            summary="an image encoder with negatives as further keys",
            treatment=NDA_SETTINGS,
            check=check_image_evaluations,
        ),
        "video_contrastive": TaskDefinition(
            config=VideoContrastiveConfig,
            build="ndabench.tasks.contrastive.clips:video_contrastive",
            learns_from="videos",
            produces="clip_encoder",
            lambda_rule=NDA_KEYS,
            default_objective="linear_probe",
            summary="a clip encoder with negatives as further keys",
            treatment=NDA_SETTINGS,
        ),
    },
)

AnyTaskConfig = Annotated[TaskConfig, OneOf(TASKS)]
"""The type of a field that holds the configuration of any task."""

EVALUATIONS_OF: dict[str, Mapping[str, type]] = {
    "generator": GENERATIVE,
    "image_encoder": REPRESENTATION,
    "clip_encoder": RECOGNITION,
}


def _prepare_generator(
    task: TaskConfig, evaluations: Any, data: Any, *, device: Any, num_workers: int
) -> None:
    prepare(evaluations, data, device=device)


def _prepare_image_encoder(task: TaskConfig, evaluations: Any, data: Any, **rest: Any) -> None:
    prepare_representation(evaluations, data, **rest)


def _prepare_clip_encoder(task: TaskConfig, evaluations: Any, data: Any, **rest: Any) -> None:
    prepare_recognition(evaluations, data, sampling=task.sampling, **rest)  # type: ignore[attr-defined]


PREPARE: dict[str, Callable[..., None]] = {
    "generator": _prepare_generator,
    "image_encoder": _prepare_image_encoder,
    "clip_encoder": _prepare_clip_encoder,
}


def load_data(config: DataConfig, device: torch.device) -> Data:
    """The data set of a configuration, which gives its images or clips out on `device`."""
    data: Any = data_sets.load_data(config, device)
    return data  # type: ignore[no-any-return]  # `check_data` has refused detection sets


def check_data(task: TaskConfig, data: DataConfig) -> None:
    """`UserError` where the data set does not hold what the task learns from."""
    wanted, found = TASKS[task.name].learns_from, modality_of(data)
    if found != wanted:
        raise UserError(
            f"data: task {task.name} learns from {MODALITIES[wanted].holds}; "
            f"{data.name} holds {MODALITIES[found].holds} (take {', '.join(sorted(of_modality(wanted)))})"
        )


def counted(task: TaskConfig) -> str:
    """What the task's `num_images` counts."""
    return MODALITIES[TASKS[task.name].learns_from].counted


def evaluations_of(task: TaskConfig) -> Sequence[str]:
    """The names of what the task can be measured by, the usual one first."""
    return list(EVALUATIONS_OF[TASKS[task.name].produces])


def check_evaluations(task: TaskConfig, evaluations: Sequence[EvaluationConfig]) -> None:
    """`UserError` where the task cannot be measured like that, or two would report the same name."""
    known = EVALUATIONS_OF[TASKS[task.name].produces]
    for evaluation in evaluations:
        if evaluation.name not in known:
            raise UserError(f"evaluate: task {task.name}: {unknown('evaluation', evaluation.name, known)}")
    named_by = [(name, evaluation.name) for evaluation in evaluations for name in evaluation.metrics]
    counts = Counter(name for name, _ in named_by)
    for name, of_evaluation in named_by:
        if counts[name] > 1:
            raise UserError(
                f"evaluate: {name} is asked for {counts[name]} times; keep one, or put a name behind the "
                f"other's values, as {{name: {of_evaluation}, as: again}}"
            )


def prepare_evaluations(
    task: TaskConfig,
    evaluations: Sequence[EvaluationConfig],
    data: Data,
    device: torch.device,
    num_workers: int,
) -> None:
    """Fits or fetches what the evaluations need, once for all trials; `UserError` where one cannot."""
    PREPARE[TASKS[task.name].produces](task, evaluations, data, device=device, num_workers=num_workers)


def build_augmentation(task: TaskConfig, spec: NegativeSpec | None) -> Augmentation | None:
    """The augmentation by the task's rule; `UserError` for what its images or clips do not have."""
    return spec.build(_rule(task)) if spec is not None else None


def check_augmentation(task: TaskConfig, spec: NegativeSpec, data: Data) -> None:
    """`UserError` where the images or clips that the task shows it do not fit the augmentation."""
    shape = data.frame_shape if isinstance(data, ClipData) else data.image_shape
    check(spec, task.shown_shape(shape), _rule(task))


def augmentation_label(task: TaskConfig, spec: NegativeSpec | None) -> str:
    """What tables call the augmentation, its rule named where that is the released one; empty for none."""
    return "" if spec is None else resolve(spec, _rule(task)).label


def all_negatives(task: TaskConfig) -> dict[str, Augmentation]:
    """Every negative of what the task learns from, in each of its variants, by what tables call it."""
    rule: Rule = "clips" if TASKS[task.name].learns_from == "videos" else "corrected"
    return {negative.label: negative.build(rule) for negative in registered(rule)}


def _rule(task: TaskConfig) -> Rule:
    """The rule of a negative that names none: reference mode does as the released code."""
    if TASKS[task.name].learns_from == "videos":
        return "clips"
    return "released" if task.released_negatives else "corrected"
