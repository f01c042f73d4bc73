"""A sweep file means the trials it says, and says so when it is wrong."""

from typing import Any

import pytest

from ndabench.config import parse
from ndabench.errors import UserError
from ndabench.planning.sweep_file import SweepConfig
from ndabench.tasks.gan.config import GanConfig
from ndabench.trials.config import TrialConfig

BASE = {
    "name": "s",
    "task": {"name": "gan", "num_steps": 4},
    "data": {"name": "digits"},
    "arms": ["none", "jigsaw", {"positive": "flip"}],
    "search": {"lambda": [0.25, 0.5]},
    "seeds": [0, 1],
}


def _gan(trial: TrialConfig) -> GanConfig:
    assert isinstance(trial.task, GanConfig)
    return trial.task


def sweep(**changes: Any) -> SweepConfig:
    return parse(SweepConfig, {**BASE, **changes}, "s.yaml")


def test_a_grid_is_every_arm_setting_and_seed() -> None:
    trials = sweep().grid_trials()
    # λ means nothing without a negative: none and the PDA arm have one setting, jigsaw has two
    assert [(t.arm, t.lambda_, t.seed) for t in trials[:4]] == [
        ("none", 1.0, 0),
        ("jigsaw", 0.25, 0),
        ("jigsaw", 0.5, 0),
        ("flip as PDA", 1.0, 0),
    ]
    assert len(trials) == 8 == sweep().trial_count()
    assert len({t.trial_id for t in trials}) == 8


def test_trial_ids_depend_on_what_decides_the_result_alone() -> None:
    ids = [t.trial_id for t in sweep().grid_trials()]
    assert ids == [t.trial_id for t in sweep(resources={"workers": 2}, name="other").grid_trials()]
    longer = {"name": "gan", "num_steps": 5}
    assert not set(ids) & {t.trial_id for t in sweep(task=longer).grid_trials()}


def test_a_configuration_survives_being_written() -> None:
    config = sweep(arms=["none", {"negative": {"mixture": {"jigsaw": 1, "cutout": 3}}}])
    assert parse(SweepConfig, config.model_dump(mode="json", by_alias=True), "again") == config


def test_other_parameters_are_searched_in_every_arm() -> None:
    config = sweep(search={"lambda": [0.5], "learning_rate": [1e-4, 2e-4]})
    rates: dict[str, set[float]] = {}
    for trial in config.grid_trials():
        rate = trial.task.model_dump()["learning_rate"]
        rates.setdefault(trial.arm, set()).add(rate)
        assert trial.parameters == {"learning_rate": rate}
    assert set(map(frozenset, rates.values())) == {frozenset({1e-4, 2e-4})}


def test_an_arm_may_set_keys_of_the_task_for_itself() -> None:
    short = {"name": "short", "task": {"num_steps": 2, "learning_rate": 0.5}}
    config = sweep(arms=["none", short], search={"learning_rate": [1e-4, 2e-4]}, seeds=[0])
    # what an arm sets is not searched in it, and no parameter of its trials
    trials = [(t, t.task.model_dump()) for t in config.grid_trials()]
    assert [(t.arm, task["num_steps"], task["learning_rate"], t.parameters) for t, task in trials] == [
        ("none", 4, 1e-4, {"learning_rate": 1e-4}),
        ("none", 4, 2e-4, {"learning_rate": 2e-4}),
        ("short", 2, 0.5, {}),
    ]


def test_lambda_means_what_the_task_says() -> None:
    task = {"name": "image_contrastive", "num_steps": 4, "batch_size": 8}
    config = sweep(task=task, search={"lambda": [0, 2.5]}, seeds=[0])
    assert [(t.arm, t.lambda_) for t in config.grid_trials()] == [
        ("none", 0.0),
        ("jigsaw", 0.0),
        ("jigsaw", 2.5),
        ("flip as PDA", 0.0),
    ]
    assert [t.lambda_ for t in sweep(task=task, search={}, seeds=[0]).grid_trials()] == [0.0, 1.0, 0.0]


def test_an_objective_is_looked_for_the_way_it_is_better() -> None:
    task = {"name": "image_contrastive"}
    assert sweep(task=task, evaluate=["knn"], objective={"metric": "knn"}).mode == "max"
    assert sweep(evaluate=["fd"], objective={"metric": "fd_classifier"}).mode == "min"


def test_an_arm_that_is_not_trained_is_not_searched() -> None:
    still = {"name": "still", "task": {"num_steps": 0}}
    config = sweep(
        task={"name": "image_contrastive", "batch_size": 64},
        arms=["none", still],
        search={"learning_rate": [0.1, 0.2]},
    )
    assert [trial.arm for trial in config.grid_trials()].count("still") == 2, "one a seed"


def test_an_interval_of_a_sweep_without_training_is_no_mistake() -> None:
    still = {"name": "image_contrastive", "num_steps": 0}
    assert sweep(task=still, evaluate=[{"name": "knn", "every": 6}]).task.num_steps == 0


def test_a_detection_set_may_lie_elsewhere() -> None:
    def ids(path: str) -> list[str]:
        detection = {"name": "detection", "data": {"name": "voc", "path": path}}
        config = sweep(task={"name": "image_contrastive"}, evaluate=[detection])
        return [trial.trial_id for trial in config.grid_trials()]

    assert ids("/a") == ids("/b")


def test_evaluations_of_two_names_are_two_and_may_both_be_the_objective() -> None:
    twice = ["fd", {"name": "fd", "num_samples": 64, "as": "64"}]
    for metric in ("fd_classifier", "fd_classifier_64"):
        config = sweep(evaluate=twice, objective={"metric": metric})
        assert config.mode == "min"
        (trial, *_) = config.grid_trials()
        assert TrialConfig.from_json(trial.to_json()) == trial


def test_an_evaluation_may_be_named_alone() -> None:
    task = {"name": "image_contrastive"}
    assert sweep(task=task, evaluate=["knn"]) == sweep(task=task, evaluate=[{"name": "knn"}])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"evaluate": ["knn"]},
            "evaluate: task gan: unknown evaluation 'knn'.*known: .*fd, .*inception_score, kid",
        ),
        (
            {"evaluate": ["kid", {"name": "fd", "num_samples": 64}, "fd"]},
            "evaluate: 2 evaluations report fd_classifier; keep one, .* example {name: fd, as: again}",
        ),
        (
            {
                "task": {"name": "video_contrastive"},
                "data": {"name": "moving_digits"},
                "evaluate": [
                    "retrieval",
                    {"name": "retrieval", "data": {"name": "moving_digits", "split": 2}},
                ],
            },
            "evaluate: 2 evaluations report retrieval_r1; keep one",
        ),
        ({"evaluate": [{"name": "fd", "as": "N=64"}]}, "evaluate.0.as: .*got 'N=64'"),
        (
            {"arms": [{"name": "a", "task": {"wdith": 3}}]},
            "arm a: task: unknown key 'wdith'; did you mean 'width'",
        ),
        ({"arms": [{"name": "a", "task": {"name": "other"}}]}, "arm a: task: unknown key 'name'"),
        ({"arms": ["jigsw"]}, "unknown negative 'jigsw'; did you mean 'jigsaw'"),
        ({"arms": ["none", "none"]}, "two arms are named 'none'"),
        (
            {"arms": [{"negative": {"name": "jigsaw", "gird": 4}}]},
            "unknown parameter 'gird'; did you mean 'grid'",
        ),
        ({"search": {"lambda": [0.0]}}, r"lambda must lie in \(0, 1\], got 0.0"),
        ({"search": {"lambda": [1.5]}}, r"lambda must lie in \(0, 1\], got 1.5"),
        ({"search": {"lambda": {"uniform": [0.1, 2]}, "sampler": "random"}}, r"lambda must lie in \(0, 1\]"),
        ({"search": {"lambda": {"uniform": [0.1, 0.9]}}}, "a grid needs a list of values for 'lambda'"),
        (
            {"search": {"learning_rat": [1e-4]}},
            "unknown parameter 'learning_rat'; did you mean 'learning_rate'",
        ),
        ({"search": {"learning_rate": [-1.0]}}, "learning_rate"),
        ({"search": {"learning_rate": {"log_uniform": [0, 1]}, "sampler": "tpe"}}, "bounds above 0"),
        ({"search": {"learning_rate": {"uniform": [1e-4, 1e-3]}, "sampler": "tpe"}}, "needs an objective"),
        ({"scheduler": {"name": "asha", "grace_steps": 1}}, "asha stops search trials early"),
        ({"seeds": [1, 1]}, "a seed is listed twice"),
        ({"resources": {"workers": 2, "gpus_per_worker": 0.5}}, "several workers need whole GPUs"),
        (
            {"resources": {"gpus_per_worker": 1.5}},
            "resources: gpus_per_worker 1.5: a share of one GPU, or whole",
        ),
        ({"resources": {"placement": "packed"}}, "resources.placement.*'pack'.*'strict_spread'"),
        (
            {"resources": {"custom_per_worker": {"GPU": 1}}},
            "resources: custom_per_worker: GPU has its own key, gpus_per_worker",
        ),
        ({"resources": {"custom_per_worker": {"a100": 0}}}, "resources.custom_per_worker.a100"),
        ({"resources": {"drivers_on": "safe"}}, "drivers_on is for trials of several workers"),
        ({"resources": {"workers": 2, "min_workers": 3}}, "min_workers 3 must not be above workers 2"),
        ({"resources": {"autoscaling": True}}, "autoscaling needs max_concurrent"),
        ({"resources": {"memory_per_worker": 1}}, "unknown key.*did you mean 'memory_gib_per_worker'"),
        ({"search": {"lambda": [0.25, 0.25]}}, "a value is listed twice"),
        ({"search": {"batch_size": [64, 64.0]}}, "a value is listed twice"),
        (
            {
                "search": {"batch_size": {"uniform": [16, 64]}, "sampler": "random"},
                "evaluate": [{"name": "fd"}],
                "objective": {"metric": "fd_classifier"},
            },
            "batch_size.*valid integer",
        ),
        ({"search": {"betas": [[0, 0.9], [0.5, 0.9]], "sampler": "random"}}, "a list of lists"),
        ({"name": "../escape"}, "name"),
        ({"task": {"name": "gan", "wdith": 3}}, "unknown key 'task.wdith'; did you mean 'width'"),
        ({"data": {"name": "cifr10"}}, "unknown name 'cifr10'; did you mean 'cifar10'"),
        ({"evaluate": [{"name": "fdd"}]}, "fdd"),
    ],
)
def test_a_wrong_sweep_file_is_one_clear_line(changes: dict, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        sweep(**changes)
    assert "\n" not in str(caught.value)


def test_search_keys_may_be_dotted_and_may_belong_to_one_arm() -> None:
    search = {"task.learning_rate": [1e-3, 2e-3], "arms.jigsaw.grid": [2, 4], "lambda": [0.5]}
    config = parse(
        SweepConfig, {**BASE, "seeds": [0], "arms": ["none", "jigsaw", "stitch"], "search": search}, "f"
    )
    trials = config.grid_trials()
    found = [(trial.arm, trial.parameters, trial.negative and trial.negative.label) for trial in trials]
    assert [one for one in found if one[0] != "jigsaw"] == [
        ("none", {"learning_rate": 1e-3}, None),
        ("none", {"learning_rate": 2e-3}, None),
        ("stitch", {"learning_rate": 1e-3}, "stitch"),
        ("stitch", {"learning_rate": 2e-3}, "stitch"),
    ]
    assert [one[1:] for one in found if one[0] == "jigsaw"] == [
        ({"learning_rate": rate, "arms.jigsaw.grid": grid}, "jigsaw" if grid == 2 else "jigsaw(grid=4)")
        for rate in (1e-3, 2e-3)
        for grid in (2, 4)
    ]
    assert len({trial.trial_id for trial in trials}) == len(trials)


def test_a_nested_key_of_the_task_is_searched() -> None:
    task = {"name": "image_contrastive", "method": {"name": "moco", "queue_size": 512}, "batch_size": 64}
    search = {"method.queue_size": [256, 512]}
    config = parse(SweepConfig, {**BASE, "seeds": [0], "task": task, "arms": ["none"], "search": search}, "f")
    trials = [(trial.task.model_dump(), trial.parameters) for trial in config.grid_trials()]
    found = [(task["method"]["queue_size"], parameters) for task, parameters in trials]
    assert found == [(256, {"method.queue_size": 256}), (512, {"method.queue_size": 512})]


def test_settings_of_the_treatment_are_not_searched_without_a_negative() -> None:
    task = {"name": "image_contrastive", "batch_size": 64}
    search = {"nda_scale": [0.5, 1.0]}
    config = parse(
        SweepConfig, {**BASE, "seeds": [0], "task": task, "arms": ["none", "jigsaw"], "search": search}, "f"
    )
    assert [(trial.arm, trial.parameters) for trial in config.grid_trials()] == [
        ("none", {}),
        ("jigsaw", {"nda_scale": 0.5}),
        ("jigsaw", {"nda_scale": 1.0}),
    ]


@pytest.mark.parametrize(
    ("search", "line"),
    [
        ({"task.learning_rat": [1]}, "unknown parameter 'learning_rat'; did you mean 'learning_rate'?"),
        ({"task.width": [1], "width": [2]}, "'width' and 'task.width' are the same key; keep one"),
        ({"arms.jigsw.grid": [2]}, "search: arms.jigsw.grid: unknown arm 'jigsw'; did you mean 'jigsaw'?"),
        ({"arms.none.grid": [2]}, "arm 'none' has no negative with parameters to search"),
        ({"arms.jigsaw.gird": [2]}, "jigsaw: unknown parameter 'gird'; did you mean 'grid'?"),
        ({"width.x": [2]}, "arm none: the key above 'x' does not hold a mapping"),
    ],
)
def test_a_wrong_dotted_key_is_one_line(search: dict, line: str) -> None:
    with pytest.raises(UserError) as raised:
        parse(SweepConfig, {**BASE, "seeds": [0], "arms": ["none", "jigsaw"], "search": search}, "f")
    assert line in str(raised.value)
    assert "\n" not in str(raised.value)


def test_plugins_are_no_part_of_a_trials_id() -> None:
    """A sweep that is resumed may need more of them, for other arms."""
    ids = [[trial.trial_id for trial in sweep(plugins=plugins).grid_trials()] for plugins in ([], ["json"])]
    assert ids[0] == ids[1]


def test_a_trial_whose_plugin_is_not_installed_is_one_line() -> None:
    text = sweep().grid_trials()[0].to_json().replace('"plugins": []', '"plugins": ["not_there"]')
    with pytest.raises(UserError, match=r"^trial: plugins: 'not_there' cannot be imported") as raised:
        TrialConfig.from_json(text)
    assert "\n" not in str(raised.value)


def test_former_names_are_read_in_a_search_and_kept_out_of_it_by_an_arms_own() -> None:
    task = {"name": "video_contrastive"}
    arms = ["none", {"name": "own", "task": {"drops": [0.3]}}]
    search = {"drops": [[0.5], [0.85]]}
    trials = sweep(
        task=task, data={"name": "moving_digits"}, arms=arms, search=search, seeds=[0]
    ).grid_trials()
    found = [(trial.arm, trial.task.model_dump()["lr_milestones"]) for trial in trials]
    assert found == [("none", (0.5,)), ("none", (0.85,)), ("own", (0.3,))]


def test_former_names_of_nested_keys_are_read_in_the_task_a_search_and_an_arm() -> None:
    former = sweep(
        task={"name": "gan", "num_steps": 100, "ema_decay": 0.9},
        arms=["none", {"name": "own", "task": {"ema_decay": 0.5}}],
        search={"ema_start": [3, 5]},
        seeds=[0],
    )
    current = sweep(
        task={"name": "gan", "num_steps": 100, "ema": {"decay": 0.9}},
        arms=["none", {"name": "own", "task": {"ema": {"decay": 0.5}}}],
        search={"ema.start": [3, 5]},
        seeds=[0],
    )
    assert [t.trial_id for t in former.grid_trials()] == [t.trial_id for t in current.grid_trials()]
    assert [(t.arm, _gan(t).average) for t in former.grid_trials()] == [
        ("none", {"decay": 0.9, "start": 3}),
        ("none", {"decay": 0.9, "start": 5}),
        ("own", {"decay": 0.5, "start": 5}),
    ]


@pytest.mark.parametrize("task", [{}, {"ema": {"images": 10_000, "start": 5}}])
@pytest.mark.parametrize("key", ["ema.decay", "ema_decay"])
def test_a_searched_length_of_the_average_replaces_that_of_the_file(task: dict, key: str) -> None:
    config = sweep(task={"name": "gan", "num_steps": 100, **task}, search={key: [0.8, 0.9]}, seeds=[0])
    found = {(t.arm, _gan(t).average["decay"], _gan(t).average["start"]) for t in config.grid_trials()}
    assert found == {(arm, decay, 5) for arm in ("none", "jigsaw", "flip as PDA") for decay in (0.8, 0.9)}
    again = parse(SweepConfig, config.model_dump(mode="json", by_alias=True), "again")
    assert [t.trial_id for t in again.grid_trials()] == [t.trial_id for t in config.grid_trials()]
    with pytest.raises(UserError, match="give one of decay, images and share, not decay and share"):
        sweep(search={key: [0.8], "ema.share": [0.1]})


def test_the_baseline_is_searched_over_the_generators_rate_as_well() -> None:
    config = sweep(search={"lambda": [0.5], "generator_learning_rate": [1e-4, 2e-4]}, seeds=[0])
    rates = [(t.arm, _gan(t).generator_learning_rate) for t in config.grid_trials()]
    assert rates == [(arm, rate) for arm in ("none", "jigsaw", "flip as PDA") for rate in (1e-4, 2e-4)]


def test_what_may_be_a_mistake_is_said_once_for_all_arms() -> None:
    task = {"name": "gan", "num_steps": 100}
    assert sweep(task=task).cautions == []
    found = sweep(task=task, search={"lambda": [0.5], "ema.decay": [0.9, 0.96, 0.98]}).cautions
    assert [line.partition(" steps long")[0] for line in found] == [
        "task.ema: the moving average is 25",
        "task.ema: the moving average is 50",
    ]


CLAIMED: dict[str, Any] = {
    "arms": ["none", "jigsaw", {"name": "longer", "task": {"num_steps": 8}}],
    "seeds": [0, 1, 2, 3, 4],
    "evaluate": ["fd"],
    "claim": {"measure": "fd_classifier", "that": [{"arm": "jigsaw", "is": "no_worse", "margin": 0.5}]},
    "controls": {"positive": ["longer"]},
}


def test_a_sweep_may_claim_and_a_positive_control_may_be_longer() -> None:
    config = sweep(**CLAIMED, budget="compute")
    assert config.measure == "fd_classifier"
    assert {t.task.num_steps for t in config.grid_trials() if t.arm == "longer"} == {8}
    assert parse(SweepConfig, config.model_dump(mode="json", by_alias=True), "again") == config


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"seeds": [0, 1]}, "claim: needs at least 5 seeds, got 2"),
        ({"claim": {"that": [{"arm": "jigsaw", "is": "lower"}]}}, "needs a measure or an objective"),
        ({"claim": CLAIMED["claim"] | {"measure": "fid"}}, "unknown metric 'fid'"),
        ({"controls": {"negative": ["jigsaw"]}}, "one control only, and no claim"),
        ({"controls": {"negative": ["jig"]}}, "controls: unknown arm 'jig'"),
        ({"controls": {"negative": ["none"]}}, "'none' is the baseline"),
        ({"arms": ["jigsaw", {"name": "longer", "positive": "flip"}]}, "need the baseline"),
        ({"claim": {"that": [{"arm": "jigsaw", "is": "equivalent"}]}}, "equivalent needs a margin"),
        ({"claim": {"that": [{"arm": "jigsaw", "is": "lower", "margin": 1}]}}, "a margin belongs to"),
        ({"claim": {"that": [{"arm": "jigsaw", "is": "higher"}] * 2}}, "claimed to be higher twice"),
    ],
)
def test_a_wrong_claim_or_control_is_one_line(changes: dict, said: str) -> None:
    with pytest.raises(UserError, match=said) as caught:
        sweep(**CLAIMED | changes)
    assert "\n" not in str(caught.value)
