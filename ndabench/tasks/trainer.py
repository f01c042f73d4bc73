"""The training loop of every task, its checkpoints' state, and how it notices that a training diverged.

`Trainer.run` is the whole loop. What differs between tasks is behind `task.Task`; a task that follows that
protocol gets resuming, logging, divergence checks, evaluations and files from here, unchanged.
"""

import copy
import math
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from ndabench.config import without
from ndabench.errors import UserError
from ndabench.measurement import Measurement
from ndabench.metrics.evaluating import evaluate
from ndabench.metrics.evaluation import Evaluation
from ndabench.metrics.results import Evaluated, EvaluationProgress, merge
from ndabench.random_streams import continue_stream
from ndabench.registry import load
from ndabench.tasks.acceleration import choose_kernels
from ndabench.tasks.memory import lower, memory_for
from ndabench.tasks.setup import TrialSetup
from ndabench.tasks.task import DivergedError, Progress, Stateful, Task

WIDTHS = ("width", "encoder.width")
STEP_SIZES = ("batch_size", *WIDTHS)
PICTURE_SIZES = ("num_sheet_rows", *WIDTHS)
EVALUATION_SIZES = ("num_samples", "images_per_set", "subset_size", "batch_size")
"""Keys that decide how much memory is needed."""
EVALUATION_STATE = ("evaluated", "under_evaluation")
MOVED = (
    "on another kind of device: from there on its random draws are not those of a training that stays where "
    "it is"
)


def build_trainer(setup: TrialSetup) -> "Trainer":
    """The trainer of a trial at step 0; `UserError` for settings that do not fit together."""
    with memory_for("building the networks", lower(setup.config, WIDTHS)):
        return Trainer(load(setup.definition.build)(setup), setup)


class Trainer:
    """Trains a task, and knows its current step."""

    def __init__(self, task: Task, setup: TrialSetup) -> None:
        self.task, self.config, self.workers = task, setup.config, setup.workers
        self.evaluations = tuple(setup.evaluations)
        self.step = 0
        self.evaluated: list[Evaluated] = []
        """The results of the evaluations of this step that are done, while others are not."""
        self.under_evaluation: EvaluationProgress | None = None
        """How far a long evaluation is, while it runs."""
        self._moved: tuple[str, ...] = ()
        """What a reader must know of a state that another kind of device made."""
        self._judged_per_step = setup.config.judged_per_step(negative=setup.weighted_negative is not None)
        self._identity = _identity(setup)

    def run(self) -> Iterator[Progress]:
        """Trains from the current step to the last one, and yields a `Progress` at every pause.

        A pause is due at step 0, at each multiple of `log_every`, `checkpoint_every`, `picture_every` and an
        evaluation's `every`, and at the last step. Evaluations of the last step may take hours, so that step
        is yielded several times: before them, to be saved; after each evaluation, or part of one; and at the
        end, with all measurements. A run that is stopped between these continues with what is left.

        After `load_state_dict` the results equal those of a run that was never interrupted, on a CPU bit for
        bit. A state that was made on a GPU also continues on a CPU, and the other way round, from the same
        weights with new random draws (`random_streams.continue_stream`); the next metrics come with a note of
        it. Raises `DivergedError` when a loss or a weight is not finite.
        """
        task, config = self.task, self.config
        notes = choose_kernels(config, self.workers.device, task.compile)
        if self.step in (0, config.num_steps):
            yield from self._pause(notes)
        while self.step < config.num_steps:
            for batch in self._batches():  # opened again after every evaluation
                if self._due(config.log_every):  # the last pause has logged what the curves hold
                    task.curves.clear()
                self._train(batch, self.step)
                self.step += 1
                if self.step == config.num_steps or self._evaluations_due():
                    break  # ends decoding ahead: evaluations need the memory, and may take hours
                if self._pause_due():
                    yield from self._pause(notes)
            yield from self._pause(notes)

    def try_steps(self, count: int) -> float:
        """Takes up to `count` training steps, to find what would stop a training.

        Returns the seconds of a step, without the first, which prepares; 0 for fewer than two. The trainer
        cannot be used afterwards.
        """
        steps = range(min(count, self.config.num_steps))
        if not steps:
            return 0.0
        began, device = 0.0, self.workers.device
        for step, batch in zip(steps, self._batches(), strict=False):
            self._train(batch, step)
            if step == 0:
                _wait_for(device)
                began = time.perf_counter()
        _wait_for(device)
        return (time.perf_counter() - began) / (len(steps) - 1) if len(steps) > 1 else 0.0

    def _batches(self) -> Iterator[Any]:
        batches = self.task.batches(self.step)
        while True:
            with memory_for("making a batch", lower(self.config, STEP_SIZES)):
                batch = next(batches)
            yield batch

    def _train(self, batch: Any, step: int) -> None:
        with memory_for(f"training step {step}", lower(self.config, STEP_SIZES)):
            self.task.training_step(batch, step)

    def _due(self, every: int | None) -> bool:
        """Whether something done every `every` steps is due now; everything is due at the last step."""
        return self.step == self.config.num_steps or (every is not None and self.step % every == 0)

    def _pause_due(self) -> bool:
        intervals = (self.config.log_every, self.config.checkpoint_every, self.task.picture_every)
        return any(map(self._due, intervals))

    def _evaluations_due(self) -> list[Any]:
        first = self.step == 0 and self.task.evaluates_untrained
        return [evaluation for evaluation in self.evaluations if first or self._due(evaluation.every)]

    def _pause(self, notes: Mapping[str, Measurement]) -> Iterator[Progress]:
        """Runs the checks, logs, pictures and measurements that are due at this step."""
        task, config, last = self.task, self.config, self.step == self.config.num_steps
        task.synchronise()
        curves = task.curves.read()
        check_finite(curves, task.networks(), step=self.step)
        pictures = self.step == 0 or self._due(task.picture_every)
        # Called on every worker, because making files may need all of them; only the main worker keeps them.
        with memory_for("drawing pictures", lower(config, PICTURE_SIZES)):
            artifacts = task.artifacts(self.step, last=last) if pictures else {}
        here = Progress(
            step=self.step,
            num_steps=config.num_steps,
            num_images=self.step * config.images_per_step,
            num_judged=None if self._judged_per_step is None else self.step * self._judged_per_step,
            checkpoint_due=self.step > 0 and self._due(config.checkpoint_every),
            artifacts=artifacts if self.workers.is_main else {},
        )
        evaluations = self._evaluations_due()
        if evaluations and last and self.step > 0:
            yield here
            here = replace(here, checkpoint_due=False)
        evaluated = yield from self._evaluate(evaluations, here)
        logged = {name: Measurement(value) for name, value in curves.items()}
        yield replace(
            here,
            metrics={**notes, **(logged if self._due(config.log_every) else {}), **evaluated.measurements},
            artifacts={**here.artifacts, **(evaluated.artifacts if self.workers.is_main else {})},
            notes=(*self._moved, *evaluated.notes),
        )
        self._moved = ()

    def _evaluate(
        self, evaluations: Sequence[Evaluation], here: Progress
    ) -> Generator[Progress, None, Evaluated]:
        """Measures this step, and yields on the way; at the last step the parts are worth a checkpoint."""
        if not evaluations:
            return Evaluated({})
        last = self.step == self.config.num_steps
        news = evaluate(
            evaluations,
            self.task.subject(self.step),
            test=last,
            done=[one.evaluation for one in self.evaluated],
            resume_from=self.under_evaluation,
        )
        # Neither metrics nor files: whoever follows the records reads those of a step once.
        pause = replace(here, checkpoint_due=last, artifacts={})
        while (one := next_result(news, evaluations, len(self.evaluated))) is not None:
            self.under_evaluation = one if isinstance(one, EvaluationProgress) else None
            if isinstance(one, Evaluated):
                self.evaluated.append(one)
            if len(self.evaluated) < len(evaluations):
                units = one.done if isinstance(one, EvaluationProgress) else 0
                yield replace(pause, evaluated=(len(self.evaluated), units))
        evaluated, self.evaluated = merge(self.evaluated), []
        return evaluated

    def state_dict(self) -> dict[str, Any]:
        """A copy of everything that the next step depends on: tensors, numbers, strings, lists and dicts.

        `made_by` says whose state it is; `load_state_dict` compares it.
        """
        parts = {name: part.state_dict() for name, part in self._parts().items()}
        streams = {name: stream.get_state() for name, stream in self.task.streams.items()}
        under = self.under_evaluation
        evaluations = {
            "evaluated": [one.to_plain() for one in self.evaluated],
            "under_evaluation": vars(under) if under is not None else None,
        }
        return copy.deepcopy(
            {"made_by": self._identity, "step": self.step, "streams": streams, **evaluations, **parts}
        )

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continues from a `state_dict`; `UserError` where another training or version made it."""
        _check_identity(state.get("made_by", {}), self._identity)
        missing = [name for name in (*self._parts(), *EVALUATION_STATE) if name not in state]
        missing += [name for name in self.task.streams if name not in state["streams"]]
        if missing:
            raise UserError(f"the checkpoint has no {missing[0]}; another version of ndabench wrote it")
        for name, part in self._parts().items():
            part.load_state_dict(copy.deepcopy(state[name]))  # optimisers would keep the state's own tensors
        self.step = int(state["step"])
        streams = [continue_stream(one, state["streams"][name]) for name, one in self.task.streams.items()]
        self._moved = () if all(streams) else (f"continued from step {self.step} {MOVED}",)
        self.evaluated, self.under_evaluation = [], None
        if self.step < self.config.num_steps:  # a longer run measures its own last step
            return
        self.evaluated = [Evaluated.from_plain(one) for one in state["evaluated"]]
        if (under := state["under_evaluation"]) is not None:
            self.under_evaluation = EvaluationProgress(**copy.deepcopy(under))

    def _parts(self) -> dict[str, Stateful]:
        return {**self.task.parts(), "curves": self.task.curves}


def next_result(
    news: Iterator[Evaluated | EvaluationProgress], evaluations: Sequence[Evaluation], done: int
) -> Evaluated | EvaluationProgress | None:
    """What the evaluation in progress has to tell; None when all are `done`."""
    current = evaluations[min(done, len(evaluations) - 1)]
    with memory_for(f"evaluation {current.key!r}", lower(current, EVALUATION_SIZES)):
        return next(news, None)


def _identity(setup: TrialSetup) -> dict[str, Any]:
    """What must be equal for a checkpoint to be continued, as plain data."""
    changeable = set(setup.definition.changeable_on_resume)
    drawn_from = setup.negative_data if setup.weighted_negative is not None else ()
    return {
        **without({"path"}, setup.config.model_dump(mode="json", exclude=changeable)),
        **setup.config.resolved,
        "lambda": setup.lambda_,
        "negative": setup.weighted_negative is not None,
        "positive": setup.positive is not None,
        "horizontal_flip": setup.horizontal_flip,
        "seed": setup.seed,
        "data": setup.data.content_hash,
        **({"negative_data": list(drawn_from)} if drawn_from else {}),
    }


def _check_identity(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> None:
    for key, value in ours.items():
        if key not in theirs or theirs[key] != value:
            raise UserError(
                f"the checkpoint belongs to another training: its {key} is {theirs.get(key)!r}, "
                f"this one's is {value!r}"
            )


def check_finite(values: Mapping[str, float], networks: Mapping[str, nn.Module], *, step: int) -> None:
    """`DivergedError`, naming it, where one of `values` or a weight in `networks` is not finite."""
    norms = {f"the norm of the {name}'s weights": _norm(network) for name, network in networks.items()}
    for name, value in {**values, **norms}.items():
        if not math.isfinite(value):
            raise DivergedError(f"{name} is {value} at step {step}")


@torch.no_grad()
def _norm(network: nn.Module) -> float:
    return torch.stack(torch._foreach_norm(list(network.parameters()))).norm().item()


def _wait_for(device: torch.device) -> None:
    """Until a GPU has done what it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
