"""The tasks there are, and how each is built. A new task is one file and one entry here."""

from collections.abc import Sequence

import torch

from ndabench.data import ImageData, ImageDataConfig, load_images
from ndabench.distributed import Workers
from ndabench.metrics import GenerativeEvaluation, prepare
from ndabench.tasks.gan import GanConfig, GanTask
from ndabench.tasks.negatives import NegativeSpec, Variant, check, resolve
from ndabench.tasks.task import Task

TaskConfig = GanConfig  # a union discriminated by `name`, as soon as there are two
DataConfig = ImageDataConfig
EvaluationConfig = GenerativeEvaluation


def load_data(config: DataConfig, device: torch.device) -> ImageData:
    """The data set of a configuration, ready to be indexed on `device`."""
    return load_images(config, device=device)


def prepare_evaluations(
    task: TaskConfig, evaluations: Sequence[EvaluationConfig], data: ImageData, device: torch.device
) -> None:
    """Fits or fetches what the evaluations need, once for all trials; `UserError` where one cannot."""
    prepare(evaluations, data, device=device)


def check_augmentation(task: TaskConfig, spec: NegativeSpec, data: ImageData) -> None:
    """`UserError` where the images of the data set do not fit the augmentation."""
    check(spec, data.image_shape, _variant(task))


def augmentation_label(task: TaskConfig, spec: NegativeSpec | None) -> str:
    """What tables call the augmentation, its rule named where that is the released one; empty for none."""
    return "" if spec is None else resolve(spec, _variant(task)).label


def _variant(task: TaskConfig) -> Variant:
    """The rule of a negative that names none: reference mode does as the released code."""
    return "released" if task.reference else "corrected"


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
    return GanTask(
        config,
        data,
        negative=negative.build(variant) if negative is not None else None,
        positive=positive.build(variant) if positive is not None else None,
        lambda_=lambda_,
        horizontal_flip=data_config.horizontal_flip,
        seed=seed,
        evaluations=evaluations,
        workers=workers,
    )
