"""The table that says what each setting cost: steps, images judged and time, from what trials recorded."""

from collections.abc import Iterator

import pandas as pd

from ndabench.reporting.formatting import NOTHING, duration
from ndabench.reporting.frames import Frames, Group, decoded
from ndabench.reporting.specs import Cell, Column, TableSpec

BUDGETS = {
    "steps": "Budget: steps. Trials take equally many steps, and so real images, unless an arm or the search "
    "sets their number; a negative adds images to judge, and time.",
    "compute": "Budget: compute. Trials judge equally many images, up to one step's, unless an arm is left "
    "untrained; the fewer a step judges, the more steps and real images a trial has.",
}


def costs_table(frames: Frames) -> TableSpec | None:
    """A row for each setting with finished repeats, and for each group of trials where there are several.

    None without any.
    """
    trials = frames.trials
    finished = trials[(trials["status"] == "finished") & trials["repeat"]]
    rows = [
        [*([Cell(group.label)] if len(frames.groups) > 1 else []), *_cost(frames, place, same, judged)]
        for group, place, same, judged in _settings(frames, finished)
    ]
    if not rows:
        return None
    judged = "images, clips or (in DPC) blocks that the discriminator judged in its own steps, or that the "
    columns = [
        *([Column("on")] if len(frames.groups) > 1 else []),
        Column("setting"),
        Column("n", "finished repeats", numeric=True),
        Column("steps", numeric=True),
        Column("images judged", f"{judged}encoders embedded, in a trial", numeric=True),
        Column("× baseline", "images judged, relative to the baseline's first setting", numeric=True),
        Column("time", "mean over the repeats, measurements included", numeric=True),
    ]
    return TableSpec("costs", "What each arm cost", columns, rows, [BUDGETS[frames.budget]])


def _settings(
    frames: Frames, finished: pd.DataFrame
) -> Iterator[tuple[Group, int, pd.DataFrame, float | None]]:
    """Group, position of the setting, its trials, and the images that a trial of the baseline judged."""
    for number, of_group in finished.groupby("group", sort=True):
        baseline = of_group[of_group["arm"] == frames.baseline].sort_values("setting")["images_judged"]
        judged = _known(baseline.iloc[0]) if len(baseline) else None
        for place, same in of_group.groupby("setting", sort=True):
            yield frames.groups[int(str(number))], int(str(place)), same, judged


def _cost(frames: Frames, place: int, trials: pd.DataFrame, baseline: float | None) -> list[Cell]:
    task = decoded(trials["config_json"].iloc[-1]).get("task")
    steps = task.get("num_steps") if isinstance(task, dict) else None
    judged = _known(trials["images_judged"].mean())
    share = None if judged is None or not baseline else judged / baseline
    seconds = _known(trials["seconds"].mean())
    return [
        Cell(frames.settings[place].label, place),
        Cell(str(len(trials)), len(trials)),
        Cell(f"{steps:,}", steps) if isinstance(steps, int) else Cell(NOTHING),
        Cell(NOTHING) if judged is None else Cell(f"{judged:,.0f}", judged),
        Cell(NOTHING) if share is None else Cell(f"{share:.3g}", share),
        Cell(duration(seconds), seconds),
    ]


def _known(value: float) -> float | None:
    return None if pd.isna(value) else float(value)
