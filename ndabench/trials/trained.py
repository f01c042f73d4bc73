"""What a trial has trained, rebuilt from its newest whole checkpoint and its configuration alone."""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ndabench.distributed import Workers
from ndabench.errors import UserError
from ndabench.metrics.clip_encoders.subject import ClipEncoderSubject
from ndabench.metrics.generators.subject import GeneratorSubject, HasGenerator
from ndabench.metrics.image_encoders.subject import ImageEncoderSubject
from ndabench.metrics.points.subject import PointGeneratorSubject
from ndabench.records import RecordStore, TrialRow
from ndabench.tasks.trainer import Trainer
from ndabench.trials.config import TrialConfig
from ndabench.trials.run import restored


class Trained(NamedTuple):
    """A trial's networks as its evaluations see them."""

    trial_id: str
    task: str
    subject: Any
    """The subject of the evaluations at `step`; see `ndabench.metrics.subjects`."""
    step: int


def trained(store: RecordStore, trial_id: str) -> Trained:
    """The trial at its newest whole checkpoint, on a GPU where there is one; `UserError` as in `rebuilt`."""
    row, trainer = rebuilt(store, trial_id, torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    return Trained(trial_id, row.task, trainer.task.subject(trainer.step), trainer.step)


def rebuilt(store: RecordStore, trial_id: str, device: torch.device) -> tuple[TrialRow, Trainer]:
    """A trial's row, and its trainer at the newest whole checkpoint. Opens the trial's data.

    Raises `UserError` for a trial that is not in the records, was not trained here, or has no checkpoint that
    can be read.
    """
    row = store.read_trial(trial_id)
    if row is None:
        raise UserError(f"{store.root}: has no trial {trial_id!r}")
    if row.external_json is not None:
        raise UserError(f"{trial_id}: was not trained here, so there is no checkpoint of it")
    return row, restored(TrialConfig.from_json(row.config_json), store, Workers(device=device))


def drawn(found: Trained, num_images: int) -> Tensor:
    """Images from its generator, uint8 `[num_images, C, H, W]` on the CPU: first those that its evaluations
    at that step looked at. `UserError` where it has none."""
    subject = found.subject
    if not isinstance(subject, GeneratorSubject):
        raise UserError(f"{found.trial_id}: task {found.task} trains no generator of images")
    images = subject.sample(
        num_images, stream=subject.stream, weights=subject.weights, batch_norm=subject.batch_norm
    )
    return images.cpu()


def generator_of(found: Trained) -> nn.Module:
    """Its generator with the weights that are measured, in evaluation mode; `UserError` where it has none."""
    subject = found.subject
    sampler = subject.sampler if isinstance(subject, GeneratorSubject) else subject
    if not isinstance(sampler, HasGenerator) or not isinstance(
        subject, GeneratorSubject | PointGeneratorSubject
    ):
        raise UserError(f"{found.trial_id}: task {found.task} trains no generator")
    return sampler.generator.eval()


def encoder_of(found: Trained) -> nn.Module:
    """Its encoder without the head, in evaluation mode; `UserError` where it has none."""
    if not isinstance(found.subject, ImageEncoderSubject | ClipEncoderSubject):
        raise UserError(f"{found.trial_id}: task {found.task} trains no encoder")
    return found.subject.encoder.eval()
