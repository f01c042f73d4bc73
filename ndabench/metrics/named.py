"""What the values of an evaluation are called, so that one sweep can measure twice in different ways."""

from collections.abc import Mapping
from dataclasses import replace

from pydantic import Field

from ndabench.config import Config
from ndabench.measurement import MeasuredSplit, Measurement, displayed_name


class NamedEvaluation(Config):
    """An evaluation whose values may have another name."""

    as_: str | None = Field(None, alias="as", pattern="^[a-z0-9_]{1,40}$")
    """Put behind the names of its values: `dpc_finetune` as `hmdb51` gives `dpc_finetune_hmdb51`. It
    stands in their protocols, too."""

    @property
    def measures(self) -> tuple[str, ...]:
        """The names of its values where `as` says nothing."""
        raise NotImplementedError

    @property
    def metrics(self) -> tuple[str, ...]:
        """The names of its values."""
        return tuple(map(self.called, self.measures))

    def called(self, name: str) -> str:
        """What this evaluation makes of the name of a value or of a kind of picture."""
        return f"{name}_{self.as_}" if self.as_ else name

    def named(self, measured: Mapping[str, Measurement]) -> dict[str, Measurement]:
        """Its values under their names, each with its metric, split and label. Curves stay curves."""
        splits: tuple[MeasuredSplit, ...] = ("validation", "test")
        parts = {
            displayed_name(metric, split): (metric, split) for metric in self.measures for split in splits
        }
        return {
            self.called(name): self._complete(name, one, parts.get(name)) for name, one in measured.items()
        }

    def _complete(
        self, name: str, measurement: Measurement, parts: tuple[str, MeasuredSplit] | None
    ) -> Measurement:
        label = self.as_ or ""
        if parts is None:
            return replace(measurement, metric=name, label=label)
        protocol = {**measurement.protocol, "as": label} if label else measurement.protocol
        metric, split = (measurement.metric, measurement.split) if measurement.metric else parts
        return replace(measurement, protocol=protocol, kind="metric", metric=metric, split=split, label=label)
