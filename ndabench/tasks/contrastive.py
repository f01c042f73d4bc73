"""The training that all contrastive tasks share, whatever they look at and however they learn from it.

What it is fed with and measured on is a `Material` (images or clips), how it learns a `Method` (MoCo-v2,
SimCLR, DPC). A step takes a batch from the material and goes down the method's loss, among whose negatives
are embeddings of T(x) (Sinha et al., ICLR 2021, arXiv 2102.05113).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from ndabench.augmentations.compose import Augmentation
from ndabench.config import without
from ndabench.distributed import Workers
from ndabench.errors import UserError
from ndabench.measurement import Measurement
from ndabench.metrics.probing import Evaluated
from ndabench.models.split_batch_norm import average_running_moments
from ndabench.tasks.contrastive_config import MAY_CHANGE, ContrastiveConfig
from ndabench.tasks.curves import Curves
from ndabench.tasks.divergence import check_finite
from ndabench.tasks.kernels import choose_kernels
from ndabench.tasks.random_streams import random_stream
from ndabench.tasks.resuming import Stateful, restore, snapshot
from ndabench.tasks.task import Progress

STREAMS = ("views", "order", "negatives", "positives", "dropout")
Streams = Mapping[str, torch.Generator]
"""A trial's generators by the names of `STREAMS`."""


def random_streams(seed: int, device: torch.device, suffix: str = "") -> dict[str, torch.Generator]:
    """All `STREAMS` of a trial at their beginning; a `suffix` gives others than training has."""
    return {name: random_stream(seed, name + suffix, device) for name in STREAMS}


@dataclass(frozen=True)
class Augmented:
    """What decides a training besides its configuration and its data."""

    negative: Augmentation | None = None
    """T; None where it has no weight: a training at λ = 0 is the plain one, and draws none."""
    positive: Augmentation | None = None
    """Changes every view (PDA)."""
    lambda_: float = 0.0
    seed: int = 0

    @classmethod
    def of(
        cls, negative: Augmentation | None, positive: Augmentation | None, lambda_: float, seed: int
    ) -> "Augmented":
        """Raises `UserError` for a λ without a negative, or outside [0, ∞)."""
        ContrastiveConfig.LAMBDA.check(lambda_)
        if negative is None and lambda_ != 0:
            raise UserError(f"lambda {lambda_} weighs the keys of a negative, but there is none")
        return cls(negative if lambda_ > 0 else None, positive, lambda_, seed)

    def identity(self) -> dict[str, Any]:
        """As plain data; the augmentations as whether there are any."""
        return {
            "lambda": self.lambda_,
            "negative": self.negative is not None,
            "positive": self.positive is not None,
            "seed": self.seed,
        }


class Evaluation(Protocol):
    """One item of a sweep file's `evaluate` list."""

    @property
    def every(self) -> int | None: ...


class Method(Protocol):
    """How a network learns from what its material gives it for a step."""

    @property
    def network(self) -> nn.Module: ...

    def loss(self, inputs: Any) -> dict[str, Tensor]:
        """The "loss" of a step, and what describes it."""
        ...

    def compile(self, example: Tensor) -> str:
        """Compiles what embeds batches such as `example`; why it could not, or an empty string."""
        ...

    def conclude(self, step: int) -> None:
        """After the optimiser's step; `step` counts from 0."""
        ...

    def parts(self) -> Mapping[str, Stateful]: ...


class Material(Protocol):
    """What a training is fed with, measured on and shown of."""

    @property
    def content_hash(self) -> str:
        """That of the data set."""
        ...

    def batches(self, start: int) -> Iterator[Tensor]:
        """Global batches in uint8 without end, from that of step `start` on."""
        ...

    def inputs(self, batch: Tensor, streams: Streams) -> Any:
        """What the method's loss takes, this worker's share of it."""
        ...

    def example(self) -> Tensor:
        """Zeros, shaped as what the method embeds in a step."""
        ...

    def evaluate(self, evaluations: Sequence[Any], *, test: bool) -> Evaluated: ...

    def sheets(self) -> dict[str, bytes]:
        """Pictures of what training looks at; random streams of their own."""
        ...

    def exports(self) -> dict[str, bytes]:
        """What is left of the training as files."""
        ...


class ContrastiveTask:
    """A contrastive training: method, optimiser, random streams, and how far it has come."""

    def __init__(
        self,
        config: ContrastiveConfig,
        material: Material,
        method: Method,
        optimizer: torch.optim.Optimizer,
        *,
        augmented: Augmented,
        streams: Streams,
        evaluations: Sequence[Evaluation],
        workers: Workers,
    ) -> None:
        self.config, self.material, self.method, self.optimizer = config, material, method, optimizer
        self.streams, self.evaluations, self.workers = streams, tuple(evaluations), workers
        self.step = 0
        self.curves = Curves(workers)
        self._identity = {
            **without({"path"}, config.model_dump(mode="json", exclude=MAY_CHANGE)),
            **augmented.identity(),
            "data": material.content_hash,
        }

    def run(self) -> Iterator[Progress]:
        """Trains from wherever the state stands to the last step; see `Task`.

        A fresh task first yields step 0, with the measurements that are taken on the way. The last step is
        yielded twice where it is evaluated: first to be saved, with the encoder, then with all that was
        measured. Evaluations may take hours, and are made up for where a run was stopped in them.
        """
        config = self.config
        notes = choose_kernels(config, self.workers.device, self._compile)
        if self.step in (0, config.num_steps):
            yield from self._pause(notes)
        while self.step < config.num_steps:
            for batch in self.material.batches(self.step):
                if self._due(config.log_every):
                    self.curves.clear()
                self._train(batch)
                self.step += 1
                if self.step == config.num_steps or self._evaluations_due():
                    break  # which ends decoding ahead: evaluations need the room, and may take hours
                if self._pauses_here():
                    yield from self._pause(notes)
            yield from self._pause(notes)

    def _train(self, batch: Tensor) -> None:
        """One step down the loss, on a global batch."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.learning_rate_at(self.step)
        parts = self.method.loss(self.material.inputs(batch, self.streams))
        self.optimizer.zero_grad()
        parts["loss"].backward()
        self.workers.average_gradients(self.method.network.parameters())
        self.optimizer.step()
        self.method.conclude(self.step)
        self.curves.add(parts)

    def _compile(self) -> str:
        return self.method.compile(self.material.example())

    def _due(self, every: int | None) -> bool:
        """Whether something done every so many steps is done now; all is done at the last step."""
        return self.step == self.config.num_steps or (every is not None and self.step % every == 0)

    def _pauses_here(self) -> bool:
        return self._due(self.config.log_every) or self._due(self.config.checkpoint_every)

    def _evaluations_due(self) -> list[Evaluation]:
        return [evaluation for evaluation in self.evaluations if self._due(evaluation.every)]

    def _pause(self, notes: Mapping[str, Measurement]) -> Iterator[Progress]:
        config, last = self.config, self.step == self.config.num_steps
        average_running_moments(self.method.network, self.workers)
        curves = self.curves.read()
        check_finite(curves, {"network": self.method.network}, step=self.step)
        here = Progress(
            step=self.step,
            num_steps=config.num_steps,
            num_images=self.step * config.batch_size,
            checkpoint_due=self.step > 0 and self._due(config.checkpoint_every),
            artifacts=self._artifacts(last) if self.workers.is_main else {},
        )
        evaluations = self._evaluations_due()
        if evaluations and last and self.step > 0:
            yield here
            here = replace(here, checkpoint_due=False)
        logged = {name: Measurement(value) for name, value in curves.items()}
        evaluated = self.material.evaluate(evaluations, test=last)
        yield replace(
            here,
            metrics={**notes, **(logged if self._due(config.log_every) else {}), **evaluated.measurements},
            artifacts={**here.artifacts, **evaluated.artifacts},
        )

    def _artifacts(self, last: bool) -> dict[str, bytes]:
        """At step 0 sheets of what training looks at, at the last step what is left of it."""
        shows = self.step == 0 and self.config.num_steps > 0
        return {**(self.material.sheets() if shows else {}), **(self.material.exports() if last else {})}

    def state_dict(self) -> dict[str, Any]:
        return snapshot(self._identity, self.step, self.streams, self._parts())

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.step = restore(state, self._identity, self.streams, self._parts())

    def _parts(self) -> dict[str, Stateful]:
        return {**self.method.parts(), "optimizer": self.optimizer, "curves": self.curves}


def check_batch(config: ContrastiveConfig, num_examples: int, things: str, workers: Workers) -> None:
    """`UserError` where the batch, the number of training `things` and the workers do not go together."""
    if config.num_steps == 0:
        return
    if config.batch_size > num_examples:
        raise UserError(
            f"batch_size {config.batch_size} exceeds the {num_examples} training {things} there are"
        )
    if config.batch_size % workers.world_size:
        raise UserError(
            f"batch_size {config.batch_size} cannot be shared equally by {workers.world_size} workers"
        )
