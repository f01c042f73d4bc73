"""Which trial runs next: those of a grid, or settings from a sampler, with the same budget for every arm.

A sampled search runs `trials_per_arm` settings in each arm with a dedicated seed, `search.seed`. It chooses
each arm's best setting on the validation split and repeats that setting over all seeds: the reported seeds
took no part in the choice. By several measures no setting is the best: some of the Pareto set are repeated.
A sampler that learns nothing from values, such as random, draws from the same seed in every arm, so that all
arms are tuned on the same draws. A setting is tried once: a search with fewer than `trials_per_arm` settings
ends when it has tried them all.

A plan is rebuilt from the records alone, so a resumed sweep needs no other state.
"""

import math
import warnings
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.study import StudyDirection
from optuna.trial import TrialState

from ndabench.pareto import pareto_set
from ndabench.planning.outcomes import Outcome, setting_of
from ndabench.planning.search_space import Dimension, Search
from ndabench.planning.sweep_file import Arm, SweepConfig
from ndabench.registry import load
from ndabench.trials.config import TrialConfig

ATTEMPTS = 100
"""How often in a row a sampler may propose a setting that was tried before; its search then ends."""


class Plan(Protocol):
    """Hands out trials and is told how they ended."""

    def next(self) -> TrialConfig | None:
        """The next trial to start; None when nothing can start before another trial has ended."""
        ...

    def tell(self, outcome: Outcome) -> None: ...

    @property
    def done(self) -> bool:
        """Whether every trial has been handed out."""
        ...


def make_plan(config: SweepConfig, recorded: Iterable[Outcome], earlier: Sequence[Outcome] = ()) -> Plan:
    """The plan of a sweep, without the trials that have ended according to `recorded`.

    The `earlier_outcomes` of another sweep only tell the samplers where to begin.
    """
    known = {outcome.trial.trial_id: outcome for outcome in recorded}
    return ListedPlan(config, known) if config.search.is_grid else SearchPlan(config, known, earlier)


class ListedPlan:
    """A grid: every trial is known from the start."""

    def __init__(self, config: SweepConfig, known: Mapping[str, Outcome]) -> None:
        self._waiting = deque(t for t in config.grid_trials() if not _has_ended(t, known))

    def next(self) -> TrialConfig | None:
        return self._waiting.popleft() if self._waiting else None

    def tell(self, outcome: Outcome) -> None:
        pass

    @property
    def done(self) -> bool:
        return not self._waiting


class SearchPlan:
    """The searches of all arms in parallel, each followed by its repeats."""

    def __init__(
        self, config: SweepConfig, known: Mapping[str, Outcome], earlier: Sequence[Outcome] = ()
    ) -> None:
        self._arms = deque(ArmSearch(config, arm, known, earlier) for arm in config.arms)

    def next(self) -> TrialConfig | None:
        for _ in range(len(self._arms)):
            self._arms.rotate(-1)
            trial = self._arms[-1].next()
            if trial is not None:
                return trial
        return None

    def tell(self, outcome: Outcome) -> None:
        for arm in self._arms:
            arm.tell(outcome)

    @property
    def done(self) -> bool:
        return all(arm.done for arm in self._arms)


class ArmSearch:
    """The search of one arm, then the repeats of the best settings it found."""

    def __init__(
        self,
        config: SweepConfig,
        arm: Arm,
        known: Mapping[str, Outcome],
        earlier: Sequence[Outcome] = (),
    ) -> None:
        self._config, self._arm, self._known = config, arm, known
        dimensions = config.dimensions_of(arm)
        self._distributions = {key: distribution(dimension) for key, dimension in dimensions.items()}
        self._unasked = config.search.trials_per_arm if dimensions else 0
        self._asked: set[str] = set()
        self._open: dict[str, optuna.trial.Trial] = {}
        self._tried: list[tuple[tuple[float, ...], dict[str, Any]]] = []
        self._repeats: deque[TrialConfig] | None = None

        mine = [outcome for outcome in known.values() if self._is_mine(outcome.trial)]
        replayed = [outcome for outcome in mine if outcome.ended]
        self._study = _study(config, seed=config.search.seed + len(replayed))
        self._warm_start(earlier)
        for outcome in replayed:  # enqueued settings are the next ones asked for
            self._study.enqueue_trial(self._setting(outcome.trial))
            self._ask()
            self.tell(outcome)
        settings = [self._setting(outcome.trial) for outcome in mine if not outcome.ended]
        if not config.search.sampled_by.adapts:
            settings = draw(config.search, keep=set(dimensions))
            self._unasked = max(0, len(settings) - len(replayed))
        for setting in settings:
            if not _has_ended(config.trial(arm, setting, config.search.seed), known):
                self._study.enqueue_trial(setting)

    def _warm_start(self, earlier: Sequence[Outcome]) -> None:
        """Shows the sampler what the arm's earlier settings gave, as far as they lie in the search space."""
        for outcome in earlier:
            setting = self._setting(outcome.trial) if outcome.trial.arm == self._arm.name else {}
            kinds = self._distributions
            if setting and all(kinds[key]._contains(_internal(kinds[key], setting[key])) for key in setting):
                found = optuna.trial.create_trial(params=setting, distributions=kinds, values=outcome.values)
                self._study.add_trial(found)

    def next(self) -> TrialConfig | None:
        if self._unasked and (trial := self._ask()) is not None:
            return trial
        if self._open:
            return None
        if self._repeats is None:
            self._repeats = self._repeats_of_best()
        return self._repeats.popleft() if self._repeats else None

    def tell(self, outcome: Outcome) -> None:
        asked = self._open.pop(outcome.trial.trial_id, None)
        if asked is None:
            return
        if outcome.status == "finished" and outcome.values:
            self._study.tell(asked, outcome.values)
            self._tried.append((outcome.values, asked.params))
        else:  # Optuna prunes by one measure only
            pruned = outcome.status in ("stopped", "pruned") and len(self._config.modes) == 1
            self._study.tell(asked, state=TrialState.PRUNED if pruned else TrialState.FAIL)

    @property
    def done(self) -> bool:
        return self._unasked == 0 and not self._open and self._repeats is not None and not self._repeats

    def _ask(self) -> TrialConfig | None:
        """A trial that was not asked for before; None where there is none, and the search then ends."""
        for _ in range(ATTEMPTS):
            asked = self._study.ask(self._distributions)
            trial = self._config.trial(self._arm, asked.params, self._config.search.seed)
            if trial.trial_id not in self._asked:
                self._unasked -= 1
                self._asked.add(trial.trial_id)
                self._open[trial.trial_id] = asked
                return trial
            self._study.tell(asked, state=TrialState.FAIL)
        self._unasked = 0
        return None

    def _repeats_of_best(self) -> deque[TrialConfig]:
        if self._distributions and not self._tried:
            return deque()  # no setting of this arm finished; the records say why
        settings = self._best_settings() if self._tried else [{}]
        trials = (
            self._config.trial(self._arm, setting, seed)
            for seed in self._config.seeds
            for setting in settings
        )
        return deque(trial for trial in trials if not _has_ended(trial, self._known))

    def _best_settings(self) -> list[dict[str, Any]]:
        """The best setting or, by several measures, some of the Pareto set: its two ends by the first measure
        and settings evenly between them."""
        best = pareto_set([values for values, _ in self._tried], self._config.modes)
        best.sort(key=lambda place: self._tried[place][0])
        number_of = min(len(best), self._config.most_repeated(self._arm))
        few = np.linspace(0, len(best) - 1, number_of).round().astype(int)
        return [self._tried[best[number]][1] for number in few]

    def _is_mine(self, trial: TrialConfig) -> bool:
        """Whether this search could have asked for the trial; the records may be those of another search."""
        seed, setting = self._config.search.seed, self._setting(trial)
        if trial.arm != self._arm.name or trial.seed != seed or set(setting) != set(self._distributions):
            return False
        return self._config.trial(self._arm, setting, seed).trial_id == trial.trial_id

    def _setting(self, trial: TrialConfig) -> dict[str, Any]:
        return setting_of(trial, self._distributions)


def distribution(dimension: Dimension) -> BaseDistribution:
    """The Optuna distribution of a dimension."""
    if dimension.uniform is not None:
        return FloatDistribution(*dimension.uniform)
    if dimension.log_uniform is not None:
        return FloatDistribution(*dimension.log_uniform, log=True)
    if dimension.integer is not None:
        return IntDistribution(*dimension.integer)
    assert dimension.choice is not None
    return CategoricalDistribution(dimension.choice)


def _internal(kind: BaseDistribution, value: Any) -> float:
    """What Optuna has for a value; NaN where the distribution cannot have it."""
    try:
        return kind.to_internal_repr(value)
    except ValueError:
        return math.nan


def draw(search: Search, keep: set[str]) -> list[dict[str, Any]]:
    """The settings of a sweep that no value changes, without duplicates and restricted to the keys in `keep`.

    All dimensions are drawn whatever `keep` is, so that every arm gets the same draws.
    """
    study = optuna.create_study(sampler=_sampler(search, search.seed))
    distributions = {key: distribution(dimension) for key, dimension in search.dimensions.items()}
    drawn = []
    for _ in range(search.trials_per_arm if keep else 0):
        asked = study.ask(distributions)
        drawn.append(asked.params)
        study.tell(asked, 0.0)  # quasi-random draws continue from the trials that have ended
    kept = [{key: value for key, value in params.items() if key in keep} for params in drawn]
    return [dict(setting) for setting in dict.fromkeys(tuple(params.items()) for params in kept)]


def _study(config: SweepConfig, seed: int) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna.create_study(
        sampler=_sampler(config.search, seed),
        directions=[
            StudyDirection.MAXIMIZE if mode == "max" else StudyDirection.MINIMIZE for mode in config.modes
        ],
    )


def _sampler(search: Search, seed: int) -> optuna.samplers.BaseSampler:
    build = search.sampled_by.build
    assert build is not None, "a grid has no sampler"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler: optuna.samplers.BaseSampler = load(build)(
            seed=seed, **search.sampler.model_dump(exclude={"name"})
        )
    return sampler


def _has_ended(trial: TrialConfig, known: Mapping[str, Outcome]) -> bool:
    outcome = known.get(trial.trial_id)
    return outcome is not None and outcome.ended
