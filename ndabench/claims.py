"""What a sweep sets out to show, and the controls that say whether it can: `claim` and `controls` of a file.

docs/statistics.md has the rules.
"""

from typing import Literal

from pydantic import Field, model_validator

from ndabench.config import Config

BASELINE = "none"
LEAST_SEEDS = 5
"""Fewer pairs have a t quantile so wide that only enormous differences could be claimed."""

Kind = Literal["lower", "higher", "no_worse", "equivalent"]


class Claim(Config):
    """`arm` is lower or higher than the baseline, or no worse than it, or equivalent to it, by a margin."""

    arm: str
    is_: Kind = Field(alias="is")
    margin: float | None = Field(None, gt=0, le=1e12)
    """δ of `no_worse` and `equivalent`, in the unit of the measure."""

    @model_validator(mode="after")
    def _margin_where_needed(self) -> "Claim":
        needs = self.is_ in ("no_worse", "equivalent")
        if needs and self.margin is None:
            raise ValueError(f"arm {self.arm!r}: {self.is_} needs a margin, e.g. margin: 0.5")
        if not needs and self.margin is not None:
            raise ValueError(f"arm {self.arm!r}: a margin belongs to no_worse or equivalent, not {self.is_}")
        return self


class ClaimFamily(Config):
    """All claims of a sweep: one family, about one measure on the test split."""

    measure: str | None = None
    """None: the objective's."""
    that: tuple[Claim, ...] = Field(min_length=1, max_length=1000)

    @model_validator(mode="after")
    def _each_once(self) -> "ClaimFamily":
        keys = [(claim.arm, claim.is_) for claim in self.that]
        doubled = [key for key in keys if keys.count(key) > 1]
        if doubled:
            raise ValueError("arm {!r} is claimed to be {} twice".format(*doubled[0]))
        return self


class Controls(Config):
    """Arms that show whether the setting can decide anything."""

    positive: tuple[str, ...] = ()
    """Arms that must be better than the baseline, such as one with more steps."""
    negative: tuple[str, ...] = ()
    """Arms that must not differ from it, such as one whose negatives are generated."""

    @property
    def arms(self) -> tuple[str, ...]:
        return (*self.positive, *self.negative)
