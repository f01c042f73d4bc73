"""What an evaluation yields: its results, and its progress where it takes long."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from ndabench.measurement import Measurement, displayed_name
from ndabench.metrics.evaluation import Evaluation


@dataclass(frozen=True)
class Evaluated:
    """The results of one evaluation, or of several."""

    measurements: dict[str, Measurement]
    """By displayed name, equal on every worker."""
    artifacts: dict[str, bytes] = field(default_factory=dict)
    """File names to files (PNG pictures, JSON), on the main worker only."""
    evaluation: str = ""
    """The key of the evaluation; empty where there were several."""
    notes: tuple[str, ...] = ()
    """What a reader of the values must know, one sentence each, equal on every worker."""

    def renamed(self, evaluation: Evaluation) -> "Evaluated":
        """The same results with the label that `evaluation` gives to values, protocols and files."""
        if not evaluation.as_:
            return self
        measurements = [_labelled(one, evaluation.as_) for one in self.measurements.values()]
        files = {}
        for name, data in self.artifacts.items():
            kind, dot, ending = name.rpartition(".")
            files[evaluation.rename(kind) + dot + ending] = data
        return replace(self, measurements=by_name(measurements), artifacts=files)

    def longer_by(self, seconds: float) -> "Evaluated":
        """The same results with `seconds` added, in equal parts for every measurement."""
        part = seconds / max(1, len(self.measurements))
        longer = {name: replace(one, seconds=one.seconds + part) for name, one in self.measurements.items()}
        return replace(self, measurements=longer)

    def to_plain(self) -> dict[str, Any]:
        """The results as dicts, strings, numbers and bytes."""
        # A plugin may measure with numpy, whose numbers a checkpoint could not hold.
        measurements = {
            name: {
                **asdict(one),
                "value": float(one.value),
                "seconds": float(one.seconds),
                "protocol": json.loads(json.dumps(dict(one.protocol), default=float)),
            }
            for name, one in self.measurements.items()
        }
        return {
            "measurements": measurements,
            "artifacts": self.artifacts,
            "evaluation": self.evaluation,
            "notes": list(self.notes),
        }

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> "Evaluated":
        """Undoes `to_plain`."""
        measurements = {name: Measurement(**one) for name, one in plain["measurements"].items()}
        return cls(measurements, dict(plain["artifacts"]), plain["evaluation"], tuple(plain.get("notes", ())))


def by_name(measurements: Sequence[Measurement]) -> dict[str, Measurement]:
    """Measurements by their displayed names."""
    return {displayed_name(one.metric, one.split, one.label): one for one in measurements}


def merge(parts: Sequence[Evaluated]) -> Evaluated:
    """The results of several evaluations, or of the parts of one."""
    return Evaluated(
        {name: one for part in parts for name, one in part.measurements.items()},
        {name: one for part in parts for name, one in part.artifacts.items()},
        notes=tuple(note for part in parts for note in part.notes),
    )


def _labelled(measurement: Measurement, label: str) -> Measurement:
    """The measurement with its label, which its protocol (if it has one) also holds."""
    protocol = {**measurement.protocol, "as": label} if measurement.protocol else measurement.protocol
    return replace(measurement, label=label, protocol=protocol)


@dataclass(frozen=True)
class EvaluationProgress:
    """How far a long evaluation has come."""

    done: int
    """Units (steps, epochs) done so far."""
    total: int
    state: Mapping[str, Any]
    """What the evaluation resumes from: tensors and plain data, equal on every worker."""
    evaluation: str = ""
    """The key of the evaluation."""
