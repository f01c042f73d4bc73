"""The toy sampler: settings that are spread evenly, whatever the seed."""

from typing import Any

from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.samplers import BaseSampler

PRIMES = (2, 3, 5, 7, 11)


class Spread(BaseSampler):
    """The Halton sequence: each parameter has a prime as its base."""

    def __init__(self, *, seed: int, skip: int) -> None:
        """`skip` points of the sequence are left out at its beginning."""
        self.skip = skip
        self.bases: dict[str, int] = {}

    def infer_relative_search_space(self, study: Any, trial: Any) -> dict[str, Any]:
        return {}

    def sample_relative(self, study: Any, trial: Any, search_space: Any) -> dict[str, Any]:
        return {}

    def sample_independent(self, study: Any, trial: Any, param_name: str, param_distribution: Any) -> Any:
        base = self.bases.setdefault(param_name, PRIMES[len(self.bases)])
        share = _radical_inverse(trial.number + 1 + self.skip, base)
        if isinstance(param_distribution, CategoricalDistribution):
            return param_distribution.choices[int(share * len(param_distribution.choices))]
        value = param_distribution.low + share * (param_distribution.high - param_distribution.low)
        return value if isinstance(param_distribution, FloatDistribution) else int(value)


def _radical_inverse(number: int, base: int) -> float:
    """The digits of `number` behind the point, mirrored: 1, 2, 3 become 1/2, 1/4, 3/4 for a base of 2."""
    share, digit = 0.0, 1.0
    while number:
        digit /= base
        number, remainder = divmod(number, base)
        share += digit * remainder
    return share
