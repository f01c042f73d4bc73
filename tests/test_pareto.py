"""The Pareto set against Optuna's."""

from typing import Literal

import optuna
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import BaseDistribution, IntDistribution
from optuna.study import StudyDirection
from optuna.trial import create_trial

from ndabench.pareto import pareto_set

ROWS = st.lists(st.lists(st.integers(0, 4), min_size=2, max_size=2), min_size=1, max_size=12)
MODES = st.lists(st.sampled_from(["min", "max"]), min_size=2, max_size=2)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(rows=ROWS, modes=MODES)
def test_it_is_optunas(rows: list[list[float]], modes: list[Literal["min", "max"]]) -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    directions = [StudyDirection.MAXIMIZE if mode == "max" else StudyDirection.MINIMIZE for mode in modes]
    study = optuna.create_study(directions=directions)
    kinds: dict[str, BaseDistribution] = {"place": IntDistribution(0, 99)}
    for place, row in enumerate(rows):
        study.add_trial(create_trial(values=row, params={"place": place}, distributions=kinds))
    assert pareto_set(rows, modes) == sorted(trial.params["place"] for trial in study.best_trials)


def test_nothing_has_an_empty_one() -> None:
    assert pareto_set([], ["min", "max"]) == []
