"""What a trial has trained, rebuilt from its newest whole checkpoint and its configuration alone."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ndabench.distributed import Workers, usual_device
from ndabench.errors import UserError, listed
from ndabench.metrics.generators.subject import GeneratorSubject
from ndabench.records import RecordStore, TrialRow
from ndabench.tasks.exports import Exported, ExportsNetworks
from ndabench.tasks.trainer import Trainer
from ndabench.trials.config import recorded_configuration
from ndabench.trials.kept_samples import read_kept
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
    row, trainer = rebuilt(store, trial_id, usual_device())
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
    return row, restored(
        recorded_configuration(store, trial_id, row.config_json), store, Workers(device=device)
    )


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


def samples_of(store: RecordStore, trial_id: str, num_images: int) -> tuple[Tensor, str]:
    """Images of a trial as `drawn` gives them, and their step in words: those that it kept, where these are
    enough, else drawn from its newest checkpoint."""
    kept = read_kept(store, trial_id)
    if kept is not None and len(kept) >= num_images:
        return kept[:num_images], "its last step, as it kept them"
    try:
        found = trained(store, trial_id)
    except UserError as error:
        raise error if kept is None else UserError(f"{error}; it kept {len(kept):,} samples") from None
    return drawn(found, num_images), f"step {found.step}"


def networks_of(trainer: Trainer) -> Mapping[str, Exported]:
    """The trained networks by name, as evaluations measure them."""
    task = trainer.task
    if isinstance(task, ExportsNetworks):
        return task.exports(trainer.step)
    return {name: Exported(network, (), "", "") for name, network in task.networks().items()}


def network(store: RecordStore, trial_id: str, name: str) -> nn.Module:
    """One of a trial's networks, in evaluation mode; `UserError` as in `rebuilt` and for an unknown name."""
    row, trainer = rebuilt(store, trial_id, usual_device())
    found = networks_of(trainer)
    if name not in found:
        raise UserError(f"{trial_id}: task {row.task} trains no {name}{listed(found)}")
    return found[name].network.eval()
