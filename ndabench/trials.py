"""One trial, run to its end and recorded as it goes: the same under Ray, under torchrun, and alone.

A trial is an arm at one setting and one seed. Its id is a hash of its resolved configuration, so that a
resumed or extended sweep knows what it already has.
"""

import hashlib
import json
import platform
import re
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from pydantic import Field, model_validator

from ndabench.augmentations.specification import NegativeSpec
from ndabench.checkpoints import load_checkpoint, save_checkpoint
from ndabench.config import Config, without
from ndabench.distributed import Workers
from ndabench.records import RecordStore, TrialRow
from ndabench.records.trial_recorder import SupersededError, TrialRecorder, now, one_line
from ndabench.tasks.registry import (
    AnyTaskConfig,
    DataConfig,
    EvaluationConfig,
    augmentation_label,
    build_augmentation,
    check_augmentation,
    load_data,
    prepare_evaluations,
)
from ndabench.tasks.setup import TrialSetup
from ndabench.tasks.task import DivergedError, Progress
from ndabench.tasks.trainer import Trainer, build_trainer


class TrialConfig(Config):
    """Everything that decides a trial's result."""

    arm: str
    task: AnyTaskConfig
    data: DataConfig
    negative: NegativeSpec | None = None
    positive: NegativeSpec | None = None
    lambda_: float = Field(1.0, ge=0, alias="lambda")
    """Its range and meaning depend on the task; see its `lambda_rule`."""
    seed: int = Field(0, ge=0)
    evaluate: tuple[EvaluationConfig, ...] = ()
    parameters: dict[str, Any] = Field(default_factory=dict)
    """The searched values other than λ, as they were set in `task`; told apart in tables."""

    @model_validator(mode="after")
    def _augmentations_are_the_tasks(self) -> "TrialConfig":
        for spec in (self.negative, self.positive):
            build_augmentation(self.task, spec)
        return self

    def to_json(self) -> str:
        """The canonical text of the configuration: the same configuration, the same text."""
        return json.dumps(self.model_dump(mode="json", by_alias=True), sort_keys=True)

    @property
    def trial_id(self) -> str:
        """`<arm>-<hash>`: stable across machines and runs, safe as a file name."""
        slug = re.sub(r"[^a-z0-9]+", "-", self.arm.lower()).strip("-")[:24] or "arm"
        content = json.dumps(without_places(json.loads(self.to_json())), sort_keys=True)
        return f"{slug}-{hashlib.sha256(content.encode()).hexdigest()[:10]}"

    @property
    def label(self) -> str:
        """`jigsaw λ=0.25 learning_rate=0.0002 seed 1`, for progress lines."""
        parts = [self.arm]
        if self.negative is not None:
            parts.append(f"λ={self.lambda_:g}")
        parts += [
            f"{key}={value:.3g}" if isinstance(value, float) else f"{key}={value}"
            for key, value in self.parameters.items()
        ]
        return " ".join([*parts, f"seed {self.seed}"])


PLACES = frozenset({"path", "download", "stream", "decode_workers", "weights"})
"""Keys of data and evaluations that say where something lies, not what it is: a sweep may move.

Folders inside a `path` are none of them: `split_lists` of another name may well list other videos. Nor is the
`decoder` of videos: each rounds colours in its own way.
"""


def without_places(config: Mapping[str, Any]) -> dict[str, Any]:
    """A dumped configuration without the `PLACES` of its data and evaluations, nor where the weights lie that
    its task starts from: their hash stands beside it."""
    return {
        **config,
        "task": without({"path"}, config["task"]),
        "data": without(PLACES, config["data"]),
        "evaluate": [without(PLACES, part) for part in config["evaluate"]],
    }


@dataclass(frozen=True)
class Provenance:
    """What the sweep's driver knows and a worker on another machine may not."""

    sweep: str
    git_commit: str = ""


def git_commit() -> str:
    """The commit of the code that runs, with `-dirty` after it where it was changed; empty if unknown."""
    folder = Path(__file__).parent

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", *arguments], cwd=folder, capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", __file__)  # an installed copy may lie inside another repository
        return git("rev-parse", "HEAD") + ("-dirty" if git("status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.SubprocessError):
        return ""


def prepare(trials: Sequence[TrialConfig], device: torch.device, num_workers: int = 1) -> None:
    """Everything that can go wrong before training, found before training. Raises `UserError`.

    Decodes and caches the data, tries the augmentations on images of that size, builds each task as the first
    of `num_workers` would, and fits or fetches what the evaluations need, which may take longest. The trials
    share their data and evaluations: those of every arm's `corners` will do.
    """
    first = trials[0]
    data = load_data(first.data, device)
    for trial in trials:
        for spec in (trial.negative, trial.positive):
            if spec is not None:
                check_augmentation(trial.task, spec, data)
        _build(trial, data, Workers(world_size=num_workers, device=device))
    prepare_evaluations(first.task, first.evaluate, data, device, num_workers)


def _build(trial: TrialConfig, data: Any, workers: Workers) -> Trainer:
    """The trainer of a trial at step 0."""
    return build_trainer(
        TrialSetup(
            trial.task,
            data,
            negative=build_augmentation(trial.task, trial.negative),
            positive=build_augmentation(trial.task, trial.positive),
            lambda_=trial.lambda_,
            seed=trial.seed,
            horizontal_flip=getattr(trial.data, "horizontal_flip", False),
            evaluations=trial.evaluate,
            workers=workers,
        )
    )


def run_trial(
    trial: TrialConfig, store: RecordStore, provenance: Provenance, workers: Workers
) -> Iterator[Progress]:
    """Runs `trial` from its newest checkpoint, or from the start, yielding each progress once it is recorded.

    Only the main worker writes. However the trial ends, its row says how: finished, diverged (re-raised as
    `DivergedError`), failed (re-raised), or stopped when the caller drops the iterator.
    """
    recorder = TrialRecorder(_new_row(trial, provenance, workers), store, workers.is_main)
    try:
        data = load_data(trial.data, workers.device)
        recorder.note(dataset=data.name, dataset_hash=data.content_hash)
        trainer = _build(trial, data, workers)
        checkpoint, damage = load_checkpoint(store, trial.trial_id, workers)
        if damage:
            recorder.note(notes=damage)
        if checkpoint is not None:
            trainer.load_state_dict(checkpoint["task"])
            recorder.resumed(checkpoint)
        run = trainer.run()
        while (progress := recorder.timed(run)) is not None:
            if workers.is_main:
                recorder.check_fencing()
                store.write_progress(
                    provenance.sweep, trial.trial_id, progress.step, progress.metrics, progress.artifacts
                )
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
    """Compacts the records of a trial that has ended, before its row says so: nobody does it later."""
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


def planned_row(trial: TrialConfig, provenance: Provenance) -> TrialRow:
    """The row of a trial as far as it is known before it begins."""
    return TrialRow(
        sweep=provenance.sweep,
        trial_id=trial.trial_id,
        task=trial.task.name,
        dataset=trial.data.name,
        arm=trial.arm,
        negative=augmentation_label(trial.task, trial.negative),
        positive=augmentation_label(trial.task, trial.positive),
        lambda_=trial.lambda_,
        seed=trial.seed,
        parameters_json=json.dumps(trial.parameters, sort_keys=True),
        config_json=trial.to_json(),
        status="running",
        versions_json=json.dumps(_versions(), sort_keys=True),
        git_commit=provenance.git_commit,
    )


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for package in ("ndabench", "torch", "torchvision", "ray", "optuna", "numpy", "torchmetrics"):
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions
