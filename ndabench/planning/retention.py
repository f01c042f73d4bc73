"""Which checkpoints of a sweep's finished trials stay, once nothing resumes from them any more."""

from collections.abc import Sequence

from ndabench.pareto import pareto_set
from ndabench.planning.outcomes import Outcome, recorded_outcomes
from ndabench.planning.sweep_file import Kept, SweepConfig
from ndabench.records import RecordStore
from ndabench.trials.checkpoints import checkpoint_paths


def surplus(store: RecordStore, config: SweepConfig, kept: Kept) -> list[str]:
    """The checkpoints to delete: of each finished or diverged trial all but the `last`; or all, except the
    last one of each arm's `best` finished trial by the objective on the validation split (by several metrics:
    of its Pareto set); or all (`none`).

    Trials that have not ended keep theirs, to be resumed. Without an objective no trial is the best, and
    `best` keeps what `last` does.
    """
    ended = [one for one in recorded_outcomes(config, store) if one.ended]
    best = _best(config, ended) if kept == "best" and config.objective is not None else None
    paths = []
    for one in ended:
        found = checkpoint_paths(store, one.trial.trial_id)
        stays = kept != "none" and (best is None or one.trial.trial_id in best)
        paths += found[:-1] if stays else found
    return paths


def _best(config: SweepConfig, ended: Sequence[Outcome]) -> set[str]:
    """The ids of each arm's finished trials with the best value, and of all of an arm without any value."""
    arms: dict[str, list[Outcome]] = {}
    for one in ended:
        arms.setdefault(one.trial.arm, []).append(one)
    found: set[str] = set()
    for outcomes in arms.values():
        measured = [one for one in outcomes if one.status == "finished" and one.values]
        best = pareto_set([one.values for one in measured], config.modes)
        found |= {one.trial.trial_id for one in ([measured[place] for place in best] or outcomes)}
    return found
