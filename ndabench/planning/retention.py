"""Which checkpoints of a sweep's finished trials stay, once nothing resumes from them any more."""

import math
from collections.abc import Sequence

from ndabench.planning.outcomes import Outcome, recorded_outcomes
from ndabench.planning.sweep_file import Kept, SweepConfig
from ndabench.records import RecordStore
from ndabench.trials.checkpoints import checkpoint_paths


def surplus(store: RecordStore, config: SweepConfig, kept: Kept) -> list[str]:
    """The checkpoints to delete: of each finished or diverged trial all but the `last`; or all, except the
    last one of each arm's `best` finished trial by the objective on the validation split; or all (`none`).

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
    """The id of each arm's finished trial with the best value, and of all of an arm without any value."""
    sign = 1 if config.mode == "min" else -1
    arms: dict[str, list[Outcome]] = {}
    for one in ended:
        arms.setdefault(one.trial.arm, []).append(one)
    found: set[str] = set()
    for outcomes in arms.values():
        values = [
            (sign * one.value, one.trial.trial_id)
            for one in outcomes
            if one.status == "finished" and one.value is not None and math.isfinite(one.value)
        ]
        found |= {min(values)[1]} if values else {one.trial.trial_id for one in outcomes}
    return found
