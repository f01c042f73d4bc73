"""Faults from inside a trial: what `$NDABENCH_TEST_FAULTS/faults.json` lists happens, in its place.

Python imports this file by itself wherever the folder is on its path, and so in every process of a sweep.
"""

import contextlib
import importlib.util
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

Fault = Mapping[str, Any]
"""What the file says of one; see `faults.py`. A trainer is `Any` here, as its class would import torch."""
FOLDER = os.environ.get("NDABENCH_TEST_FAULTS", "")


class Sabotage(MetaPathFinder):
    """Lets ndabench.trials.run be imported, and then puts the faults into the trainers that it builds."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != "ndabench.trials.run":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        assert spec is not None
        assert spec.loader is not None
        execute = spec.loader.exec_module

        def execute_and_sabotage(module: Any) -> None:
            execute(module)
            build = module.build_trainer
            trainers: Any = sys.modules[build.__module__]
            measure = trainers.evaluate

            def build_trainer(setup: Any) -> Any:
                trainer = build(setup)
                trial, run = f"{'none' if setup.negative is None else 'negative'} {setup.seed}", trainer.run
                trainer.run = lambda: _sabotaged(trainer, run(), trial, setup.workers.rank)

                def evaluate(*arguments: Any, **options: Any) -> Any:
                    _befall(trainer, trial, setup.workers.rank, "evaluation")
                    return measure(*arguments, **options)

                trainers.evaluate = evaluate
                return trainer

            module.build_trainer = build_trainer

        spec.loader.exec_module = execute_and_sabotage  # type: ignore[method-assign]  # the sabotage
        return spec


def _sabotaged(trainer: Any, progresses: Iterator[Any], trial: str, rank: int) -> Iterator[Any]:
    """The progress of a trial; of each, what is to happen happens before it is recorded."""
    for progress in progresses:
        _befall(trainer, trial, rank, progress.step)
        yield progress


def _befall(trainer: Any, trial: str, rank: int, step: int | str) -> None:
    """Lets happen what is to happen to the trial at a step, or when an evaluation begins."""
    for fault in json.loads((Path(FOLDER) / "faults.json").read_text()):
        here = (fault["trial"], fault["step"]) == (trial, step) and rank in fault.get("ranks", [rank])
        if here and _is_due(fault, rank):
            HAPPENINGS[fault["what"]](fault, trainer)


def _is_due(fault: Fault, rank: int) -> bool:
    """Whether it has not happened so often already, in whichever process."""
    for count in range(1, fault.get("times", 1) + 1):
        name = f"{fault['what']} of {fault['trial']} at {fault['step']}, rank {rank}, {count}"
        with contextlib.suppress(FileExistsError), (Path(FOLDER) / name).open("x") as file:
            file.write(str(os.getpid()))
            return True
    return False


def _wait(fault: Fault, trainer: Any) -> None:
    """Until the test lets the trial go on, or ends it."""
    while not (Path(FOLDER) / f"go on, {fault['trial']} at {fault['step']}").exists():
        time.sleep(0.05)


def _fail(fault: Fault, trainer: Any) -> None:
    raise RuntimeError("sabotage")


def _fill_memory(fault: Fault, trainer: Any, most: int = 6 * 2**30, piece: int = 16 * 2**20) -> None:
    """Takes memory until somebody stops it; says so if nobody does."""
    taken: list[bytes] = []
    while sum(map(len, taken)) < most:
        taken.append(b"x" * piece)
        time.sleep(0.05)
    raise MemoryError("nobody stopped it")


def _spoil_weights(fault: Fault, trainer: Any) -> None:
    for network in trainer.task.networks().values():
        for parameter in network.parameters():
            parameter.data.fill_(float("nan"))


HAPPENINGS: Mapping[str, Callable[[Fault, Any], None]] = {
    "kill": lambda fault, trainer: os.kill(os.getpid(), signal.SIGKILL),
    "stop": lambda fault, trainer: os.kill(os.getpid(), signal.SIGSTOP),
    "wait": _wait,
    "raise": _fail,
    "spoil weights": _spoil_weights,
    "fill memory": _fill_memory,
}

if FOLDER:
    sys.meta_path.insert(0, Sabotage())
