"""The tasks there are, how each is built, and what it can be measured by.

A new task is one file and one entry here.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from pydantic import BeforeValidator, Field

from ndabench.data import ImageData, ImageDataConfig, load_images
from ndabench.distributed import Workers
from ndabench.errors import UserError, unknown
from ndabench.metrics import (
    GENERATIVE,
    REPRESENTATION,
    GenerativeEvaluation,
    prepare,
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
from ndabench.tasks.negatives import NegativeSpec, Variant, check, resolve
from ndabench.tasks.task import Task

TaskConfig = Annotated[GanConfig | ImageContrastiveConfig, Field(discriminator="name")]
DataConfig = ImageDataConfig


def _named(value: Any) -> Any:
    """`knn` is short for `{name: knn}`."""
    return {"name": value} if isinstance(value, str) else value


EvaluationConfig = Annotated[
    FrechetConfig
    | KernelConfig
    | InceptionScoreConfig
    | KnnConfig
    | LinearProbeLbfgsConfig
    | LinearProbeSgdConfig
    | DetectionConfig,
    Field(discriminator="name"),
    BeforeValidator(_named),
]


@dataclass(frozen=True)
class Kind:
    """What a task brings along. The arguments of `build` are those of `build_task`, augmentations built."""

    build: Callable[..., Task]
    evaluations: Mapping[str, type]
    prepare: Callable[..., None]


def _gan(config: GanConfig, data_config: DataConfig, data: ImageData, **rest: Any) -> Task:
    return GanTask(config, data, horizontal_flip=data_config.horizontal_flip, **rest)


def _prepare_gan(
    evaluations: Sequence[GenerativeEvaluation], data: ImageData, *, device: torch.device, num_workers: int
) -> None:
    prepare(evaluations, data, device=device)


def _image_contrastive(
    config: ImageContrastiveConfig, data_config: DataConfig, data: ImageData, **rest: Any
) -> Task:
    return image_contrastive_task(config, data, **rest)


TASKS: dict[str, Kind] = {
    "gan": Kind(_gan, GENERATIVE, _prepare_gan),
    "image_contrastive": Kind(_image_contrastive, REPRESENTATION, prepare_representation),
}


def load_data(config: DataConfig, device: torch.device) -> ImageData:
    """The data set of a configuration, ready to be indexed on `device`."""
    return load_images(config, device=device)


def check_evaluation(task: TaskConfig, evaluation: EvaluationConfig) -> None:
    """`UserError` where the task cannot be measured like that."""
    known = TASKS[task.name].evaluations
    if evaluation.name not in known:
        raise UserError(f"evaluate: task {task.name}: {unknown('evaluation', evaluation.name, known)}")


def prepare_evaluations(
    task: TaskConfig,
    evaluations: Sequence[EvaluationConfig],
    data: ImageData,
    device: torch.device,
    num_workers: int,
) -> None:
    """Fits or fetches what the evaluations need, once for all trials; `UserError` where one cannot."""
    TASKS[task.name].prepare(evaluations, data, device=device, num_workers=num_workers)


def check_augmentation(task: TaskConfig, spec: NegativeSpec, data: ImageData) -> None:
    """`UserError` where the images that the task shows it do not fit the augmentation."""
    check(spec, task.shown_shape(data.image_shape), _variant(task))


def augmentation_label(task: TaskConfig, spec: NegativeSpec | None) -> str:
    """What tables call the augmentation, its rule named where that is the released one; empty for none."""
    return "" if spec is None else resolve(spec, _variant(task)).label


def _variant(task: TaskConfig) -> Variant:
    """The rule of a negative that names none: reference mode does as the released code."""
    return "released" if isinstance(task, GanConfig) and task.reference else "corrected"


def build_task(
    config: TaskConfig,
    data_config: DataConfig,
    data: ImageData,
    *,
    negative: NegativeSpec | None,
    positive: NegativeSpec | None,
    lambda_: float,
    seed: int,
    evaluations: Sequence[EvaluationConfig],
    workers: Workers,
) -> Task:
    """The task of a trial, at its step 0."""
    variant = _variant(config)
    return TASKS[config.name].build(
        config,
        data_config,
        data,
        negative=negative.build(variant) if negative is not None else None,
        positive=positive.build(variant) if positive is not None else None,
        lambda_=lambda_,
        seed=seed,
        evaluations=evaluations,
        workers=workers,
    )
