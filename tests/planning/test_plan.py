"""Plans hand out the same trials however often they are interrupted, and tune every arm on the same draws."""

import importlib.util
import operator
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ndabench.config import parse
from ndabench.errors import UserError
from ndabench.measurement import Measurement
from ndabench.planning.outcomes import Outcome, earlier_outcomes
from ndabench.planning.plan import Plan, make_plan
from ndabench.planning.samplers import SAMPLERS
from ndabench.planning.sweep_file import SweepConfig
from ndabench.records import RecordStore
from ndabench.sweep import _plan_lines
from ndabench.tasks.gan.config import GanConfig
from ndabench.trials.config import Provenance, TrialConfig, planned_row
from tests.registrations import toy_registered

BASE = {
    "name": "s",
    "task": {"name": "gan"},
    "data": {"name": "digits"},
    "arms": ["none", "jigsaw"],
    "seeds": [0, 1],
    "evaluate": [{"name": "fd"}],
    "objective": {"metric": "fd_classifier"},
}
SAMPLED = ["random", "tpe", "gp", "cmaes", "nsgaii", "nsgaiii", "qmc", "toy_spread"]
SAME_IN_EVERY_ARM = ["random", "qmc", "toy_spread"]
LACKS_CMAES = importlib.util.find_spec("cmaes") is None
needs_cmaes = pytest.param(
    "cmaes", marks=pytest.mark.skipif(LACKS_CMAES, reason="the package cmaes is not here")
)
every_sampler = pytest.mark.parametrize(
    "sampler", [needs_cmaes if name == "cmaes" else name for name in SAMPLED]
)
RANGES = {"lambda": {"uniform": [0.1, 0.9]}, "learning_rate": {"log_uniform": [1e-4, 1e-2]}}


def sweep(**changes: Any) -> SweepConfig:
    return parse(SweepConfig, {**BASE, **changes}, "s.yaml")


def learning_rate(trial: TrialConfig) -> float:
    assert isinstance(trial.task, GanConfig)
    return trial.task.learning_rate


def value(trial: TrialConfig) -> float:
    """A made-up objective with its best at a learning rate of 1e-3."""
    return abs(learning_rate(trial) - 1e-3) + trial.lambda_ / 1e6


def play(plan: Plan, limit: int = 1000) -> list[Outcome]:
    outcomes: list[Outcome] = []
    while not plan.done and len(outcomes) < limit:
        trial = plan.next()
        if trial is None:
            assert plan.done
            break
        outcomes.append(Outcome(trial, "finished", value(trial)))
        plan.tell(outcomes[-1])
    return outcomes


def ids(outcomes: list[Outcome]) -> list[str]:
    return [outcome.trial.trial_id for outcome in outcomes]


@pytest.fixture(scope="module", autouse=True)
def toy_is_registered() -> Iterator[None]:
    with toy_registered():
        yield


def test_the_suite_runs_over_every_sampler_of_ours_and_the_toy() -> None:
    assert {name for name, entry in SAMPLERS.items() if entry.build is not None} == set(SAMPLED)
    assert {name for name in SAMPLED if not SAMPLERS[name].adapts} == set(SAME_IN_EVERY_ARM)


@every_sampler
def test_search_then_repeats_of_the_best(sampler: str) -> None:
    config = sweep(search={**RANGES, "sampler": sampler, "trials_per_arm": 6})
    outcomes = play(make_plan(config, []))
    assert len(outcomes) == config.trial_count() == 2 * (6 + 2)
    assert len(set(ids(outcomes))) == len(outcomes)
    for arm in ("none", "jigsaw"):
        searched = [o for o in outcomes if o.trial.arm == arm and o.trial.seed == config.search.seed]
        repeats = [o.trial for o in outcomes if o.trial.arm == arm and o.trial.seed != config.search.seed]
        best = min(searched, key=lambda o: value(o.trial)).trial
        assert len(searched) == 6
        assert [t.seed for t in repeats] == [0, 1]
        assert {learning_rate(t) for t in repeats} == {learning_rate(best)}
        assert {t.lambda_ for t in repeats} == {best.lambda_}


TWO = {"metric": ["fd_classifier", "seconds"]}


def two_values(trial: TrialConfig) -> tuple[float, float]:
    """Made-up values that no setting is the best by: the second is better the smaller λ and rate are."""
    return value(trial), learning_rate(trial) + trial.lambda_ / 1e3


def play_two(plan: Plan, limit: int = 1000) -> list[Outcome]:
    outcomes: list[Outcome] = []
    while len(outcomes) < limit and (trial := plan.next()) is not None:
        first, second = two_values(trial)
        outcomes.append(Outcome(trial, "finished", first, (second,)))
        plan.tell(outcomes[-1])
    return outcomes


@pytest.mark.parametrize(
    "sampler", [name for name, entry in SAMPLERS.items() if entry.by_several] + ["random"]
)
def test_by_several_measures_a_search_repeats_some_of_the_pareto_set(sampler: str) -> None:
    search = {**RANGES, "sampler": sampler, "trials_per_arm": 8, "pareto_settings": 2}
    config = sweep(search=search, objective=TWO)
    plan = make_plan(config, [])
    outcomes = play_two(plan)
    assert plan.done
    assert len(outcomes) == len(set(ids(outcomes))) == config.trial_count() == 2 * (8 + 2 * 2)
    for arm in ("none", "jigsaw"):
        of_arm = [one for one in outcomes if one.trial.arm == arm]
        searched = [one for one in of_arm if one.trial.seed == config.search.seed]
        front = [
            one.values
            for one in searched
            if not any(
                all(map(operator.le, o.values, one.values)) and o.values != one.values for o in searched
            )
        ]
        assert len(front) >= 2
        for seed in config.seeds:
            repeated = [one.values for one in of_arm if one.trial.seed == seed]
            assert sorted(repeated) == [min(front), max(front)], "both ends of it"
    lines = [(count, how) for count, how, *_ in _plan_lines(config)]
    assert lines == [(8, f"× {sampler}"), (4, "× the Pareto set, 2 settings at most")] * 2
    before = outcomes[:11]
    assert len(set(ids(before) + ids(play_two(make_plan(config, before))))) == config.trial_count()


@pytest.mark.skipif(not LACKS_CMAES, reason="the package cmaes is here")
def test_a_sampler_without_its_package_is_one_line() -> None:
    with pytest.raises(UserError, match="sampler: cmaes needs the package cmaes: pip install cmaes"):
        sweep(search={**RANGES, "sampler": "cmaes"})


def test_the_keys_of_a_sampler_reach_it() -> None:
    def first(**keys: Any) -> list[str]:
        config = sweep(search={**RANGES, "sampler": {"name": "qmc", **keys}, "trials_per_arm": 6})
        return ids(play(make_plan(config, [])))

    assert first(qmc_type="halton") != first(qmc_type="sobol")
    with pytest.raises(UserError, match=r"unknown key 'search.sampler.qmc_typ'; did you mean 'qmc_type'"):
        first(qmc_typ="halton")


@pytest.mark.parametrize("sampler", SAME_IN_EVERY_ARM)
def test_a_sampler_that_learns_nothing_tunes_every_arm_on_the_same_draws(sampler: str) -> None:
    config = sweep(search={**RANGES, "sampler": sampler, "trials_per_arm": 5})
    trials = [o.trial for o in play(make_plan(config, [])) if o.trial.seed == config.search.seed]
    rates = {arm: sorted(learning_rate(t) for t in trials if t.arm == arm) for arm in ("none", "jigsaw")}
    assert rates["none"] == rates["jigsaw"]


@pytest.mark.parametrize("sampler", SAME_IN_EVERY_ARM)
@pytest.mark.parametrize("killed_after", [0, 1, 5, 11, 13, 15])
def test_interrupted_it_ends_with_the_same_trials(sampler: str, killed_after: int) -> None:
    config = sweep(search={**RANGES, "sampler": sampler, "trials_per_arm": 6})
    whole = play(make_plan(config, []))
    plan = make_plan(config, [])
    before = play(plan, killed_after)
    running = [Outcome(trial, "running") for trial in [plan.next()] if trial is not None]
    after = play(make_plan(config, before + running))
    assert sorted(ids(before) + ids(after)) == sorted(ids(whole))


def test_an_interrupted_tpe_search_keeps_its_budget() -> None:
    config = sweep(search={**RANGES, "sampler": "tpe", "trials_per_arm": 6})
    plan = make_plan(config, [])
    before = play(plan, 7)
    running = plan.next()
    assert running is not None
    after = play(make_plan(config, [*before, Outcome(running, "running")]))
    assert running.trial_id in ids(after)
    assert len(set(ids(before) + ids(after))) == config.trial_count()


def test_a_grid_skips_what_has_ended_and_retries_what_failed() -> None:
    config = sweep(search={"lambda": [0.25, 0.5]})
    trials = config.grid_trials()
    recorded = [
        Outcome(t, s) for t, s in zip(trials, ["finished", "diverged", "failed", "running"], strict=False)
    ]
    assert ids(play(make_plan(config, recorded))) == [t.trial_id for t in trials[2:]]


def test_an_arm_that_never_finishes_ends_the_plan() -> None:
    config = sweep(search={**RANGES, "sampler": "random", "trials_per_arm": 3})
    plan = make_plan(config, [])
    count = 0
    while (trial := plan.next()) is not None:
        count += 1
        plan.tell(Outcome(trial, "diverged" if trial.arm == "jigsaw" else "finished", value(trial)))
    assert plan.done
    assert count == 3 + 3 + 2


@every_sampler
@pytest.mark.parametrize("killed_after", [0, 3, 7])
def test_no_setting_is_tried_twice(sampler: str, killed_after: int) -> None:
    """Two trials of one setting would be one trial, running twice over the same records."""
    search = {"lambda": [0.25, 0.5], "learning_rate": [1e-4, 2e-4], "sampler": sampler, "trials_per_arm": 30}
    config = sweep(search=search)
    plan = make_plan(config, [])
    before = play(plan, killed_after)
    after = play(make_plan(config, before))
    assert len(set(ids(before) + ids(after))) == len(before + after) == (2 + 2) + (4 + 2)


def test_a_search_that_was_changed_does_not_wait_for_trials_of_the_old_one() -> None:
    before = play(
        make_plan(sweep(search={"lambda": RANGES["lambda"], "sampler": "tpe", "trials_per_arm": 3}), [])
    )
    changed = sweep(search={**RANGES, "sampler": "tpe", "trials_per_arm": 3})
    plan = make_plan(changed, before)
    play(plan)
    assert plan.done


def test_what_the_scheduler_stopped_is_not_run_again() -> None:
    config = sweep(search={**RANGES, "sampler": "random", "trials_per_arm": 3})
    first = make_plan(config, []).next()
    assert first is not None
    assert first.trial_id not in ids(play(make_plan(config, [Outcome(first, "pruned")])))
    assert first.trial_id in ids(play(make_plan(config, [Outcome(first, "stopped")])))


def test_a_warm_start_tells_the_sampler_and_counts_for_nothing(tmp_path: Path) -> None:
    """TPE begins near the best of what an earlier sweep found, and every arm still tries as many settings."""
    store = RecordStore(str(tmp_path))
    search = {**RANGES, "sampler": "tpe", "trials_per_arm": 30}
    first, provenance = sweep(search={**search, "seed": 5}), Provenance("s")
    for outcome in play(make_plan(first, [])):
        store.write_trial(replace(planned_row(outcome.trial, provenance), status="finished"))
        measured = Measurement(outcome.value or 0.0, "lower", kind="metric", metric="fd_classifier")
        validated = replace(measured, split="validation")
        store.write_progress("s", outcome.trial.trial_id, 1000, {"val_fd_classifier": validated}, {})
    cold = sweep(search={**search, "trials_per_arm": 5})
    warm = sweep(search={**search, "trials_per_arm": 5, "warm_start": str(tmp_path)})
    earlier = earlier_outcomes(warm)
    assert len(earlier) == 2 * (30 + 2)
    assert earlier_outcomes(cold) == []
    began, continued = play(make_plan(cold, [])), play(make_plan(warm, [], earlier))
    assert len(began) == len(continued) == warm.trial_count() == 2 * (5 + 2)
    assert not {*ids(continued)} & {one.trial.trial_id for one in earlier if one.trial.seed == 5}

    def distance(outcomes: list[Outcome]) -> float:
        return sum(one.value or 0.0 for one in outcomes[: 2 * 5])

    assert distance(continued) < 0.7 * distance(began)
    narrow = {**search, "learning_rate": {"log_uniform": [1e-4, 2e-4]}, "warm_start": str(tmp_path)}
    narrowed = sweep(search=narrow)
    rates = [learning_rate(one.trial) for one in play(make_plan(narrowed, [], earlier_outcomes(narrowed)))]
    assert max(rates) <= 2e-4
    wider = sweep(search={**search, "warm_start": str(tmp_path)}, task={"name": "gan", "width": 8})
    with pytest.raises(UserError, match="no finished trial there has the task, data"):
        earlier_outcomes(wider)
    with pytest.raises(UserError, match="warm_start: sampler random learns nothing"):
        sweep(search={**RANGES, "sampler": "random", "warm_start": str(tmp_path)})
