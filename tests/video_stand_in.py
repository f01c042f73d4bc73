"""A task that learns nothing from videos, registered as a package from outside would register one."""

import itertools
import json
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from ndabench.config import Config
from ndabench.metrics.subjects import Subject
from ndabench.tasks.curves import Curves
from ndabench.tasks.definition import LambdaRule, TaskConfig, TaskDefinition
from ndabench.tasks.registry import TASKS
from ndabench.tasks.setup import TrialSetup

DIGITS: dict[str, Any] = {"name": "moving_digits", "frame_size": 16, "video_frames": 12, "clips_per_group": 1}
SWEEP: dict[str, Any] = {
    "name": "videos",
    "task": {"name": "stand_in"},
    "data": DIGITS,
    "arms": ["none", "shuffle_blocks", {"negative": {"name": "jigsaw", "per": "frame"}}],
}


class StandInConfig(TaskConfig):
    name: Literal["stand_in"] = "stand_in"
    num_steps: int = Field(1, ge=0)
    batch_size: int = 80
    clip_frames: int = 10
    size: int = 8

    def shown_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return shape[0], self.clip_frames, self.size, self.size


class StandIn:
    """Remembers what it was built from."""

    built: ClassVar[list[TrialSetup]] = []
    picture_every = None
    evaluates_untrained = False

    def __init__(self, setup: TrialSetup) -> None:
        self.built.append(setup)
        self.curves = Curves(setup.workers)
        self.streams: dict[str, Any] = {}

    def batches(self, start: int) -> Iterator[None]:
        return itertools.repeat(None)

    def training_step(self, batch: None, step: int) -> None:
        pass

    def networks(self) -> Mapping[str, Any]:
        return {}

    def compile(self) -> str:
        return ""

    def synchronise(self) -> None:
        pass

    def subject(self, step: int) -> Subject:
        raise AssertionError("it has no evaluations")

    def artifacts(self, step: int, *, last: bool) -> dict[str, bytes]:
        return {}

    def parts(self) -> Mapping[str, Any]:
        return {}


TASKS.register(
    "stand_in",
    TaskDefinition(
        config=StandInConfig,
        build="tests.video_stand_in:StandIn",
        learns_from="videos",
        produces="image_encoder",
        lambda_rule=LambdaRule(
            baseline=0.0, default=1.0, low=0.0, high=9.0, weighs="weighs a negative", meaning="a weight"
        ),
    ),
)


def dumped(config: Config) -> dict[str, Any]:
    """The configuration as a file would hold it."""
    return json.loads(config.model_dump_json(by_alias=True))
