"""`budget: compute`: every trial judges equally many images, up to one step's."""

from typing import Any

import pytest

from ndabench.config import parse
from ndabench.errors import UserError
from ndabench.planning.sweep_file import SweepConfig
from ndabench.tasks.registry import TASKS
from ndabench.trials.config import TrialConfig

GAN = {"name": "gan", "num_steps": 8, "batch_size": 16, "num_discriminator_steps": 2}
BASE = {
    "name": "s",
    "budget": "compute",
    "task": GAN,
    "data": {"name": "digits"},
    "arms": ["none", "jigsaw", {"positive": "flip"}],
}


def sweep(**changes: Any) -> SweepConfig:
    return parse(SweepConfig, {**BASE, **changes}, "s.yaml")


def judged(trial: TrialConfig) -> int:
    weighs = trial.negative is not None and trial.lambda_ != TASKS[trial.task.name].lambda_rule.baseline
    each = trial.task.judged_per_step(negative=weighs)
    assert each is not None
    return trial.task.num_steps * each


def steps(config: SweepConfig) -> dict[str, int]:
    return {trial.arm: trial.task.num_steps for trial in config.grid_trials()}


def test_a_baseline_takes_half_as_many_steps_more_than_an_arm_with_negatives() -> None:
    config = sweep()
    assert steps(config) == {"none": 12, "jigsaw": 8, "flip as PDA": 12}
    # Two discriminator steps on 16 real, 16 generated and 16 negative images each
    assert {judged(trial) for trial in config.grid_trials()} == {8 * 2 * 48}
    assert steps(sweep(budget="steps")) == {"none": 8, "jigsaw": 8, "flip as PDA": 8}
    assert sweep(budget="steps") == parse(
        SweepConfig, {key: value for key, value in BASE.items() if key != "budget"}, "s.yaml"
    )


def test_a_negative_without_weight_takes_as_many_steps_as_the_baseline() -> None:
    config = sweep(arms=["none", "jigsaw"], search={"lambda": [0.5, 1.0]})
    found = {(trial.arm, trial.lambda_): trial.task.num_steps for trial in config.grid_trials()}
    assert found == {("none", 1.0): 12, ("jigsaw", 0.5): 8, ("jigsaw", 1.0): 12}
    assert config.longest_of(config.arms[1]) == 12


def test_what_is_searched_or_set_by_an_arm_has_the_same_budget() -> None:
    wide = {"name": "wide", "negative": "cutout", "task": {"batch_size": 32}}
    config = sweep(arms=["none", wide], search={"num_discriminator_steps": [1, 2, 4, 7]})
    for trial in config.grid_trials():
        weighs = trial.negative is not None
        one_step = trial.task.judged_per_step(negative=weighs)
        assert one_step is not None
        assert 0 <= 8 * 2 * 48 - judged(trial) < one_step
    assert {trial.task.num_steps for trial in config.grid_trials()} == {24, 12, 6, 3, 8, 4, 2, 1}


@pytest.mark.parametrize(
    ("task", "data", "plain", "with_negatives"),
    [
        ({"name": "image_contrastive", "method": {"name": "moco", "symmetric": True}}, "digits", 15, 10),
        ({"name": "image_contrastive", "method": "simclr", "num_nda_keys": 3}, "digits", 40, 10),
        ({"name": "video_contrastive"}, "moving_digits", 13, 10),
        ({"name": "gan", "consistency_weight": 10}, "digits", 13, 10),
        ({"name": "gan", "losses": "wasserstein_gp"}, "digits", 13, 10),
    ],
)
def test_each_task_and_method_knows_what_it_judges(
    task: dict[str, Any], data: str, plain: int, with_negatives: int
) -> None:
    config = sweep(task={**task, "num_steps": 10}, data={"name": data}, arms=["none", "jigsaw"])
    assert steps(config) == {"none": plain, "jigsaw": with_negatives}


@pytest.mark.parametrize("name", TASKS)
def test_every_task_of_ours_says_what_it_judges(name: str) -> None:
    config = TASKS[name].config(name=name)
    plain, with_negatives = (config.judged_per_step(negative=negative) for negative in (False, True))
    assert plain is not None
    assert with_negatives is not None
    assert 0 < plain < with_negatives


def test_an_arm_that_is_left_untrained_stays_so() -> None:
    still = {"name": "still", "task": {"num_steps": 0}}
    task = {"name": "image_contrastive", "num_steps": 6}
    assert steps(sweep(task=task, arms=["none", "jigsaw", still])) == {"none": 9, "jigsaw": 6, "still": 0}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"arms": ["none", {"name": "short", "task": {"num_steps": 2}}]},
            "arm short: task: num_steps follows from budget: compute; leave it out",
        ),
        ({"search": {"num_steps": [4, 8]}}, "search: num_steps follows from budget: compute; leave it out"),
        (
            {"arms": ["none", {"name": "wide", "task": {"batch_size": 512}}]},
            "arm wide: budget: compute: num_steps: input should be greater than or equal to 1, got 0",
        ),
        ({"budget": "images"}, "budget: input should be 'steps' or 'compute', got 'images'"),
    ],
)
def test_what_cannot_be_made_equal_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as raised:
        sweep(**changes)
    assert message in str(raised.value)
