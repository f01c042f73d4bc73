"""One trial, run to its end and recorded as it goes: the same under Ray, under torchrun, and alone."""

import json
import logging
import socket
from collections.abc import Generator, Hashable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from ndabench.data.counts import split_counts
from ndabench.data.registry import MODALITIES, load_data, modality_of
from ndabench.distributed import Workers
from ndabench.errors import UserError, first_of
from ndabench.metrics.evaluating import prepare as prepare_evaluations
from ndabench.metrics.subjects import Preparation
from ndabench.records import RecordStore, TrialRow
from ndabench.records.trial_recorder import SupersededError, TrialRecorder, now, one_line
from ndabench.tasks.memory import memory_for
from ndabench.tasks.registry import augmentation_label, build_negative, build_positive, check_augmentation
from ndabench.tasks.setup import TrialSetup
from ndabench.tasks.task import DivergedError, Progress
from ndabench.tasks.trainer import Trainer, build_trainer
from ndabench.trials.checkpoints import load_checkpoint, save_checkpoint
from ndabench.trials.config import Prepared, Provenance, TrialConfig, planned_row
from ndabench.trials.negative_changes import measured, negative_changes
from ndabench.trials.negative_data import negative_data, require_apart

CHECKED_STEPS = 2

_log = logging.getLogger(__name__)


def prepare(
    trials: Sequence[TrialConfig], device: torch.device, num_workers: int = 1, *, check: bool = False
) -> Prepared:
    """Finds, before training, everything that would stop a trial, and raises it as a `UserError`.

    Decodes and caches the data, tries the augmentations on images of that size, builds each task as the first
    of `num_workers` would, and fits or fetches what the evaluations need, which may take longest. The trials
    must share their data and evaluations; those of every arm's `boundary_settings` suffice. To `check` them,
    takes two training steps with each combination of networks, batch size and augmentations, where a trial
    has one worker, and counts the outputs of each negative that equal their input.
    """
    first, checked, notes = trials[0], set[Hashable](), dict[str, str]()
    drawn_from = dict[str, tuple[str, ...]]()
    _log.info("reading %s", first.data.title)
    data = _load(first, device)
    arms = [trial.arm for trial in trials]
    doing = "building the networks and trying two steps" if check else "building the networks"
    _log.info("%s: %s", doing, first_of(list(dict.fromkeys(arms))))
    for trial in trials:
        for spec in (trial.negative, trial.positive):
            if spec is not None:
                check_augmentation(trial.task, spec, data)
        if trial.arm not in drawn_from and (negatives := negative_data(trial, torch.device("cpu"))):
            for one in negatives:
                require_apart(one, data)
            drawn_from[trial.arm] = tuple(one.content_hash for one in negatives)
        trainer = _build(trial, data, Workers(world_size=num_workers, device=device))
        combination = _combination(trial)
        steps = check and num_workers == 1 and trial.task.num_steps > 0
        if steps and combination not in checked:
            trainer.try_steps(CHECKED_STEPS)
            checked.add(combination)
        del trainer  # its memory is needed for the next
        label = augmentation_label(trial.task, trial.negative)
        if check and label and label not in notes:
            notes[label] = f"{label}: {negative_changes(trial, data)}"
    sampling = getattr(first.task, "sampling", None)
    said: list[str] = []
    prepare_evaluations(first.evaluate, Preparation(data, device, num_workers, sampling, said.append))
    counts = split_counts(data, MODALITIES[modality_of(first.data)].holds)
    return Prepared(data.content_hash, len(checked), (*notes.values(), *said), drawn_from, counts)


def _load(trial: TrialConfig, device: torch.device) -> Any:
    """The trial's data, ready on the device."""
    with memory_for("loading the data", "decode while training (stream: true), or make image_size smaller"):
        return load_data(trial.data, device)


def _combination(trial: TrialConfig) -> Hashable:
    """What decides whether a training step works: not rates and other real numbers, seeds or lengths."""
    task = {
        key: value
        for key, value in trial.task.model_dump(mode="json").items()
        if key != "num_steps" and not key.endswith("_every")
    }
    return json.dumps(_without_reals(task), sort_keys=True), trial.negative, trial.positive


def _without_reals(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_reals(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_reals(item) for item in value]
    return None if isinstance(value, float) else value


def _build(trial: TrialConfig, data: Any, workers: Workers) -> Trainer:
    """The trainer of a trial at step 0."""
    return build_trainer(
        TrialSetup(
            trial.task,
            data,
            negative=build_negative(trial.task, trial.negative, data),
            negative_data=tuple(one.content_hash for one in negative_data(trial, workers.device)),
            positive=build_positive(trial.task, trial.positive, data),
            lambda_=trial.lambda_,
            seed=trial.seed,
            horizontal_flip=getattr(trial.data, "horizontal_flip", False),
            evaluations=trial.evaluate,
            workers=workers,
        )
    )


def restored(trial: TrialConfig, store: RecordStore, workers: Workers) -> Trainer:
    """The trainer of a trial at its newest whole checkpoint; `UserError` where there is none."""
    trainer = _build(trial, _load(trial, workers.device), workers)
    checkpoint, _ = load_checkpoint(
        store, trial.trial_id, workers, lambda state: trainer.load_state_dict(state["task"])
    )
    if checkpoint is None:
        raise UserError(f"{store.root}: trial {trial.trial_id} has no checkpoint that can be read")
    return trainer


def run_trial(
    trial: TrialConfig, store: RecordStore, provenance: Provenance, workers: Workers
) -> Generator[Progress]:
    """Runs `trial` from its newest checkpoint, or from the start, yielding each progress once it is recorded.

    Only the main worker writes. However the trial ends, its row says how: finished, diverged (re-raised as
    `DivergedError`), failed (re-raised), or stopped when the caller drops the iterator.
    """
    recorder = TrialRecorder(_new_row(trial, provenance, workers), store, workers.is_main)
    try:
        data = _load(trial, workers.device)
        drawn_from = [(one.name, one.content_hash) for one in negative_data(trial, workers.device)]
        recorder.note(
            dataset=data.name,
            dataset_hash=data.content_hash,
            negative_data_json=json.dumps(drawn_from) if drawn_from else None,
        )
        for note in data.notes:
            recorder.remark(note)
        trainer = _build(trial, data, workers)
        checkpoint, damage = load_checkpoint(
            store, trial.trial_id, workers, lambda state: trainer.load_state_dict(state["task"])
        )
        if damage:
            recorder.remark(damage)
        if checkpoint is not None:
            recorder.resumed(checkpoint)
        elif damage:  # a damaged state may have been taken over in part
            trainer = _build(trial, data, workers)
        begun = checkpoint is not None or trial.negative is None
        at_start = {} if begun else measured(negative_changes(trial, data))
        run = trainer.run()
        while (progress := recorder.timed(run)) is not None:
            if progress.step == 0:  # there may be several, of which the last stays
                progress = replace(progress, metrics={**at_start, **progress.metrics})
            if workers.is_main:
                recorder.check_fencing()
                store.write_progress(
                    provenance.sweep, trial.trial_id, progress.step, progress.metrics, progress.artifacts
                )
                for remark in progress.notes:
                    recorder.remark(remark)
                if progress.checkpoint_due:
                    recorder.check_fencing()
                    state = {"trial": trial.to_json(), "task": trainer.state_dict(), **recorder.spent()}
                    save_checkpoint(store, trial.trial_id, progress.step, state)
            yield progress
    except DivergedError as error:
        if workers.is_main:
            _compact(recorder, store, trial.trial_id)
        recorder.end("diverged", str(error))
        raise
    except (GeneratorExit, KeyboardInterrupt):
        recorder.stop()
        raise
    except SupersededError:
        raise
    except Exception as error:
        recorder.end("failed", one_line(error))
        raise
    if workers.is_main:
        _compact(recorder, store, trial.trial_id)
    recorder.end("finished")


def _compact(recorder: TrialRecorder, store: RecordStore, trial_id: str) -> None:
    """Compacts the records of a trial that has ended, before its row says so: it is not done later."""
    recorder.check_fencing()
    store.compact(trial_id)


def _new_row(trial: TrialConfig, provenance: Provenance, workers: Workers) -> TrialRow:
    hosts = [socket.gethostname()]
    if workers.world_size > 1:
        gathered: list[Any] = [None] * workers.world_size
        torch.distributed.all_gather_object(gathered, hosts[0])
        hosts = sorted(set(gathered))
    device = torch.cuda.get_device_name(workers.device) if workers.device.type == "cuda" else "cpu"
    return replace(
        planned_row(trial, provenance),
        started=now(),
        device=f"{workers.world_size} × {device}",
        hosts=tuple(hosts),
    )
