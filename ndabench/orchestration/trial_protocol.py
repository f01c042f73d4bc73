"""What the driver tells the processes of a trial, and how a trial tells the driver that it has failed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import ray.tune

from ndabench.planning.resources import Resources


@dataclass(frozen=True)
class TrialDescription:
    """The description of a trial for a training process: text and numbers, so that no process needs PyTorch
    to read it."""

    trial: str
    """A `TrialConfig` as JSON."""
    root: str
    """The folder of the records."""
    provenance: Mapping[str, Any]
    """The fields of a `Provenance`."""
    resources: Resources
    watched: str | None
    """The metric to report as the objective."""
    samples: int = 0
    """How many images of its generator a trial keeps."""


class TrialLostError(Exception):
    """A trial cannot continue, for a reason that its last report told the driver."""


def fail(reason: str, *, final: bool) -> None:
    """Tells the driver why the trial failed. A `final` failure is recorded, any other trial restarts.

    The restart takes another process, because the device may be unusable in this one: Tune ends a process
    that raised.
    """
    ray.tune.report({"error": reason})
    if not final:
        raise TrialLostError(reason)
