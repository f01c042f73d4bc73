"""`python -m ndabench.train FILE`: one trial of a sweep file without Ray, alone or under torchrun.

It writes the same records as a sweep does, so a later `--resume` of the sweep finds the trial done.
"""

if __name__ == "__main__":  # first: the imports below take long enough for a Ctrl-C
    from ndabench.interruption import leave_when_interrupted

    leave_when_interrupted()

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ndabench.command_line import FILE, OUT, SET, continuation, results_folder, run
from ndabench.errors import UserError, nearest
from ndabench.interruption import EXIT_CODE
from ndabench.training_alone import say_diverged, start_workers, take, train_and_show

if TYPE_CHECKING:
    from ndabench.planning.sweep_file import SweepConfig
    from ndabench.trials.config import TrialConfig


def train(
    file: Annotated[Path, FILE] = Path("sweeps/quickstart.yaml"),
    set_: Annotated[list[str] | None, SET] = None,
    arm: Annotated[str | None, typer.Option(help="The arm to train; default: the file's first.")] = None,
    lambda_: Annotated[float | None, typer.Option("--lambda", help="λ; default: the first searched.")] = None,
    seed: Annotated[int | None, typer.Option(help="The seed; default: the file's first.")] = None,
    out: Annotated[str | None, OUT] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Resume a trial that has begun.")] = False,
) -> None:
    """Train one arm of a sweep file at one setting and one seed, without Ray."""
    # late: --help must not wait for torch
    import torch

    from ndabench.planning.sweep_file import read_sweep
    from ndabench.records import RecordStore
    from ndabench.tasks.task import DivergedError
    from ndabench.tracking.mirror import Mirror
    from ndabench.tracking.registry import make_trackers
    from ndabench.trials.config import Provenance, git_commit

    config = read_sweep(file, set_ or [])
    trial = choose(config, arm, lambda_, seed)
    workers = start_workers()
    for caution in trial.task.cautions:
        print(f"caution: {caution}")
    torch.set_num_threads(max(1, int(config.resources.cpus_per_worker)))  # as in a sweep, to the same bits
    store = RecordStore(results_folder(out, config.name))
    mirror = Mirror(store, make_trackers(config.track, config.name, store) if workers.is_main else [])
    options = {"arm": arm, "lambda": lambda_, "seed": seed, "out": out}
    again = continuation("train", file, options, set_ or [])
    try:
        if workers.is_main:
            take(trial, store, config, workers, resume=resume)
        workers.barrier()
        with mirror:
            provenance = Provenance(config.name, git_commit())
            follow = partial(mirror.changed, trial.trial_id)
            train_and_show(trial, store, provenance, workers, follow, config.kept_samples)
    except DivergedError as error:
        say_diverged(error, workers)
        sys.exit(1)
    except KeyboardInterrupt:
        print(f"interrupted: {trial.label}")
        print(f"continue with: {again if workers.world_size == 1 else 'the same command and --resume'}")
        sys.exit(EXIT_CODE)
    print(f"records  {store.root}   ({trial.trial_id})")


def choose(config: "SweepConfig", arm: str | None, lambda_: float | None, seed: int | None) -> "TrialConfig":
    """The trial of a sweep that the options mean; searched values without an option take their first."""
    # late: --help must not wait for pydantic
    from ndabench.planning.search_space import LAMBDA
    from ndabench.tasks.registry import TASKS

    names = [one.name for one in config.arms]
    if arm is not None and arm not in names:
        raise UserError(f"--arm: unknown arm {arm!r}{nearest(arm, names)} (known: {', '.join(names)})")
    chosen = config.arms[names.index(arm) if arm is not None else 0]
    setting = next(config.boundary_settings(chosen))
    if lambda_ is not None:
        if chosen.negative is None:
            weighs = TASKS[config.task.name].lambda_rule.weighs
            raise UserError(f"--lambda: it {weighs}, and arm {chosen.name!r} has none")
        setting[LAMBDA] = lambda_
    return config.trial(chosen, setting, config.seeds[0] if seed is None else seed)


if __name__ == "__main__":
    run(train)
