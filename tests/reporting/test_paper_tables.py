"""Every cell of the paper's tables that ndabench can measure has an arm in a sweep file."""

from pathlib import Path

import pytest

from ndabench.planning.sweep_file import SweepConfig, read_sweep
from ndabench.reporting.paper import PUBLISHED, PaperValue, Published, paper_value
from ndabench.tasks.registry import augmentation_label
from ndabench.trials.config import TrialConfig

PAPER = Path(__file__).parents[2] / "sweeps" / "paper"
OTHERS = {"EBM"}
"""Columns that belong to methods that are not ours to run."""
CELLS = [(measure, value) for measure in PUBLISHED for value in measure.values if value.arm not in OTHERS]


@pytest.fixture(scope="module")
def sweeps() -> dict[str, SweepConfig]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NDABENCH_DATA", "/nowhere")
        return {file.name: read_sweep(file, []) for file in sorted(PAPER.glob("*.yaml"))}


def measured_on(trial: TrialConfig, metric: str) -> list[str]:
    """The data sets on which the trial measures `metric`, as records call them."""
    measuring = [one for one in trial.evaluate if metric in one.measures]
    return [str((getattr(one, "data", None) or trial.data).title) for one in measuring]


def measures(trial: TrialConfig, measure: Published, value: PaperValue) -> bool:
    """Whether the report shows `value` next to the trial's value of the metric."""
    if trial.task.name != measure.task:
        return False
    negative, positive = (augmentation_label(trial.task, spec) for spec in (trial.negative, trial.positive))
    conditional = bool(getattr(trial.task, "conditional", False))
    lambda_ = trial.lambda_ if trial.negative is not None else None
    return any(
        paper_value(measure, data, conditional, negative, positive, lambda_, trial.arm) == value
        for data in measured_on(trial, measure.metric)
    )


@pytest.fixture(scope="module")
def trials(sweeps: dict[str, SweepConfig]) -> list[tuple[str, TrialConfig]]:
    """One trial of every arm at every setting of a grid, or at its first one of a sampled search."""
    found = []
    for name, sweep in sweeps.items():
        for arm in sweep.arms:
            settings = list(sweep.boundary_settings(arm))
            found += [(name, sweep.trial(arm, setting, sweep.seeds[0])) for setting in settings]
    return found


def name_of(cell: tuple[Published, PaperValue]) -> str:
    measure, value = cell
    kind = "conditional-" if value.conditional else ""
    role = "-as-positive" if value.positive else ""
    return f"{measure.metric}-{value.dataset}-{kind}{value.arm}{role}-{value.lambda_}"


@pytest.mark.parametrize("cell", CELLS, ids=name_of)
def test_the_cell_has_an_arm(
    cell: tuple[Published, PaperValue], trials: list[tuple[str, TrialConfig]]
) -> None:
    assert [file for file, trial in trials if measures(trial, *cell)]


def test_the_readme_lists_every_file() -> None:
    text = (PAPER / "README.md").read_text("utf-8")
    assert [file.name for file in PAPER.glob("*.yaml") if f"`{file.name}`" not in text] == []
