"""The toy scheduler: a trial stops when its newest value is not better than the one before."""

from optuna.pruners import BasePruner
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial


class Stall(BasePruner):
    def __init__(self, min_gain: float) -> None:
        self._min_gain = min_gain

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        values = [value for _, value in sorted(trial.intermediate_values.items())]
        if len(values) < 2:
            return False
        sign = 1 if study.direction == StudyDirection.MAXIMIZE else -1
        return sign * (values[-1] - values[-2]) <= self._min_gain
