"""The tasks there are: what each learns from, how it is built, and what it can be measured by.

A new task is one file, a member of `TaskConfig` and one entry here.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, TypeAlias

import torch
from pydantic import BeforeValidator, Field

from ndabench.augmentations.compose import Augmentation
from ndabench.augmentations.specification import NegativeSpec, Rule, check, registered, resolve
from ndabench.config import named
from ndabench.data import registry as data_sets
from ndabench.data.images import ImageData
from ndabench.data.registry import MODALITIES, DataConfig, Modality, OfModality, modality_of
from ndabench.data.source import ImageConfig
from ndabench.data.videos.clips import ClipData
from ndabench.data.videos.source import VideoConfig
from ndabench.distributed import Workers
from ndabench.errors import UserError, unknown
from ndabench.metrics import (
    GENERATIVE,
    RECOGNITION,
    REPRESENTATION,
    ClipLinearProbeConfig,
    DpcFinetuneConfig,
    GenerativeEvaluation,
    RecognitionEvaluation,
    RepresentationEvaluation,
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
from ndabench.tasks.gan import GanConfig, GanTask
from ndabench.tasks.image_contrastive import ImageContrastiveConfig, image_contrastive_task
from ndabench.tasks.task import Task
from ndabench.tasks.video_contrastive import VideoContrastiveConfig, video_contrastive_task

TaskConfig = Annotated[
    GanConfig | ImageContrastiveConfig | VideoContrastiveConfig, Field(discriminator="name")
]
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


@dataclass(frozen=True)
class Kind:
    """What a task brings along. The arguments of `build` are those of `build_task`, augmentations built."""

    build: Callable[..., Task]
    evaluations: Mapping[str, type]
    prepare: Callable[..., None]
    learns_from: Modality = "images"


def _gan(config: GanConfig, data_config: ImageConfig, data: ImageData, **rest: Any) -> Task:
    return GanTask(config, data, horizontal_flip=data_config.horizontal_flip, **rest)


def _prepare_gan(
    config: GanConfig,
    evaluations: Sequence[GenerativeEvaluation],
    data: ImageData,
    *,
    device: torch.device,
    num_workers: int,
) -> None:
    prepare(evaluations, data, device=device)


def _image_contrastive(
    config: ImageContrastiveConfig, data_config: ImageConfig, data: ImageData, **rest: Any
) -> Task:
    return image_contrastive_task(config, data, **rest)


def _prepare_image_contrastive(
    config: ImageContrastiveConfig,
    evaluations: Sequence[RepresentationEvaluation],
    data: ImageData,
    **rest: Any,
) -> None:
    prepare_representation(evaluations, data, **rest)


def _video_contrastive(
    config: VideoContrastiveConfig, data_config: VideoConfig, data: ClipData, **rest: Any
) -> Task:
    return video_contrastive_task(config, data, **rest)


def _prepare_video_contrastive(
    config: VideoContrastiveConfig, evaluations: Sequence[RecognitionEvaluation], data: ClipData, **rest: Any
) -> None:
    prepare_recognition(evaluations, data, sampling=config.sampling, **rest)


TASKS: dict[str, Kind] = {
    "gan": Kind(_gan, GENERATIVE, _prepare_gan),
    "image_contrastive": Kind(_image_contrastive, REPRESENTATION, _prepare_image_contrastive),
    "video_contrastive": Kind(_video_contrastive, RECOGNITION, _prepare_video_contrastive, "videos"),
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
            f"{data.name} holds {MODALITIES[found].holds} (take {', '.join(sorted(OfModality(wanted)))})"
        )


def counted(task: TaskConfig) -> str:
    """What the task's `num_images` counts."""
    return MODALITIES[TASKS[task.name].learns_from].counted


def evaluations_of(task: TaskConfig) -> Sequence[str]:
    """The names of what the task can be measured by, the usual one first."""
    return list(TASKS[task.name].evaluations)


def check_evaluations(task: TaskConfig, evaluations: Sequence[EvaluationConfig]) -> None:
    """`UserError` where the task cannot be measured like that, or two would report the same name."""
    known = TASKS[task.name].evaluations
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
    TASKS[task.name].prepare(task, evaluations, data, device=device, num_workers=num_workers)


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
    return "released" if isinstance(task, GanConfig) and task.reference else "corrected"


def build_task(
    config: TaskConfig,
    data_config: DataConfig,
    data: Data,
    *,
    negative: NegativeSpec | None,
    positive: NegativeSpec | None,
    lambda_: float,
    seed: int,
    evaluations: Sequence[EvaluationConfig],
    workers: Workers,
) -> Task:
    """The task of a trial, at its step 0."""
    return TASKS[config.name].build(
        config,
        data_config,
        data,
        negative=build_augmentation(config, negative),
        positive=build_augmentation(config, positive),
        lambda_=lambda_,
        seed=seed,
        evaluations=evaluations,
        workers=workers,
    )
