"""The distance of a generator's weights in training, next to that of their moving average."""

from typing import Any

import pytest
from torch import Tensor

from ndabench.config import parse
from ndabench.data.images import ImageData
from ndabench.errors import UserError
from ndabench.measurement import Measurement
from ndabench.metrics.generators.config import FrechetConfig, InceptionScoreConfig
from ndabench.metrics.generators.subject import GeneratorSubject
from ndabench.planning.sweep_file import SweepConfig
from tests.metrics.measuring import evaluate_all
from tests.metrics.striped import striped_images
from tests.metrics.toy_generator import ToySampler, measure


class TwoWeights(ToySampler):
    """Draws other images from the weights in training, and counts what it draws."""

    def __init__(self) -> None:
        super().__init__(lambda n: striped_images(n, seed=7)[0])
        self.drawn: list[tuple[str, int]] = []

    def sample(self, num_images: int, *, stream: str, weights: str, batch_norm: str) -> Tensor:
        self.drawn.append((weights, num_images))
        return _live(num_images) if weights == "live" else self.draw(num_images)


def _live(num_images: int) -> Tensor:
    return striped_images(num_images, seed=8)[0].flip(-1) // 2


def _measured(evaluations: list[Any], data: ImageData, *, test: bool = True, **keys: Any) -> Any:
    sampler = TwoWeights()
    subject = GeneratorSubject(sampler, None, data, seed=0, stream="x", **{"averaged": True, **keys})
    return evaluate_all(evaluations, subject, test=test), sampler.drawn


def test_it_is_a_metric_of_its_own_that_equals_the_distance_of_those_images(data: ImageData) -> None:
    found, drawn = _measured([FrechetConfig(num_samples=60)], data)
    alone = measure([FrechetConfig(num_samples=60)], _live, data, split="validation")["fd_classifier"]
    assert set(found.measurements) == {"fd_classifier", "val_fd_classifier", "val_fd_classifier_live"}
    average, live = (found.measurements[f"val_fd_classifier{end}"] for end in ("", "_live"))
    assert live.value == alone.value != average.value
    assert (live.metric, live.split, live.better) == ("fd_classifier_live", "validation", "lower")
    changed = {"metric": "fd_classifier_live", "weights": "live"}
    assert live.protocol == {**average.protocol, **changed}
    assert average.protocol["weights"] == "ema"
    assert drawn == [("ema", 60), ("live", 60)]


def test_images_are_drawn_once_for_all_and_no_more_than_needed(data: ImageData) -> None:
    evaluations = [
        InceptionScoreConfig(num_samples=200),
        FrechetConfig(num_samples=60),
        FrechetConfig(num_samples=90, as_="more"),
        FrechetConfig(num_samples=150, as_="quiet", live=False),
    ]
    found, drawn = _measured(evaluations, data, test=False)
    assert drawn == [("ema", 200), ("live", 90)]
    assert [name for name in found.measurements if "live" in name] == [
        "val_fd_classifier_live",
        "val_fd_classifier_live_more",
    ]


@pytest.mark.parametrize("keys", [{"live": False}, {"averaged": False}], ids=str)
def test_it_is_measured_only_where_it_is_asked_for_and_can_be(data: ImageData, keys: dict[str, bool]) -> None:
    config = FrechetConfig(num_samples=60, live=keys.get("live", True))
    found, drawn = _measured([config], data, averaged=keys.get("averaged", True))
    assert set(found.measurements) == {"fd_classifier", "val_fd_classifier"}
    assert drawn == [("ema", 60)]


def test_its_seconds_are_counted(data: ImageData) -> None:
    config = FrechetConfig(num_samples=60)
    assert len(config.shares) == len(set(config.shares)) == 4
    found, _ = _measured([config], data)
    live: Measurement = found.measurements["val_fd_classifier_live"]
    assert live.seconds > 0


SWEEP = {
    "name": "s",
    "task": {"name": "gan", "num_steps": 4},
    "data": {"name": "digits"},
    "arms": ["none"],
    "evaluate": [{"name": "fd", "num_samples": 100}],
}


def test_it_is_no_objective() -> None:
    with pytest.raises(UserError, match="objective: unknown metric 'fd_classifier_live'"):
        parse(SweepConfig, {**SWEEP, "objective": {"metric": "fd_classifier_live"}}, "s.yaml")


def test_no_other_evaluation_may_report_its_name() -> None:
    labelled = [*SWEEP["evaluate"], {"name": "fd", "as": "live", "live": False}]
    parse(SweepConfig, {**SWEEP, "evaluate": labelled[1:]}, "s.yaml")
    with pytest.raises(UserError, match="2 evaluations report fd_classifier_live"):
        parse(SweepConfig, {**SWEEP, "evaluate": labelled}, "s.yaml")
