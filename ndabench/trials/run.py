"""One trial, run to its end and recorded as it goes: the same under Ray, under torchrun, and alone."""

import contextlib
import io
import json
import logging
import resource
import socket
from collections.abc import Generator, Hashable, Mapping, Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

import torch

from ndabench.data.counts import split_counts
from ndabench.data.progress import told
from ndabench.data.registry import MODALITIES, load_data, modality_of
from ndabench.distributed import Workers
from ndabench.errors import UserError, first_of
from ndabench.foreign_text import escaped
from ndabench.metrics.evaluating import evaluate
from ndabench.metrics.evaluating import prepare as prepare_evaluations
from ndabench.metrics.results import Evaluated
from ndabench.metrics.subjects import Preparation
from ndabench.records import RecordStore, TrialRow
from ndabench.records.trial_recorder import SupersededError, TrialRecorder, now, one_line
from ndabench.tasks.exports import RecordsWeights
from ndabench.tasks.memory import memory_for
from ndabench.tasks.registry import augmentation_label, build_negative, build_positive, check_augmentation
from ndabench.tasks.setup import TrialSetup
from ndabench.tasks.task import DivergedError, Progress
from ndabench.tasks.trainer import Trainer, build_trainer
from ndabench.trials.checkpoints import load_checkpoint, save_checkpoint
from ndabench.trials.config import Cost, Prepared, Provenance, TrialConfig, planned_row
from ndabench.trials.kept_samples import draw_kept
from ndabench.trials.negative_changes import measured, negative_changes
from ndabench.trials.negative_data import negative_data, require_apart

CHECKED_STEPS, TIMED_STEPS = 2, 6

_log = logging.getLogger(__name__)


def prepare(
    trials: Sequence[TrialConfig],
    device: torch.device,
    num_workers: int = 1,
    *,
    check: bool = False,
    timed: bool = False,
) -> Prepared:
    """Finds, before training, everything that would stop a trial, and raises it as a `UserError`.

    Decodes and caches the data, tries the augmentations on images of that size, builds each task as the first
    of `num_workers` would, and fits or fetches what the evaluations need, which may take longest. The trials
    must share their data and evaluations; those of every arm's `boundary_settings` suffice. To `check` them,
    takes two training steps with each combination of networks, batch size and augmentations, where a trial
    has one worker, and counts the outputs of each negative that equal their input. `timed` takes a few more,
    measures once, and says what a trial of each arm will take.
    """
    first, checked, notes = trials[0], dict[Hashable, float](), dict[str, str]()
    drawn_from = dict[str, tuple[str, ...]]()
    _log.info("reading %s", first.data.title)
    data = _load(first, device)
    arms = [trial.arm for trial in trials]
    doing = "building the networks and trying two steps" if check else "building the networks"
    _log.info("%s: %s", doing, first_of(list(dict.fromkeys(arms))))
    for trial in told(trials, doing, len(trials)):
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
            checked[combination] = trainer.try_steps(TIMED_STEPS if timed else CHECKED_STEPS)
        del trainer  # its memory is needed for the next
        label = augmentation_label(trial.task, trial.negative)
        if check and label and label not in notes:
            notes[label] = f"{label}: {negative_changes(trial, data)}"
    sampling = getattr(first.task, "sampling", None)
    said: list[str] = []
    prepare_evaluations(first.evaluate, Preparation(data, device, num_workers, sampling, said.append))
    counts = split_counts(data, MODALITIES[modality_of(first.data)].holds)
    costs = _costs(trials, data, device, checked) if timed and checked else ()
    kept = [data.kept] if getattr(data, "kept", "") else []
    lines = tuple(map(escaped, (*kept, *notes.values(), *said)))  # names of folders are in them
    return Prepared(data.content_hash, len(checked), lines, drawn_from, escaped(counts), costs)


def _costs(
    trials: Sequence[TrialConfig], data: Any, device: torch.device, seconds: Mapping[Hashable, float]
) -> list[Cost]:
    """One for each arm: the first of its trials, by the seconds of a step with each combination of settings.

    A measurement on both splits is made once, with the first trial's untrained networks; one during the
    training, on the validation split alone, counts as half of it.
    """
    trainer = _build(trials[0], data, Workers(device=device))
    buffer = io.BytesIO()
    torch.save(trainer.state_dict(), buffer)
    _log.info("measuring once, to time it")
    measuring = dict.fromkeys((one.key for one in trials[0].evaluate), 0.0)
    for news in evaluate(trials[0].evaluate, trainer.task.subject(trainer.step), test=True):
        if isinstance(news, Evaluated):
            measuring[news.evaluation] = sum(one.seconds for one in news.measurements.values())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    memory = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else peak
    costs: dict[str, Cost] = {}
    for trial in trials:
        steps = trial.task.num_steps
        during = {one.key: (steps - 1) // one.every if one.every and steps else 0 for one in trial.evaluate}
        spent = sum(one * (1 + during[key] / 2) for key, one in measuring.items())
        each = seconds.get(_combination(trial), 0.0)
        costs.setdefault(trial.arm, Cost(trial.arm, steps, each, spent, len(buffer.getvalue()), int(memory)))
    return list(costs.values())


def _load(trial: TrialConfig, device: torch.device) -> Any:
    """The trial's data, ready on the device."""
    videos = modality_of(trial.data) == "videos"
    remedy = "set data.cache to disk" if videos else "decode while training (stream: true)"
    size = "frame_size" if videos else "image_size"
    with memory_for("loading the data", f"{remedy}, or make {size} smaller"):
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
    """The trainer of a trial at its newest whole checkpoint or, without one, with the weights that its last
    step recorded, which can be measured but not trained; `UserError` where there is neither."""
    trainer = _build(trial, _load(trial, workers.device), workers)
    checkpoint, _ = load_checkpoint(
        store, trial.trial_id, workers, lambda state: trainer.load_state_dict(state["task"])
    )
    if checkpoint is None and trial.task.num_steps > 0 and not _take_recorded_weights(trainer, trial, store):
        raise UserError(f"{store.root}: trial {trial.trial_id} has no checkpoint that can be read")
    return trainer


def _take_recorded_weights(trainer: Trainer, trial: TrialConfig, store: RecordStore) -> bool:
    """Whether the last step recorded the weights of all that evaluations measure; they are then loaded."""
    networks = trainer.task.weight_files() if isinstance(trainer.task, RecordsWeights) else {}
    last = (trial.trial_id, trial.task.num_steps)
    files = {
        PurePosixPath(row["path"]).name.partition("-")[2]: store.read_artifact(row["path"], row["sha256"])
        for row in store.read_artifacts().to_pylist()
        if (row["trial_id"], row["step"]) == last
    }
    contents = {name: files.get(name) for name in networks}
    if not contents or None in contents.values():
        return False
    for name, network in networks.items():
        state = torch.load(io.BytesIO(contents[name] or b""), map_location="cpu", weights_only=True)
        network.load_state_dict({**network.state_dict(), **state})  # it lacks counts that nothing reads
    trainer.step = trial.task.num_steps
    return True


def run_trial(
    trial: TrialConfig, store: RecordStore, provenance: Provenance, workers: Workers, *, samples: int = 0
) -> Generator[Progress]:
    """Runs `trial` from its newest checkpoint, or from the start, yielding each progress once it is recorded.

    The last step also records the images that `draw_kept` gives for `samples`. Only the main worker writes.
    However the trial ends, its row says how: finished, diverged (re-raised as `DivergedError`), failed
    (re-raised), or stopped when the caller drops the iterator.
    """
    recorder = TrialRecorder(_new_row(trial, provenance, workers), store, workers.is_main)
    with recorder.log.listening() if workers.is_main else contextlib.nullcontext():
        yield from _run_recorded(trial, store, provenance, workers, recorder, samples)


def _run_recorded(
    trial: TrialConfig,
    store: RecordStore,
    provenance: Provenance,
    workers: Workers,
    recorder: TrialRecorder,
    samples: int,
) -> Generator[Progress]:
    kept: dict[str, bytes] = {}
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
            if samples and progress.step == progress.num_steps:
                kept = kept or draw_kept(trainer, samples, workers)
                if progress.artifacts or progress.metrics:  # else it is only there to be saved
                    progress = replace(progress, artifacts={**progress.artifacts, **kept})
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
                    recorder.log.say(f"checkpoint of step {progress.step} of {progress.num_steps}")
                    recorder.log.save()
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
        recorder.log.say_error(error)
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
