"""A task that learns nothing from videos: what sweeps, trials and previews do for any video task."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal

import pytest
from pydantic import Field

from ndabench import sweepfile
from ndabench.config import Config
from ndabench.metrics.representation import KnnConfig
from ndabench.sweepfile import SweepConfig
from ndabench.tasks.registry import TASKS, Kind
from ndabench.tasks.task import LambdaRule, Progress
from ndabench.trials import TrialConfig

DIGITS: dict[str, Any] = {"name": "moving_digits", "frame_size": 16, "video_frames": 12, "clips_per_group": 1}
SWEEP: dict[str, Any] = {
    "name": "videos",
    "task": {"name": "stand_in"},
    "data": DIGITS,
    "arms": ["none", "shuffle_blocks", {"negative": {"name": "jigsaw", "per": "frame"}}],
}


class StandInConfig(Config):
    LAMBDA: ClassVar[LambdaRule] = LambdaRule(plain=0.0, default=1.0, range="[0, 9]", low=0.0, high=9.0)

    name: Literal["stand_in"] = "stand_in"
    num_steps: int = Field(1, ge=0)
    clip_frames: int = 10
    size: int = 8
    num_images: ClassVar[int] = 80

    def shown_shape(self, frame_shape: tuple[int, int, int]) -> tuple[int, int, int, int]:
        return frame_shape[0], self.clip_frames, self.size, self.size


class StandIn:
    """Remembers what it was built from."""

    built: ClassVar[list[dict[str, Any]]] = []

    def __init__(self, config: StandInConfig, data_config: Config, data: Any, **rest: Any) -> None:
        self.built.append({"config": config, "data_config": data_config, "data": data, **rest})

    def run(self) -> Iterator[Progress]:
        yield Progress(step=1, num_steps=1, num_images=0)

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        pass


class StandInTrial(TrialConfig):
    task: StandInConfig  # type: ignore[assignment]


class StandInSweep(SweepConfig):
    task: StandInConfig  # type: ignore[assignment]


def use_stand_in(monkeypatch: pytest.MonkeyPatch) -> type[StandInSweep]:
    """Makes the stand-in a task for the time of a test; the class of sweeps over it."""
    kind = Kind(StandIn, {"knn": KnnConfig}, lambda *_, **__: None, learns_from="videos")
    monkeypatch.setitem(TASKS, "stand_in", kind)
    monkeypatch.setattr(sweepfile, "TrialConfig", StandInTrial)
    monkeypatch.setattr(StandIn, "built", [])
    return StandInSweep


def dumped(config: Config) -> dict[str, Any]:
    """The configuration as a file would hold it."""
    return json.loads(config.model_dump_json(by_alias=True))
