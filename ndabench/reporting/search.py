"""Whether a sampled search gave every arm the same: how many settings, of which keys, for how many steps."""

from collections.abc import Sequence

import pandas as pd

from ndabench.reporting.formatting import NOTHING, count
from ndabench.reporting.frames import Frames, decoded
from ndabench.reporting.specs import Block, Cell, Column, TableSpec

LOST = ("failed", "stopped", "running")


def search_blocks(frames: Frames) -> list[Block]:
    """A row for each arm that was searched, below a sentence that compares them; nothing for a grid."""
    trials = frames.trials
    if not frames.sampled or frames.search_seed is None:
        return []
    searched = trials[(trials["seed"] == frames.search_seed) & ~trials["external"]]
    if searched.empty:
        return []
    last = frames.metrics.groupby("trial_id", observed=True)["step"].max()
    steps = searched.index.to_series().map(last.to_dict()).fillna(0)
    arms = [arm for arm in frames.arms if (searched["arm"] == arm).any()]
    rows = [_row(frames, arm, searched[searched["arm"] == arm], steps) for arm in arms]
    columns = [
        Column("arm"),
        Column("settings", "tried with the search's own seed", numeric=True),
        Column("finished", numeric=True),
        Column("pruned", "stopped early by the scheduler", numeric=True),
        Column("diverged", numeric=True),
        Column("steps", "last measured steps of all its trials together", numeric=True),
        Column("searched keys"),
    ]
    counts = {arm: int((searched["arm"] == arm).sum()) for arm in arms}
    notes = _sentences(frames, searched, counts)
    return [TableSpec("searches", "The search of each arm", columns, rows, notes)]


def _row(frames: Frames, arm: str, trials: pd.DataFrame, steps: pd.Series) -> list[Cell]:
    statuses = trials["status"].value_counts()
    done = int(steps[trials.index].sum())
    keys = ", ".join(_keys(frames, trials)) or NOTHING
    return [
        Cell(arm, frames.arms.index(arm)),
        Cell(str(len(trials)), len(trials)),
        *(Cell(str(n := int(statuses.get(status, 0))), n) for status in ("finished", "pruned", "diverged")),
        Cell(f"{done:,}", done),
        Cell(keys, keys),
    ]


def _keys(frames: Frames, trials: pd.DataFrame) -> list[str]:
    """The keys over which an arm was searched."""
    names = sorted({name for text in trials["parameters_json"].unique() for name in decoded(text)})
    of_lambda = {frames.settings[place].lambda_ for place in trials["setting"].unique()} - {None}
    return [*(["lambda"] if "lambda" in frames.searched and of_lambda else []), *names]


def _sentences(frames: Frames, searched: pd.DataFrame, counts: dict[str, int]) -> list[str]:
    sampler = f"by {frames.sampler} " if frames.sampler else ""
    sentences = [_equality(counts, sampler, frames.search_seed)]
    keys = {arm: set(_keys(frames, searched[searched["arm"] == arm])) for arm in counts}
    common = set().union(*keys.values())
    for arm, own in keys.items():
        if missing := sorted(key for key in common - own if not key.startswith("arms.")):
            sentences.append(
                f"{arm} was not searched over {' and '.join(missing)}, which it does not use or sets."
            )
    if alone := [arm for arm in frames.arms if arm not in counts and arm not in frames.arms_left]:
        sentences.append(f"Not searched: {', '.join(alone)}.")
    if open_ := int(searched["status"].isin(LOST).sum()):
        sentences.append(f"{count(open_, 'trial')} of the search did not end.")
    return sentences


def _equality(counts: dict[str, int], sampler: str, seed: int | None) -> str:
    how = f"chosen {sampler}on the validation split at seed {seed}, which no repeat uses"
    sizes: Sequence[int] = sorted(set(counts.values()))
    if len(counts) == 1:
        return f"{next(iter(counts))} tried {count(sizes[0], 'setting')}, {how}."
    if len(sizes) == 1:
        return f"All arms had the same search: {count(sizes[0], 'setting')} each, {how}."
    each = ", ".join(f"{arm} {number}" for arm, number in counts.items())
    return f"The arms did not try equally many settings ({each}), {how}."
